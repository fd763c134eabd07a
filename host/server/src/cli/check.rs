//! `larder check`.

pub(in crate::cli) mod cassandra;

use std::fs;
use std::io::{Write, stdout};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use larder_core::text::printable;
use larder_runtime::plugin::Checkup;
use larder_store::embedded::{CheckSummary, Damage, EmbeddedDriver, Orphan};
use larder_store::{Driver, TenantUsage};
use tempfile::TempDir;

use crate::config::{Config, KvDriver};
use crate::server;

/// Reads the store of a stopped server and prints the damage: first every value in `kv`, then, through the configured plugin, data
/// that is missing or inconsistent. True if nothing is damaged or missing. The data folder is not changed; what has to be written,
/// such as compiled plugins, goes to a temporary folder.
///
/// # Errors
/// The store cannot be opened (a running server uses it, or it is too damaged), there is no temporary folder, or the plugin refuses
/// the store, fails, or breaks the contract.
pub fn check(config: &Config) -> anyhow::Result<bool> {
    if config.kv.driver == KvDriver::Cassandra {
        return cassandra::check(config);
    }
    expect_embedded(config)?;
    let scratch = scratch()?;
    let driver = open(config, scratch.path())?;
    let mut to = stdout().lock();
    let values_are_whole = check_values(&driver, &mut to, &mut |_| ())?;
    let driver: Arc<dyn Driver> = Arc::new(driver);
    let plugin_is_whole = check_plugin(config, &driver, scratch.path(), &mut to)?;
    drop(driver);
    remove(scratch);
    Ok(values_are_whole && plugin_is_whole)
}

/// # Errors
/// The configuration has a driver that stores nothing on this machine's disk.
pub(super) fn expect_embedded(config: &Config) -> anyhow::Result<()> {
    match config.kv.driver {
        KvDriver::Embedded => Ok(()),
        KvDriver::Memory => {
            anyhow::bail!("`kv.driver` is not `embedded`: nothing is stored on disk")
        }
        KvDriver::Cassandra => anyhow::bail!(
            "`kv.driver` is `cassandra`: this mends the files of `embedded` alone. Cassandra mends its own (`nodetool repair` makes copies equal, `nodetool scrub` rewrites damaged files); what `larder check` finds missing after that is in none of its copies, and comes back from a backup of Cassandra"
        ),
    }
}

/// A temporary folder for what has to be written.
pub(super) fn scratch() -> anyhow::Result<TempDir> {
    tempfile::Builder::new()
        .prefix("larder-check-")
        .tempdir()
        .context("cannot make a temporary folder; TMPDIR names another place for it")
}

/// Opens the store to read it.
pub(super) fn open(config: &Config, scratch: &Path) -> anyhow::Result<EmbeddedDriver> {
    let options = server::kv_options(config, &Arc::default());
    let dir = options.dir.clone();
    let driver = EmbeddedDriver::open_read_only(options, scratch)
        .with_context(|| format!("cannot open {}", dir.display()))?;
    driver.with_context(|| no_store(config))
}

/// Opens the store to repair it: as [`open`], also if the file of its writer id is damaged.
pub(super) fn open_to_repair(config: &Config, scratch: &Path) -> anyhow::Result<EmbeddedDriver> {
    let options = server::kv_options(config, &Arc::default());
    let dir = options.dir.clone();
    let driver = EmbeddedDriver::open_to_repair(options, scratch)
        .with_context(|| format!("cannot open {}", dir.display()))?;
    driver.with_context(|| no_store(config))
}

/// The text for a folder without a store.
pub(super) fn no_store(config: &Config) -> String {
    format!(
        "there is no store in {}; `--data-dir` names another folder",
        config.data_dir.display()
    )
}

/// Removes the temporary folder. The cache of compiled plugins is still written for a moment, which can make a first attempt fail;
/// dropping the folder is a second one.
pub(super) fn remove(scratch: TempDir) {
    drop(fs::remove_dir_all(scratch.path()));
    drop(scratch);
}

// === the values of kv ===

