//! `larder repair`.

use std::collections::BTreeSet;
use std::io::{Write, sink, stdout};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use larder_core::text::printable;
use larder_ingest::{Ingest, Limits};
use larder_model::storage::{Batch, Remade};
use larder_runtime::plugin::{Checkup, Repair, Runtime, forget_derived};
use larder_runtime::tenants;
use larder_store::embedded::{Damage, EmbeddedDriver};
use larder_store::{Driver, HOST_PREFIX, OverlayDriver};

use super::check::{self, Total, check_values, no_store};
use crate::config::Config;
use crate::server;

/// The folder in `data_dir` for what repairs have taken out of the store.
const ASIDE: &str = "kv-damaged";

/// No limit for a fragment that has been stored.
const MOST_BYTES: usize = 1 << 30;

/// Repairs the store of a stopped server, so that everything that is not lost is served, and prints what is lost; without `apply` only
/// prints what it would do, and changes nothing. What is damaged is moved to a new folder in `kv-damaged` in the data folder.
///
/// The repair is first tried without writing anything, and what it leads to is checked. So a plugin that cannot repair, or not all of the
/// damage, leaves the store as it is. Returns `true` if nothing is damaged, or is any longer.
///
/// # Errors
/// As [`check`](super::check); also, the plugin cannot repair the store, or the disk refuses to write.
pub fn repair(config: &Config, apply: bool) -> anyhow::Result<bool> {
    check::expect_embedded(config)?;
    let scratch = check::scratch()?;
    let repaired = Repairing::new(config, scratch.path()).and_then(|it| it.run(apply));
    check::remove(scratch);
    repaired
}

/// What a repair needs.
struct Repairing<'a> {
    config: &'a Config,
    scratch: &'a Path,
    wasm: Runtime,
    configs: tenants::Config,
    runtime: tokio::runtime::Runtime,
}

/// What is damaged.
#[derive(Debug, Default)]
struct Found {
    /// By the driver's own check.
    in_driver: bool,
    /// Tenants with damaged values of their plugin.
    tenants: BTreeSet<String>,
    /// Tenants with damaged values among those that the host derives from their traces.
    derived: BTreeSet<String>,
    /// The id to write into the file of the writer id, if that is damaged.
    writer_id: Option<String>,
}

/// The number of lines that a repair has printed.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    lost: u64,
    mended: u64,
}

// === impl Found ===

impl Found {
    fn is_damaged(&self) -> bool {
        self.in_driver || !self.tenants.is_empty() || self.writer_id.is_some()
    }
}

// === impl Repairing ===

impl<'a> Repairing<'a> {
    fn new(config: &'a Config, scratch: &'a Path) -> anyhow::Result<Self> {
        let compiled = server::compiled(config, scratch);
        Ok(Self {
            config,
            scratch,
            wasm: server::runtime(config, &Arc::default(), Arc::default(), compiled)?,
            configs: server::tenant_configs(config)?,
            runtime: tokio::runtime::Runtime::new().context("cannot start the runtime")?,
        })
    }

    fn run(&self, apply: bool) -> anyhow::Result<bool> {
        let mut to = stdout().lock();
        let found = self.find(&mut to)?;
        if !found.is_damaged() {
            writeln!(
                to,
                "sound       nothing is damaged, and nothing was changed"
            )
            .context("cannot print")?;
            return Ok(true);
        }
        self.try_out(&found, &mut to)?;
        if !apply {
            writeln!(
                to,
                "unchanged   this is what `larder repair --apply` would do"
            )
            .context("cannot print")?;
            return Ok(false);
        }
        self.apply(&found, &mut to)?;
        Ok(true)
    }

    /// Prints what `larder check` prints, and returns what is damaged.
    fn find(&self, to: &mut impl Write) -> anyhow::Result<Found> {
        let driver = check::open_to_repair(self.config, self.scratch)?;
        let mut found = Found::default();
        if driver.has_damaged_writer_id() {
            found.writer_id = Some(driver.writer_id());
            writeln!(to, "damaged     the id of the writer, in the file `WRITER`")
                .context("cannot print")?;
        }
        let mut add = |damage: Damage| {
            let tenants = if damage.partition.starts_with(HOST_PREFIX) {
                &mut found.derived
            } else {
                &mut found.tenants
            };
            tenants.insert(damage.tenant);
        };
        let is_whole = check_values(&driver, to, &mut add)?;
        found.in_driver = !is_whole;
        let driver: Arc<dyn Driver> = Arc::new(driver);
        found.tenants.extend(self.check(&driver, to)?);
        Ok(found)
    }

