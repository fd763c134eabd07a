//! The life cycle of the server: bind the ports, open the plugin, serve, drain.
//!
//! Only this module turns the configuration into the limits of the other crates.

mod clock;
mod error;
mod hangups;
mod limits;
mod listeners;
mod open_files;
mod rehearsal;
mod reload;

use std::fs::{self, DirBuilder};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

pub use error::Error;
pub(crate) use limits::{compiler, ingest as ingest_limits};
pub use open_files::raise_limit as raise_limit_of_open_files;
pub(crate) use rehearsal::{compiled, rehearse};

use larder_core::Live;
use larder_core::Stores;
use larder_core::clock::TrustedClock;
use larder_core::fair::Scheduler;
use larder_core::telemetry::Metrics;
use larder_edge::listeners::Listener;
use larder_grpc::{Grpc, Parts, Port};
use larder_runtime::plugin;
use larder_runtime::plugin::{Host, Runtime, RuntimeConfig};
use larder_runtime::tenants::{self, LoadError, Tenants};
use larder_store as kv;

use self::listeners::Listeners;
use self::open_files::OpenFiles;
use self::reload::Reloader;
use crate::admin;
use crate::config::{Config, Durability, KvDriver, Size, Sources};

/// Time for the connections of the admin port to end, after all else has stopped.
const ADMIN_DRAIN: Duration = Duration::from_secs(1);

/// The least time that the plugin has to write what is queued, even if `limits.drain_timeout` is shorter.
const PLUGIN_DRAIN: Duration = Duration::from_secs(1);

/// A server with bound ports and an open plugin, which does not serve yet.
pub struct Server {
    grpc: Grpc,
    listeners: Listeners,
    admin_router: axum::Router,
    tenants: Arc<Tenants>,
    /// Cancelled when the drain begins, so that `/readyz` fails first.
    draining: CancellationToken,
    drain_timeout: Live<Duration>,
    /// Timeout of the headers of a request to the admin port (`limits.request_timeout`).
    header_timeout: Live<Duration>,
    reloader: Reloader,
    clock: clock::Kept,
}

// === impl Server ===

impl Server {
    /// Binds every port, creates the data directory and opens the plugin. A reload reads `sources` again.
    ///
    /// # Errors
    /// A port in use, a directory without permission, an unusable plugin. The text names the setting to change.
    pub async fn bind(config: Config, sources: Sources) -> Result<Self, Error> {
        let listeners = Listeners::bind(&config).await?;
        make_data_dir(&config.data_dir)?;

        let metrics = Arc::new(Metrics::new());
        let scheduler = Arc::<Scheduler>::default();
        // Before the store is opened, which changes the times of its files.
        let clock = clock::open(&config);
        let tenants = open_tenants(&config, &metrics, &scheduler, &clock).await?;
        let kept = clock::Kept::new(&config, Arc::clone(&clock));
        let draining = CancellationToken::new();
        let search = Live::new(limits::search(&config));
        let (resolver, writer_resolver) = (
            limits::resolver(&config, Port::Main),
            limits::resolver(&config, Port::Writer),
        );
        let drain_timeout = Live::new(config.limits.drain_timeout);
        let request_timeout = Live::new(config.limits.request_timeout);
        let purge = Live::new(config.admin.purge);
        let snapshot_dir = Live::new(config.kv.snapshot_dir.clone());
        let word_terms = Live::new(config.ingest.word_terms);
        let grpc = Grpc::new(
            Parts {
                stores: Arc::clone(&tenants) as Arc<dyn Stores>,
                resolver: resolver.clone(),
                writer_resolver: writer_resolver.clone(),
                search: search.clone(),
                scheduler,
                metrics: Arc::clone(&metrics),
                serving: tenants.health(),
                max_request_bytes: config.grpc.max_request_bytes.as_usize(),
                request_timeout: request_timeout.clone(),
                access: Arc::clone(&listeners.access),
                ingest: limits::ingest(&config),
                word_terms: word_terms.clone(),
            },
            draining.clone(),
        );
        let explainer = admin::Explainer {
            tenants: Arc::clone(&tenants),
            limits: search.clone(),
            metrics: Arc::clone(&metrics),
        };
        let tenancy = config.tenancy.enabled;
        let reloader = Reloader::new(reload::Parts {
            sources,
            config: tokio::sync::Mutex::new(config),
            files: listeners.files.clone(),
            tenants: Arc::clone(&tenants),
            resolver,
            writer_resolver,
            search,
            drain_timeout: drain_timeout.clone(),
            request_timeout: request_timeout.clone(),
            purge: purge.clone(),
            snapshot_dir: snapshot_dir.clone(),
            word_terms,
            connections: listeners.connections(),
            anonymous_admin: listeners.anonymous_admin,
            metrics: Arc::clone(&metrics),
        });
        let admin_router = admin::router(admin::AdminState {
            metrics,
            backend: Arc::clone(&tenants) as Arc<dyn admin::Backend>,
            explainer: Arc::new(explainer),
            stopping: draining.clone(),
            reloader: Arc::new(reloader.clone()),
            purge,
            clock,
            snapshot_dir,
            tenancy,
            access: Arc::clone(&listeners.access),
            certificates: listeners.certificates.clone(),
            request_timeout: request_timeout.clone(),
        });
        Ok(Self {
            grpc,
            listeners,
            admin_router,
            tenants,
            draining,
            drain_timeout,
            header_timeout: request_timeout,
            reloader,
            clock: kept,
        })
    }

