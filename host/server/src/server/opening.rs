//! Opens the store, and then the plugins in it, while the ports answer already.

use std::sync::Arc;

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
use super::{Error, cache_dir, kv_options, limits, observers, runtime};
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
    /// be interrupted, is closed once it is open; the result is `None` then.
    ///
    /// # Errors
    /// A store or a plugin that cannot be used.
    pub(super) async fn open(
        &self,
        tenants: tenants::Config,
        stop: &CancellationToken,
    ) -> Result<Option<Arc<Tenants>>, Error> {
        // Before the cache of compiled plugins is made: a start that is refused leaves the data folder as it is.
        let kv = self.open_kv().await?;
        let opened = tokio::select! {
            biased;
            () = stop.cancelled() => None,
            opened = self.open_tenants(tenants, Arc::clone(&kv)) => Some(opened?),
        };
        if opened.is_none() {
            kv.close().await.map_err(Error::LastSync)?;
        }
        Ok(opened)
    }

    async fn open_kv(&self) -> Result<Arc<dyn kv::Driver>, Error> {
        self.begin(STORE);
        match self.config.kv.driver {
            KvDriver::Memory => Ok(Arc::new(kv::MemoryDriver::new())),
            KvDriver::Embedded => {
                let options = kv_options(self.config, self.scheduler);
                // Opening reads the journal that a crash left, which blocks.
                let open = move || kv::embedded::EmbeddedDriver::open(options);
                let opened = tokio::task::spawn_blocking(open).await;
                let driver = opened.map_err(Error::Task)?.map_err(Error::Kv)?;
                Ok(Arc::new(driver))
            }
        }
    }

    async fn open_tenants(
        &self,
        tenants: tenants::Config,
        kv: Arc<dyn kv::Driver>,
    ) -> Result<Arc<Tenants>, Error> {
        self.begin(COMPONENTS);
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
        let tenants = Tenants::start(loaded, limits::tenants(config)).await;
        tenants.map_err(Error::Plugin)
    }

    fn begin(&self, step: &str) {
        tracing::info!(step, "starting");
        self.step.set(step.to_owned());
    }
}
