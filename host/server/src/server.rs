//! The server's life: binds, opens the plugin, serves, drains.
//!
//! The one place where the configuration becomes the limits of the other modules.

mod doors;
mod error;
mod hangups;
mod limits;
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
pub(crate) use limits::compiler;

use larder_core::Live;
use larder_core::Stores;
use larder_core::fair::Scheduler;
use larder_core::telemetry::Metrics;
use larder_edge::doors::Door;
use larder_grpc::{Grpc, Parts, Port};
use larder_runtime::plugin;
use larder_runtime::plugin::{Host, Runtime, RuntimeConfig};
use larder_runtime::tenants::{self, LoadError, Tenants};
use larder_store as kv;

use self::doors::Doors;
use self::reload::Reloader;
use crate::admin;
use crate::config::{Config, Durability, KvDriver, Size, Sources};

/// The admin port's connections may take so long to end, once all else has.
const ADMIN_DRAIN: Duration = Duration::from_secs(1);

/// The plugin has this much time to write what waits for it, however short the drain.
const PLUGIN_DRAIN: Duration = Duration::from_secs(1);

/// All ports bound and the plugin open; nothing is served yet.
pub struct Server {
    grpc: Grpc,
    doors: Doors,
    admin_router: axum::Router,
    tenants: Arc<Tenants>,
    /// Cancelled when the drain begins: readiness goes first.
    draining: CancellationToken,
    drain_timeout: Live<Duration>,
    /// For the headers of a request to the admin port (`limits.request_timeout`).
    header_timeout: Live<Duration>,
    reloader: Reloader,
}

// === impl Server ===

impl Server {
    /// Binds every port, makes the data directory and opens the plugin. `sources` are read again when that is asked for.
    ///
    /// # Errors
    /// Names the setting to change: a port in use, a directory without permission, a plugin that cannot be used.
    pub async fn bind(config: Config, sources: Sources) -> Result<Self, Error> {
        let doors = Doors::bind(&config).await?;
        make_data_dir(&config.data_dir)?;

        let metrics = Arc::new(Metrics::new());
        let scheduler = Arc::<Scheduler>::default();
        let tenants = open_tenants(&config, &metrics, &scheduler).await?;
        let draining = CancellationToken::new();
        let search = Live::new(limits::search(&config));
        let (resolver, writer_resolver) = (
            limits::resolver(&config, Port::Main),
            limits::resolver(&config, Port::Writer),
        );
        let drain_timeout = Live::new(config.limits.drain_timeout);
        let request_timeout = Live::new(config.limits.request_timeout);
        let purge = Live::new(config.admin.purge);
        let grpc = Grpc::new(
            Parts {
                stores: Arc::clone(&tenants) as Arc<dyn Stores>,
                resolver: resolver.clone(),
                writer_resolver: writer_resolver.clone(),
                search: search.clone(),
                scheduler,
                metrics: Arc::clone(&metrics),
                ready: tenants.ready(),
                max_request_bytes: config.grpc.max_request_bytes.as_usize(),
                request_timeout: request_timeout.clone(),
                access: Arc::clone(&doors.access),
                ingest: limits::ingest(&config),
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
            files: doors.files.clone(),
            tenants: Arc::clone(&tenants),
            resolver,
            writer_resolver,
            search,
            drain_timeout: drain_timeout.clone(),
            request_timeout: request_timeout.clone(),
            purge: purge.clone(),
            connections: doors.connections(),
            strangers: doors.strangers,
            metrics: Arc::clone(&metrics),
        });
        let admin_router = admin::router(admin::AdminState {
            metrics,
            plugin: Arc::clone(&tenants) as Arc<dyn admin::Plugin>,
            searcher: Arc::new(explainer),
            stopping: draining.clone(),
            reloader: Arc::new(reloader.clone()),
            purge,
            tenancy,
            access: Arc::clone(&doors.access),
            request_timeout: request_timeout.clone(),
        });
        Ok(Self {
            grpc,
            doors,
            admin_router,
            tenants,
            draining,
            drain_timeout,
            header_timeout: request_timeout,
            reloader,
        })
    }

    /// Where all gRPC services listen.
    pub fn grpc_addr(&self) -> SocketAddr {
        self.doors.main.address
    }

    /// Where OTLP writes have a port of their own.
    pub fn writer_addr(&self) -> Option<SocketAddr> {
        self.doors.writer.as_ref().map(|door| door.address)
    }

    /// Where operators look.
    pub fn admin_addr(&self) -> SocketAddr {
        self.doors.admin.address
    }