/// Prints the damaged values, and calls `found` with each. True if there are none.
pub(super) fn check_values(
    driver: &EmbeddedDriver,
    to: &mut impl Write,
    found: &mut dyn FnMut(Damage),
) -> anyhow::Result<bool> {
    let mut printed = Ok(());
    let checked = driver.check(&mut |damage| {
        let line = writeln!(to, "damaged     {}", place(&damage));
        if printed.is_ok() {
            printed = line;
        }
        found(damage);
    });
    let orphans = driver.orphans();
    printed
        .and_then(|()| print_orphans(&orphans, to))
        .and_then(|()| summarise(&checked, to))
        .context("cannot print")?;
    Ok(checked.damaged == 0 && orphans.is_empty())
}

fn print_orphans(orphans: &[Orphan], to: &mut impl Write) -> std::io::Result<()> {
    for Orphan { name, bytes } in orphans {
        writeln!(to, "orphaned    {name}, {bytes} bytes")?;
    }
    if !orphans.is_empty() {
        writeln!(
            to,
            "DATA_LOSS   nothing refers to what is orphaned: records of it are missing. Restore the store from a backup, or move those files away"
        )?;
    }
    Ok(())
}

fn place(damage: &Damage) -> String {
    let Damage {
        tenant,
        partition,
        sort,
    } = damage;
    let sort = match sort {
        Some(sort) => format!("key {}", sort.escape_ascii()),
        None => "all from here on".to_owned(),
    };
    format!("tenant {tenant}, partition {partition}, {sort}")
}

fn summarise(checked: &CheckSummary, to: &mut impl Write) -> std::io::Result<()> {
    writeln!(to, "partitions  {}", checked.partitions)?;
    writeln!(to, "values      {}", checked.values)?;
    writeln!(to, "bytes       {} on disk", checked.bytes)?;
    writeln!(to, "damaged     {}", checked.damaged)
}

// === the check of the plugin ===

/// The sums over all steps of a plugin's check.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Total {
    values: u64,
    bytes: u64,
    damaged: u64,
}

fn check_plugin(
    config: &Config,
    driver: &Arc<dyn Driver>,
    scratch: &Path,
    to: &mut impl Write,
) -> anyhow::Result<bool> {
    let (wasm, configs) = (
        server::runtime(
            config,
            &Arc::default(),
            Arc::default(),
            server::compiled(config, scratch),
        )?,
        server::tenant_configs(config)?,
    );
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    let total = runtime.block_on(async {
        let mut tenants: Vec<_> = driver.tenants().await?;
        tenants.sort();
        let mut total = Total::default();
        for TenantUsage { tenant, .. } in tenants {
            let kv = Arc::clone(driver);
            let plugin = configs.of(&tenant).plugin.clone();
            let mut checkup = Checkup::open(&wasm, plugin, kv, &tenant).await?;
            total.add(&mut checkup, &tenant, to).await?;
        }
        anyhow::Ok(total)
    })?;
    total
        .summarise(&config.data_dir, to)
        .context("cannot print")?;
    Ok(total.damaged == 0)
}

impl Total {
    /// Runs the check of one tenant to its end, and prints what is damaged. Returns the number of damaged values.
    pub(super) async fn add(
        &mut self,
        checkup: &mut Checkup,
        tenant: &str,
        to: &mut impl Write,
    ) -> anyhow::Result<u64> {
        let (name, version) = (checkup.name(), checkup.version());
        writeln!(to, "plugin      {name} {version}, tenant {tenant}").context("cannot print")?;
        let before = self.damaged;
        while let Some(step) = checkup.step().await? {
            self.values = self.values.saturating_add(step.values);
            self.bytes = self.bytes.saturating_add(step.bytes);
            for line in &step.damaged {
                self.damaged += 1;
                writeln!(to, "damaged     {}", printable(line)).context("cannot print")?;
            }
        }
        Ok(self.damaged - before)
    }

