//! A compiled plugin and what an operator decides about it: opens one tenant after the other without compiling again.

use std::sync::Arc;

use larder_core::telemetry::Metrics;
use larder_model::storage::Statistics;
use larder_store::{self as kv, MemoryDriver};

use super::described::{Described, Facts, describe};
use super::factory::{Factory, NotOpened};
use super::guest::Gauge;
use super::{Error, Instancing, Limits, Runtime, Settings, State, Status, Tenant};

/// See the module.
pub struct Opener {
    pub(super) runtime: Runtime,
    pub(super) described: Described,
    pub(super) limits: Limits,
    pub(super) kv: Arc<dyn kv::Driver>,
    pub(super) metrics: Arc<Metrics>,
}

// === impl Opener ===

impl Opener {
    /// Loads the plugin and checks that it fits the contract. Nothing of any tenant is touched.
    ///
    /// # Errors
    /// Everything that makes the component unusable: see [`Error`].
    pub async fn load(
        runtime: &Runtime,
        settings: Settings,
        kv: Arc<dyn kv::Driver>,
        metrics: Arc<Metrics>,
    ) -> Result<Self, Error> {
        let limits = settings.limits.clone();
        let described = describe(runtime, settings).await?;
        Ok(Self {
            runtime: runtime.clone(),
            described,
            limits,
            kv,
            metrics,
        })
    }

    /// The same component with other settings and limits, which are not compiled again.
    #[must_use]
    pub fn with(&self, settings: Vec<(String, String)>, limits: Limits) -> Self {
        Self {
            runtime: self.runtime.clone(),
            described: self.described.with(settings, &limits),
            limits,
            kv: Arc::clone(&self.kv),
            metrics: Arc::clone(&self.metrics),
        }
    }

    /// Opens the plugin for one tenant, by the name of its namespace.
    ///
    /// # Errors
    /// A plugin that fails or refuses to open, a namespace that cannot be opened or claimed.
    pub async fn open(&self, tenant: &str) -> Result<Arc<Tenant>, Error> {
        let factory = self.factory(Arc::clone(&self.kv), tenant).await?;
        let lane = factory.lane().clone();
        let opened = Tenant::start(factory, &self.limits, &self.metrics);
        lane.gated(opened).await
    }

    /// Opens the plugin on nothing and drops it again, so that settings which it refuses are told before any tenant calls. What it
    /// is: the memory is what it took.
    ///
    /// # Errors
    /// As [`Opener::open`].
    pub async fn try_out(&self) -> Result<Status, Error> {
        let factory = self.factory(Arc::new(MemoryDriver::new()), "").await?;
        let Described { opening, facts } = &*factory.described();
        let instance = factory.writer().await;
        let instance = instance.map_err(|error| error.into_error(&opening.name))?;
        let memory_used = opening.gauge.load(std::sync::atomic::Ordering::Relaxed);
        drop(instance);
        Ok(facts.status(&opening.name, memory_used))
    }

    /// What keeps the tenants' data, if the plugin keeps it in `kv`.
    pub fn kv(&self) -> &Arc<dyn kv::Driver> {
        &self.kv
    }

    /// What the plugin may use, and how much may wait for it.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// What the plugin calls itself.
    pub fn name(&self) -> &Arc<str> {
        &self.described.opening.name
    }

    /// Where the component was loaded from.
    pub fn source(&self) -> &str {
        &self.described.facts.source
    }

    /// Where what the plugin does is counted.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Where the plugin's data lives.
    pub fn instancing(&self) -> Instancing {
        self.described.facts.instancing
    }

    /// Each tenant's memory is counted by itself.
    async fn factory(&self, kv: Arc<dyn kv::Driver>, tenant: &str) -> Result<Factory, Error> {
        let described = self.described_for(Gauge::default());
        let name = Arc::clone(&described.opening.name);
        let factory = Factory::new(described, kv, self.runtime.scheduler().lane(tenant)).await;
        factory.map_err(|error| NotOpened::Kv(error).into_error(&name))
    }

    /// What the instances of a tenant are made of, whose memory is counted here.
    pub(super) fn described_for(&self, gauge: Gauge) -> Described {
        let mut described = self.described.clone();
        described.opening.gauge = gauge;
        described
    }
}

// === impl Facts ===

impl Facts {
    /// The status of a plugin that has just been opened.
    pub(super) fn status(&self, name: &str, memory_used: u64) -> Status {
        Status {
            name: name.to_owned(),
            version: self.version.clone(),
            source: self.source.clone(),
            hash: self.hash.clone(),
            imports: self.imports.clone(),
            instancing: self.instancing,
            state: State::Ready,
            restarts: 0,
            memory_used,
            memory_limit: self.memory_limit,
            queue_depth: 0,
            queue_bytes: 0,
            statistics: Statistics::default(),
        }
    }
}