    /// The plugin that stores.
    pub fn plugin(&self) -> plugin::Status {
        self.tenants.status()
    }

    /// Serves until `shutdown`, then drains: readiness goes, no connection is accepted, the RPCs that are under way may end
    /// within `limits.drain_timeout`, and the plugin has as much time again to write what waits for it. Every acknowledged write is in
    /// the plugin when this returns.
    ///
    /// # Errors
    /// A port that fails by itself ends the server in the same way.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), Error> {
        let stop_admin = CancellationToken::new();
        let files = larder_edge::files::watch(self.doors.files, stop_admin.clone());
        tokio::spawn(files);
        let hangups = self.reloader.follow(self.doors.hangups, stop_admin.clone());
        tokio::spawn(hangups);
        let mut ports = JoinSet::new();
        serve(&mut ports, &self.grpc, Port::Main, self.doors.main);
        if let Some(writer) = self.doors.writer {
            serve(&mut ports, &self.grpc, Port::Writer, writer);
        }
        let mut admin = tokio::spawn(admin::serve(
            self.admin_router,
            self.doors.admin,
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
            self.grpc.written().await;
        });
        if drained.await.is_err() {
            tracing::warn!(
                timeout = ?drain_timeout,
                "calls were still under way after limits.drain_timeout and are cut off"
            );
        }
        let patience = drain_timeout.max(PLUGIN_DRAIN);
        if timeout(patience, self.tenants.shutdown()).await.is_err() {
            // A guest that spins would hold the stop up until its own deadline.
            tracing::warn!(
                timeout = ?patience,
                "the plugin was still busy after limits.drain_timeout and is cut off; writes that were not acknowledged are lost"
            );
        }
        stop_admin.cancel();
        if !admin.is_finished() && timeout(ADMIN_DRAIN, &mut admin).await.is_err() {
            admin.abort();
        }
        ended
    }
}

fn serve(ports: &mut JoinSet<Result<(), Error>>, grpc: &Grpc, port: Port, door: Door) {
    let grpc = grpc.clone();
    ports.spawn(async move {
        let served = grpc.serve(port, door).await;
        served.map_err(Error::Grpc)
    });
}

/// What compiles plugins, and keeps what was compiled.
pub(crate) fn runtime(
    config: &Config,
    scheduler: &Arc<Scheduler>,
) -> Result<Runtime, plugin::Error> {
    Runtime::new(&RuntimeConfig {
        cache_dir: Some(config.data_dir.join("cache/wasmtime")),
        compiler: Some(compiler(config)),
        scheduler: Arc::clone(scheduler),
        ..RuntimeConfig::default()
    })
}

/// The plugin and the quotas of every tenant.
pub(crate) fn tenant_configs(config: &Config) -> Result<tenants::Config, LoadError> {
    limits::tenant_configs(config)
}

async fn open_tenants(
    config: &Config,
    metrics: &Arc<Metrics>,
    scheduler: &Arc<Scheduler>,
) -> Result<Arc<Tenants>, Error> {
    let runtime = runtime(config, scheduler).map_err(Error::Runtime)?;
    let tenants = tenant_configs(config).map_err(Error::Plugin)?;
    let host = Host {
        runtime,
        kv: open_kv(config, scheduler).await?,
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
    let KvDriver::Fjall = config.kv.driver else {
        return Ok(Arc::new(kv::MemoryDriver::new()));
    };
    let options = kv_options(config, scheduler);
    // What a crash left is read here, which blocks.
    let opened = tokio::task::spawn_blocking(move || kv::fjall::FjallDriver::open(options)).await;
    let driver = opened.map_err(Error::Task)?.map_err(Error::Kv)?;
    Ok(Arc::new(driver))
}

/// What the `fjall` driver is opened with.
pub(crate) fn kv_options(config: &Config, scheduler: &Arc<Scheduler>) -> kv::fjall::Options {
    kv::fjall::Options {
        dir: kv_dir(config),
        durability: match config.kv.durability {
            Durability::Sync => kv::fjall::Durability::Sync,
            Durability::Periodic => kv::fjall::Durability::Periodic(config.kv.sync_interval),
        },
        quotas: kv::Quotas::of_all(config.kv.quota.map(Size::bytes)),
        min_free: config.kv.min_free.bytes(),
        scheduler: Arc::clone(scheduler),
    }
}

/// Where the `fjall` driver keeps its files.
pub fn kv_dir(config: &Config) -> PathBuf {
    config.data_dir.join("kv")
}

/// Makes the directory, for its owner only, and tries whether it can be written to: a volume that another user owns is found
/// out now, and not by the first write.
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