    /// Runs the plugin's check of every tenant. Returns the tenants with damage; they are also those whose plugin cannot open its store.
    fn check(
        &self,
        driver: &Arc<dyn Driver>,
        to: &mut impl Write,
    ) -> anyhow::Result<BTreeSet<String>> {
        let (mut total, mut damaged) = (Total::default(), BTreeSet::new());
        self.runtime.block_on(async {
            let mut tenants: Vec<_> = driver.tenants().await?;
            tenants.sort();
            for tenant in tenants.into_iter().map(|it| it.tenant) {
                let plugin = self.configs.of(&tenant).plugin.clone();
                let opened = Checkup::open(&self.wasm, plugin, Arc::clone(driver), &tenant).await;
                let checked = match opened {
                    Ok(mut checkup) => total.add(&mut checkup, &tenant, to).await,
                    Err(error) => Err(error.into()),
                };
                match checked {
                    Ok(0) => {}
                    Ok(_) => {
                        damaged.insert(tenant);
                    }
                    Err(error) => {
                        let text = printable(&format!("{error:#}"));
                        writeln!(to, "damaged     tenant {tenant}: {text}")
                            .context("cannot print")?;
                        damaged.insert(tenant);
                    }
                }
            }
            anyhow::Ok(())
        })?;
        Ok(damaged)
    }

    /// Runs the repair without writing anything, prints what it does, and checks what it leads to.
    fn try_out(&self, found: &Found, to: &mut impl Write) -> anyhow::Result<()> {
        let base = if found.in_driver {
            let options = server::kv_options(self.config, &Arc::default());
            let driver = EmbeddedDriver::open_repaired(options, self.scratch)
                .context("cannot read the store")?;
            driver.with_context(|| no_store(self.config))?
        } else {
            let scratch = self.scratch.join("overlaid");
            std::fs::create_dir(&scratch).context("cannot make a temporary folder")?;
            check::open_to_repair(self.config, &scratch)?
        };
        let overlay: Arc<dyn Driver> = Arc::new(OverlayDriver::new(Arc::new(base)));
        let mut told = self.repair(&overlay, found, to)?;
        if let Some(id) = &found.writer_id {
            writeln!(to, "mended      the id of the writer: {id}").context("cannot print")?;
            told.mended += 1;
        }
        if let Some(tenant) = self.check(&overlay, &mut sink())?.first() {
            anyhow::bail!(
                "the plugin cannot repair all of the damage of the tenant `{tenant}`; nothing was changed. Restore the store from a backup"
            );
        }
        writeln!(to, "lost        {}", told.lost)
            .and_then(|()| writeln!(to, "mended      {}", told.mended))
            .context("cannot print")
    }

    /// Repairs, as [`Repairing::try_out`] has printed it.
    fn apply(&self, found: &Found, to: &mut impl Write) -> anyhow::Result<()> {
        let options = server::kv_options(self.config, &Arc::default());
        let aside = aside(self.config);
        if found.in_driver {
            let moved = EmbeddedDriver::set_aside(&options, self.scratch, &aside)
                .context("cannot move aside what is damaged")?;
            let (values, files) = (moved.values, moved.files);
            writeln!(
                to,
                "aside       {values} values and {files} files, in {}",
                aside.display()
            )
            .context("cannot print")?;
        }
        if let Some(id) = &found.writer_id {
            EmbeddedDriver::replace_writer_id(&options.dir, id, &aside)?;
            writeln!(to, "aside       the file `WRITER`, in {}", aside.display())
                .context("cannot print")?;
        }
        let driver = EmbeddedDriver::open(options).context("cannot open the store")?;
        let driver: Arc<dyn Driver> = Arc::new(driver);
        self.repair(&driver, found, &mut sink())?;
        writeln!(to, "repaired    {}", self.config.data_dir.display()).context("cannot print")
    }