    /// The address of the gRPC port with all services.
    pub fn grpc_addr(&self) -> SocketAddr {
        self.listeners.main.address
    }

    /// The address of the port for OTLP writes only, if there is one.
    pub fn writer_addr(&self) -> Option<SocketAddr> {
        self.listeners
            .writer
            .as_ref()
            .map(|listener| listener.address)
    }

    /// The address of the admin port.
    pub fn admin_addr(&self) -> SocketAddr {
        self.listeners.admin.address
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
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), Error> {
        let stop_admin = CancellationToken::new();
        let files = larder_edge::files::watch(self.listeners.files, stop_admin.clone());
        tokio::spawn(files);
        let clock = tokio::spawn(self.clock.keep(stop_admin.clone()));
        let hangups = self
            .reloader
            .follow(self.listeners.hangups, stop_admin.clone());
        tokio::spawn(hangups);
        let mut ports = JoinSet::new();
        serve(&mut ports, &self.grpc, Port::Main, self.listeners.main);
        if let Some(writer) = self.listeners.writer {
            serve(&mut ports, &self.grpc, Port::Writer, writer);
        }
        let mut admin = tokio::spawn(admin::serve(
            self.admin_router,
            self.listeners.admin,
            self.header_timeout,
            stop_admin.clone(),
        ));

        let ended = tokio::select! {
            () = shutdown.cancelled() => Ok(()),
            Some(port) = ports.join_next() => port.unwrap_or_else(|error| Err(Error::Task(error))),
            served = &mut admin => served.map_err(Error::Task),
        };

        tracing::info!("shutting down");
        self.draining.cancel();
        let drain_timeout = *self.drain_timeout.get();
        let drained = timeout(drain_timeout, async {
            while ports.join_next().await.is_some() {}
            self.grpc.wait_for_writes().await;
        });
        if drained.await.is_err() {
            tracing::warn!(
                timeout = ?drain_timeout,
                "calls were still under way after limits.drain_timeout and are cut off"
            );
        }
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
        stop_admin.cancel();
        if !admin.is_finished() && timeout(ADMIN_DRAIN, &mut admin).await.is_err() {
            admin.abort();
        }
        // It writes one small file.
        drop(clock.await);
        ended.and(closed.map_err(Error::LastSync))
    }
}

fn serve(ports: &mut JoinSet<Result<(), Error>>, grpc: &Grpc, port: Port, listener: Listener) {
    let grpc = grpc.clone();
    ports.spawn(async move {
        let served = grpc.serve(port, listener).await;
        served.map_err(Error::Grpc)
    });
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

async fn open_tenants(
    config: &Config,
    metrics: &Arc<Metrics>,
    scheduler: &Arc<Scheduler>,
    clock: &Arc<TrustedClock>,
) -> Result<Arc<Tenants>, Error> {
    let tenants = tenant_configs(config).map_err(Error::Plugin)?;
    // Before the cache of compiled plugins is made: a start that is refused leaves the data folder as it is.
    let kv = open_kv(config, scheduler).await?;
    let runtime =
        runtime(config, scheduler, Arc::clone(clock), cache_dir(config)).map_err(Error::Runtime)?;
    let host = Host {
        runtime,
        kv,
        metrics: Arc::clone(metrics),
    };
    let loaded = tenants.load(&host).await.map_err(Error::Plugin)?;
    let tenants = Tenants::start(loaded, limits::tenants(config)).await;
    tenants.map_err(Error::Plugin)
}

async fn open_kv(
    config: &Config,
    scheduler: &Arc<Scheduler>,
) -> Result<Arc<dyn kv::Driver>, Error> {
    match config.kv.driver {
        KvDriver::Memory => Ok(Arc::new(kv::MemoryDriver::new())),
        KvDriver::Embedded => {
            let options = kv_options(config, scheduler);
            // Opening reads the journal that a crash left, which blocks.
            let open = move || kv::embedded::EmbeddedDriver::open(options);
            let opened = tokio::task::spawn_blocking(open).await;
            let driver = opened.map_err(Error::Task)?.map_err(Error::Kv)?;
            Ok(Arc::new(driver))
        }
    }
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
fn make_data_dir(path: &Path) -> Result<(), Error> {
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
