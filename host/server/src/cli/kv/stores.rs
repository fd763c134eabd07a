//! The stores of `larder kv copy`: one to read, and one to write.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use larder_cassandra::{CassandraDriver, Options};
use larder_store::embedded::EmbeddedDriver;
use larder_store::{Driver, is_within};
use tempfile::TempDir;

use crate::cli::check;
use crate::config::{Config, KvDriver, Sources};
use crate::server::cassandra::{Identity, options_as};
use crate::server::{self, kv_dir};

/// The command's name among the hosts of a shared store.
const COMMAND: &str = "kv copy";

/// The store to read.
pub(super) struct Source {
    pub(super) driver: Arc<dyn Driver>,
    config: Config,
    scratch: Option<TempDir>,
}

/// The store to write.
pub(super) struct Target {
    /// `None` for a dry run if there is no store yet.
    pub(super) driver: Option<Arc<dyn Driver>>,
    scratch: Option<TempDir>,
}

/// The configuration of the store to read. Variables of the environment are for the target.
fn source_config(from: &Path) -> anyhow::Result<Config> {
    if from.is_dir() {
        return Ok(Config {
            data_dir: from.to_owned(),
            ..Config::default()
        });
    }
    let sources = Sources {
        file: Some(from.to_owned()),
        ..Sources::default()
    };
    let loaded = Config::load(&sources);
    loaded.with_context(|| format!("cannot read `{}`, of `--from`", from.display()))
}

fn target_config(to: &Path) -> anyhow::Result<Config> {
    let sources = Sources {
        file: Some(to.to_owned()),
        environment: std::env::vars_os().collect(),
        ..Sources::default()
    };
    let loaded = Config::load(&sources);
    loaded.with_context(|| format!("cannot read `{}`, of `--to`", to.display()))
}

// === impl Source ===

impl Source {
    /// Opens the store to read it.
    ///
    /// # Errors
    /// A process uses it, or it cannot be read.
    pub(super) async fn open(from: &Path) -> anyhow::Result<Self> {
        let config = source_config(from)?;
        let (driver, scratch): (Arc<dyn Driver>, Option<TempDir>) = match config.kv.driver {
            KvDriver::Embedded => {
                let scratch = check::scratch()?;
                let driver = check::open(&config, scratch.path())?;
                (Arc::new(driver), Some(scratch))
            }
            KvDriver::Memory => {
                anyhow::bail!("the source has `kv.driver: memory`: nothing of it is stored")
            }
            KvDriver::Cassandra => {
                let options = Options {
                    create_schema: false,
                    ..options_as(&config, Identity::of_command(COMMAND))?
                };
                let opened = check::cassandra::open(options).await;
                let driver: Arc<dyn Driver> = opened.context("cannot open the source")?;
                (driver, None)
            }
        };
        Ok(Self {
            driver,
            config,
            scratch,
        })
    }

    /// Closes the store. Fails if a host has come while it was read.
    pub(super) async fn close(self) -> anyhow::Result<()> {
        let hosts = self.driver.hosts().await;
        let closed = self.driver.close().await;
        drop(self.driver);
        if let Some(scratch) = self.scratch {
            check::remove(scratch);
        }
        closed.context("cannot close the source")?;
        let hosts = hosts.context("the copy has ended, but not whether a host came meanwhile")?;
        if let Some(names) = check::cassandra::others_in_words(&hosts) {
            anyhow::bail!(
                "a host of the source came while it was read, and what it has written may be missing: {names}. Stop it, and copy into an empty store"
            );
        }
        Ok(())
    }
}

// === impl Target ===

impl Target {
    /// Opens the store to write it. A folder in which nothing was ever stored gets the writer id of the source.
    ///
    /// # Errors
    /// A process uses the folder, or the store cannot be written.
    pub(super) async fn open(to: &Path, source: &Source) -> anyhow::Result<Self> {
        let config = target_config(to)?;
        let driver: Arc<dyn Driver> = match config.kv.driver {
            KvDriver::Embedded => {
                let dir = kv_dir(&config);
                let from = &source.config;
                let is_folder = from.kv.driver == KvDriver::Embedded;
                if is_folder && is_within(&dir, &kv_dir(from)) {
                    anyhow::bail!("`{}` is the source itself", dir.display());
                }
                let cannot_open = || format!("cannot open {}", dir.display());
                server::make_data_dir(&config.data_dir)?;
                EmbeddedDriver::give_writer_id(&dir, &source.driver.writer_id())
                    .with_context(cannot_open)?;
                let options = server::kv_options(&config, &Arc::default());
                Arc::new(EmbeddedDriver::open(options).with_context(cannot_open)?)
            }
            KvDriver::Memory => return Err(nothing_left()),
            KvDriver::Cassandra => {
                let options = options_as(&config, Identity::of_command(COMMAND))?;
                connect(options).await?
            }
        };
        driver.set_quotas(server::tenant_configs(&config)?.kv_quotas());
        Ok(Self {
            driver: Some(driver),
            scratch: None,
        })
    }

    /// Opens the store to look at it.
    ///
    /// # Errors
    /// As [`Target::open`].
    pub(super) async fn open_to_look(to: &Path) -> anyhow::Result<Self> {
        let config = target_config(to)?;
        match config.kv.driver {
            KvDriver::Embedded => {
                let scratch = check::scratch()?;
                let options = server::kv_options(&config, &Arc::default());
                let dir = options.dir.clone();
                let driver = EmbeddedDriver::open_read_only(options, scratch.path())
                    .with_context(|| format!("cannot open {}", dir.display()))?;
                Ok(Self {
                    driver: driver.map(|driver| Arc::new(driver) as Arc<dyn Driver>),
                    scratch: Some(scratch),
                })
            }
            KvDriver::Memory => Err(nothing_left()),
            KvDriver::Cassandra => {
                let options = Options {
                    create_schema: false,
                    ..options_as(&config, Identity::of_command(COMMAND))?
                };
                Ok(Self {
                    driver: Some(connect(options).await?),
                    scratch: None,
                })
            }
        }
    }

    /// Closes the store, so that other hosts may adopt what was copied at once.
    pub(super) async fn close(self) -> anyhow::Result<()> {
        let closed = match self.driver {
            Some(driver) => driver.close().await,
            None => Ok(()),
        };
        if let Some(scratch) = self.scratch {
            check::remove(scratch);
        }
        closed.context("cannot close the target")
    }
}

async fn connect(options: Options) -> anyhow::Result<Arc<dyn Driver>> {
    let driver = CassandraDriver::connect(options).await;
    Ok(Arc::new(driver.context("cannot open the target")?))
}

fn nothing_left() -> anyhow::Error {
    anyhow::anyhow!("the target has `kv.driver: memory`: nothing would be left of the copy")
}