    pub(super) fn summarise(&self, data_dir: &Path, to: &mut impl Write) -> std::io::Result<()> {
        if *self == Self::default() {
            let data_dir = data_dir.display();
            return writeln!(
                to,
                "nothing     the plugin has nothing of its own to check in {data_dir}"
            );
        }
        writeln!(to, "values      {} read", self.values)?;
        writeln!(to, "bytes       {} before compression", self.bytes)?;
        writeln!(to, "damaged     {}", self.damaged)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use larder_core::telemetry::Metrics;
    use larder_model::storage::{BatchBuilder, DurationRange, FragmentFacts, TimeRange, TraceId};
    use larder_runtime::plugin::Plugin;
    use larder_store::{Change, Scan};

    use super::*;

    async fn store(config: &Config, driver: Arc<dyn Driver>) {
        let cache_dir = server::cache_dir(config);
        let wasm = server::runtime(config, &Arc::default(), Arc::default(), cache_dir).unwrap();
        let settings = server::tenant_configs(config).unwrap().default.plugin;
        let metrics = Arc::new(Metrics::new());
        let tenant = Plugin::open(&wasm, settings, driver, metrics)
            .await
            .unwrap();
        let mut builder = BatchBuilder::default();
        builder.terms().push(1);
        builder.digest().extend_from_slice(b"digest");
        builder.otlp().extend(vec![7; 100_000]);
        builder.finish_fragment(FragmentFacts {
            trace_id: TraceId(0xabc),
            span_count: 1,
            starts: TimeRange { start: 5, end: 5 },
            durations: DurationRange {
                shortest: 1,
                longest: 1,
            },
        });
        let storage = Arc::clone(&tenant).pinned();
        storage.write(builder.build()).await.unwrap();
        tenant.shutdown().await;
    }

    /// Deletes the plugin's blocks of spans in the driver, and returns their number.
    async fn lose_spans(driver: Arc<dyn Driver>) -> usize {
        let kv = driver.open("default").await.unwrap();
        let claim = kv.claim(&driver.writer_id()).await.unwrap();
        let mut lost = 0;
        for partition in kv.partitions().await.unwrap() {
            let blocks = Scan {
                start: b"o".to_vec(),
                end: Some(b"p".to_vec()),
                descending: false,
                max_entries: 100,
                max_bytes: 1 << 20,
            };
            let found = kv.scan(&partition, &blocks).await.unwrap().entries;
            let changes = found.into_iter().map(|it| Change::Delete(it.sort));
            let changes: Vec<Change> = changes.collect();
            lost += changes.len();
            kv.commit(&claim, &partition, changes).await.unwrap();
        }
        lost
    }

    /// The driver cannot know of a value that is missing as a whole.
    #[test]
    fn missing_objects_are_named_by_the_plugin() {
        let dir = tempfile::tempdir().unwrap();
        let config = Config {
            data_dir: dir.path().to_owned(),
            ..Config::default()
        };
        let open = || EmbeddedDriver::open(server::kv_options(&config, &Arc::default())).unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(store(&config, Arc::new(open())));
        let told = || {
            let (scratch, mut text) = (tempfile::tempdir().unwrap(), Vec::new());
            let driver = super::open(&config, scratch.path()).unwrap();
            let values = check_values(&driver, &mut text, &mut |_| ()).unwrap();
            let driver: Arc<dyn Driver> = Arc::new(driver);
            let plugin = check_plugin(&config, &driver, scratch.path(), &mut text).unwrap();
            (values, plugin, String::from_utf8(text).unwrap())
        };
        let (values, plugin, text) = told();
        assert!(values && plugin, "{text}");

        assert_eq!(runtime.block_on(lose_spans(Arc::new(open()))), 1);
        let (values, plugin, text) = told();
        assert!(values && !plugin, "{text}");
        let line = text
            .lines()
            .find(|line| line.starts_with("damaged     Otlp"));
        let held = "it held the spans of 1 fragments, of trace 00000000000000000000000000000abc";
        assert!(line.is_some_and(|line| line.contains(held)), "{text}");
    }

    #[test]
    fn a_text_of_the_plugin_is_one_line_that_commands_no_terminal() {
        assert_eq!(
            printable("é gone\n\u{1b}[2Jdamaged 0"),
            "é gone\\n\\u{1b}[2Jdamaged 0"
        );
    }

    #[test]
    fn a_plugin_that_read_nothing_is_told_apart_from_one_that_found_nothing() {
        let told = |total: Total| {
            let mut text = Vec::new();
            total.summarise(Path::new("./data"), &mut text).unwrap();
            String::from_utf8(text).unwrap()
        };
        let nothing = told(Total::default());
        assert!(nothing.contains("nothing of its own to check in ./data"));
        let whole = Total {
            values: 2,
            ..Total::default()
        };
        assert_eq!(
            told(whole),
            "values      2 read\nbytes       0 before compression\ndamaged     0\n"
        );
    }
}