    /// Gives back what is derived from the traces and damaged, which the server then derives anew, and runs the plugins' repair.
    fn repair(
        &self,
        driver: &Arc<dyn Driver>,
        found: &Found,
        to: &mut impl Write,
    ) -> anyhow::Result<Told> {
        let mut told = Told::default();
        let mut ingest = Ingest::new(Limits {
            max_fragment_bytes: MOST_BYTES,
            max_batch_bytes: MOST_BYTES,
            max_span_bytes: MOST_BYTES,
            ..server::ingest_limits(self.config)
        });
        ingest.set_word_terms(self.config.ingest.word_terms);
        self.runtime.block_on(async {
            for tenant in &found.derived {
                if forget_derived(&**driver, tenant).await? {
                    let line = "what the host derives from the traces: it is derived anew once the tenant is open";
                    writeln!(to, "mended      tenant {tenant}: {line}").context("cannot print")?;
                    told.mended += 1;
                }
            }
            for tenant in &found.tenants {
                let plugin = self.configs.of(tenant).plugin.clone();
                let mut repair =
                    Repair::open(&self.wasm, plugin, Arc::clone(driver), tenant).await?;
                if !repair.has_own_data() {
                    anyhow::bail!(
                        "the plugin of the tenant `{tenant}` keeps nothing in the store, so it cannot repair it; `--plugin` names the one that wrote it. Nothing was changed"
                    );
                }
                let mut remade = Vec::new();
                while let Some(step) = repair.step(&remade).await? {
                    for (word, lines) in [("lost", &step.lost), ("mended", &step.mended)] {
                        for line in lines {
                            let line = printable(line);
                            writeln!(to, "{word:<11} tenant {tenant}: {line}")
                                .context("cannot print")?;
                        }
                    }
                    told.lost += step.lost.len() as u64;
                    told.mended += step.mended.len() as u64;
                    remade = step.remake.iter().map(|it| remake(&mut ingest, it)).collect();
                }
                repair.sync().await?;
            }
            anyhow::Ok(())
        })?;
        Ok(told)
    }
}

/// The digest and the operations of a fragment.
fn remake(ingest: &mut Ingest, otlp: &[u8]) -> Remade {
    let Ok(ingested) = ingest.walk(otlp) else {
        return Remade::default();
    };
    let batches = &ingested.batches;
    let mut fragments = batches.iter().flat_map(Batch::fragments);
    let digest = match (fragments.next(), fragments.next()) {
        (Some(one), None) if ingested.refused.is_empty() => Some(one.digest.to_vec()),
        _ => None,
    };
    Remade {
        digest,
        operations: batches.iter().flat_map(Batch::operations).collect(),
    }
}

/// A new folder for what is damaged, named by the time: `20260131T235959Z`.
fn aside(config: &Config) -> PathBuf {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let name = utc(since.map_or(0, |since| since.as_secs()));
    let parent = config.data_dir.join(ASIDE);
    let mut folder = parent.join(&name);
    let mut number = 1_u32;
    while folder.exists() {
        number += 1;
        folder = parent.join(format!("{name}-{number}"));
    }
    folder
}

/// Writes a time in seconds since 1970 in UTC.
fn utc(seconds: u64) -> String {
    let (mut days, rest) = (seconds / 86_400, seconds % 86_400);
    let is_leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let mut year = 1970;
    while days >= 365 + u64::from(is_leap(year)) {
        days -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let february = 28 + u64::from(is_leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    let (hours, minutes, seconds) = (rest / 3600, rest / 60 % 60, rest % 60);
    let day = days + 1;
    format!("{year:04}{month:02}{day:02}T{hours:02}{minutes:02}{seconds:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_in_utc() {
        for (seconds, text) in [
            (0, "19700101T000000Z"),
            (951_782_399, "20000228T235959Z"),
            (951_782_400, "20000229T000000Z"),
            (1_798_761_599, "20261231T235959Z"),
        ] {
            assert_eq!(utc(seconds), text);
        }
    }

    #[test]
    fn bytes_that_are_no_spans_make_nothing() {
        let mut ingest = Ingest::new(Limits {
            max_fragment_bytes: 100,
            max_batch_bytes: 100,
            max_span_bytes: 100,
            max_listed_bytes: 100,
        });
        assert_eq!(remake(&mut ingest, b"\xff\xff"), Remade::default());
        assert_eq!(remake(&mut ingest, b""), Remade::default());
    }
}
