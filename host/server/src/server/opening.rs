//! Opens the store, and then the plugins in it, while the ports answer already.

use std::sync::Arc;

use larder_cassandra::CassandraDriver;
use larder_core::Live;
use larder_core::clock::TrustedClock;
use larder_core::fair::Scheduler;
use larder_core::telemetry::Metrics;
use larder_model::dictionary::Dictionaries;
use larder_runtime::plugin::Host;
use larder_runtime::tenants::{self, Tenants};
use larder_store as kv;
use tokio_util::sync::CancellationToken;

use super::graphs::KeptGraphs;
use super::waiting::Waiting;
use super::{Error, cache_dir, cassandra, kv_options, limits, observers, runtime};
use crate::config::{Config, KvDriver};

/// The first step of a start.
pub(super) const STORE: &str = "opening the store";
const COMPONENTS: &str = "loading the plugin";
const PLUGIN: &str = "opening the plugin";

/// What a start opens with.
pub(super) struct Parts<'a> {
    pub(super) config: &'a Config,
    pub(super) metrics: &'a Arc<Metrics>,
    pub(super) scheduler: &'a Arc<Scheduler>,
    pub(super) clock: &'a Arc<TrustedClock>,
    /// What is kept of traces, if anything is.
    pub(super) graphs: Option<&'a KeptGraphs>,
    /// Gets the dictionaries of the tenants that are open.
    pub(super) dictionaries: &'a Dictionaries,
    /// What the start does now, for those who ask.
    pub(super) step: &'a Live<String>,
}

// === impl Parts ===

impl Parts<'_> {
    /// Opens the store and the plugins of the tenants. Once `stop` is cancelled the plugins are given up, and the store, whose opening cannot
    /// be interrupted if it is on disk, is closed once it is open; the result is `None` then. A store on other machines is waited for.
    ///
    /// # Errors
    /// A store or a plugin that cannot be used, and would not be later.
    pub(super) async fn open(
        &self,
        tenants: tenants::Config,
        stop: &CancellationToken,
    ) -> Result<Option<Arc<Tenants>>, Error> {
        // Before the cache of compiled plugins is made: a start that is refused leaves the data folder as it is.
        let Some(kv) = self.open_kv(stop).await? else {
            return Ok(None);
        };
        let opened = tokio::select! {
            biased;
            () = stop.cancelled() => None,
            opened = self.open_tenants(tenants, Arc::clone(&kv), stop) => opened?,
        };
        if opened.is_none() {
            kv.close().await.map_err(Error::LastSync)?;
        }
        Ok(opened)
    }

    async fn open_kv(
        &self,
        stop: &CancellationToken,
    ) -> Result<Option<Arc<dyn kv::Driver>>, Error> {
        self.begin(STORE);
        match self.config.kv.driver {
            KvDriver::Memory => Ok(Some(Arc::new(kv::MemoryDriver::new()))),
            KvDriver::Embedded => {
                let options = kv_options(self.config, self.scheduler);
                // Opening reads the journal that a crash left, which blocks.
                let open = move || kv::embedded::EmbeddedDriver::open(options);
                let opened = tokio::task::spawn_blocking(open).await;
                let driver = opened.map_err(Error::Task)?.map_err(Error::Kv)?;
                Ok(Some(Arc::new(driver)))
            }
            KvDriver::Cassandra => self.connect(stop).await,
        }
    }

    /// Connects to Cassandra, once that is there.
    async fn connect(
        &self,
        stop: &CancellationToken,
    ) -> Result<Option<Arc<dyn kv::Driver>>, Error> {
        if self.config.grpc.max_connection_age.is_none() {
            tracing::info!(
                "grpc.max_connection_age is unset: clients stay with the host that they have reached, also after others have come back"
            );
        }
        let options = cassandra::options(self.config)?;
        let connected = self.waiting(stop).until(async || {
            let driver = Box::pin(CassandraDriver::connect(options.clone())).await;
            driver.map_err(Error::Kv)
        });
        let driver = connected.await?;
        Ok(driver.map(|driver| Arc::new(driver) as Arc<dyn kv::Driver>))
    }

    async fn open_tenants(
        &self,
        tenants: tenants::Config,
        kv: Arc<dyn kv::Driver>,
        stop: &CancellationToken,
    ) -> Result<Option<Arc<Tenants>>, Error> {
        self.begin(COMPONENTS);
        let is_shared = kv.is_shared();
        let (config, clock) = (self.config, Arc::clone(self.clock));
        let runtime = runtime(config, self.scheduler, clock, cache_dir(config));
        let host = Host {
            runtime: runtime.map_err(Error::Runtime)?,
            kv,
            metrics: Arc::clone(self.metrics),
            observers: Some(observers::observers(self.graphs, self.dictionaries)),
        };
        let loaded = tenants.load(&host).await.map_err(Error::Plugin)?;
        self.begin(PLUGIN);
        let start = async || {
            let started = Tenants::start(loaded.clone(), limits::tenants(config)).await;
            started.map_err(Error::Plugin)
        };
        if is_shared {
            // What it needs of other machines may have gone since they were connected to.
            self.waiting(stop).until(start).await
        } else {
            start().await.map(Some)
        }
    }

    fn waiting<'a>(&'a self, stop: &'a CancellationToken) -> Waiting<'a> {
        Waiting {
            step: self.step,
            stop,
        }
    }

    fn begin(&self, step: &str) {
        tracing::info!(step, "starting");
        self.step.set(step.to_owned());
    }
}
