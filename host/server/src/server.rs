//! The life cycle of the server: bind the ports and answer, open the plugin, serve, drain.
//!
//! Only this module turns the configuration into the limits of the other crates.

pub(crate) mod cassandra;
mod clock;
mod error;
mod graphs;
mod hangups;
mod limits;
mod listeners;
mod live_settings;
mod observers;
mod open_files;
mod opening;
mod ports;
mod rehearsal;
mod reload;
mod starting;
mod waiting;

use std::fs::{self, DirBuilder};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

pub use error::Error;
pub(crate) use limits::{compiler, ingest as ingest_limits};
pub use open_files::raise_limit as raise_limit_of_open_files;
pub(crate) use rehearsal::{compiled, rehearse};
pub use starting::StartingServer;

use larder_core::Live;
use larder_core::clock::TrustedClock;
use larder_core::fair::Scheduler;
use larder_runtime::plugin;
use larder_runtime::plugin::{Runtime, RuntimeConfig};
use larder_runtime::tenants::{self, LoadError, Tenants};
use larder_store as kv;

use self::open_files::OpenFiles;
use self::ports::{Addresses, Ports};
use crate::config::{Config, Durability, Size};

/// The least time that the plugin has to write what is queued, and a store to open before a stop, even if `limits.drain_timeout` is
/// shorter.
const PLUGIN_DRAIN: Duration = Duration::from_secs(1);

/// A server that serves.
pub struct Server {
    addresses: Addresses,
    ports: Ports,
    tenants: Arc<Tenants>,
    drain_timeout: Live<Duration>,
    /// Ends after the ports.
    clock: JoinHandle<()>,
}

// === impl Server ===

impl Server {
    /// The address of the gRPC port with all services.
    pub fn grpc_addr(&self) -> SocketAddr {
        self.addresses.main
    }

    /// The address of the port for OTLP writes only, if there is one.
    pub fn writer_addr(&self) -> Option<SocketAddr> {
        self.addresses.writer
    }

    /// The address of the admin port.
    pub fn admin_addr(&self) -> SocketAddr {
        self.addresses.admin
    }

    /// The status of the plugin.
    pub fn plugin(&self) -> plugin::Status {
        self.tenants.status()
    }

    /// Serves until `shutdown`, then drains: readiness fails, no connection is accepted, RPCs in flight have `limits.drain_timeout` to
    /// end, and the plugin has the same time again to write what is queued. Every acknowledged write is in the plugin when this returns.
    ///
    /// # Errors
    /// A port that failed; the server drains then too. A disk that failed in the last sync of `kv`.
    pub async fn run(mut self, shutdown: CancellationToken) -> Result<(), Error> {
        let ended = tokio::select! {
            () = shutdown.cancelled() => Ok(()),
            ended = self.ports.ended() => ended,
        };

        tracing::info!("shutting down");
        self.ports.begin_drain();
        let drain_timeout = *self.drain_timeout.get();
        self.ports.drain(drain_timeout).await;
        let plugin_timeout = drain_timeout.max(PLUGIN_DRAIN);
        if timeout(plugin_timeout, self.tenants.shutdown())
            .await
            .is_err()
        {
            // A guest in an endless loop would delay the shutdown until its deadline.
            tracing::warn!(
                timeout = ?plugin_timeout,
                "the plugin was still busy after limits.drain_timeout and is cut off; writes that were not acknowledged are lost"
            );
        }
        // Tasks that were cut off still hold the driver, so dropping it would not end it.
        let closed = self.tenants.close_store().await;
        self.ports.close().await;
        // It writes one small file.
        drop(self.clock.await);
        ended.and(closed.map_err(Error::LastSync))
    }
}

/// The wasm runtime, with the compiler process and a folder that caches compiled plugins.
pub(crate) fn runtime(
    config: &Config,
    scheduler: &Arc<Scheduler>,
    trusted_clock: Arc<TrustedClock>,
    cache_dir: PathBuf,
) -> Result<Runtime, plugin::Error> {
    Runtime::new(&RuntimeConfig {
        cache_dir: Some(cache_dir),
        compiler: Some(compiler(config)),
        scheduler: Arc::clone(scheduler),
        trusted_clock,
        ..RuntimeConfig::default()
    })
}

/// The plugin and the quotas of each tenant.
pub(crate) fn tenant_configs(config: &Config) -> Result<tenants::Config, LoadError> {
    limits::tenant_configs(config)
}

/// The options of the embedded driver.
pub(crate) fn kv_options(config: &Config, scheduler: &Arc<Scheduler>) -> kv::embedded::Options {
    kv::embedded::Options {
        dir: kv_dir(config),
        durability: match config.kv.durability {
            Durability::Sync => kv::embedded::Durability::Sync,
            Durability::Periodic => kv::embedded::Durability::Periodic(config.kv.sync_interval),
        },
        quotas: kv::Quotas::of_all(config.kv.quota.map(Size::bytes)),
        min_free: config.kv.min_free.bytes(),
        open_files: OpenFiles::current().store,
        scheduler: Arc::clone(scheduler),
    }
}

/// The folder of compiled plugins.
pub(crate) fn cache_dir(config: &Config) -> PathBuf {
    config.data_dir.join("cache/wasmtime")
}

/// The directory of the embedded driver.
pub fn kv_dir(config: &Config) -> PathBuf {
    config.data_dir.join("kv")
}

/// Creates the directory, for its owner only, and writes a file to it, so that a volume owned by another user fails the start and
/// not the first write.
pub(crate) fn make_data_dir(path: &Path) -> Result<(), Error> {
    let made = || -> io::Result<()> {
        let mut builder = DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(path)?;
        let probe = path.join(format!(".writable-{}", std::process::id()));
        fs::write(&probe, [])?;
        fs::remove_file(&probe)
    };
    made().map_err(|source| Error::DataDir {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests;
