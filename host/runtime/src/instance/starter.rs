//! Starts and opens the instances of one tenant's plugin.

use std::future::{Future, pending};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use larder_core::fair::Lane;
use larder_model::storage::{Error, ErrorKind, Keep};
use larder_store::{self as kv, Claim, Driver, Namespace};
use parking_lot::{Mutex, RwLock};
use tracing::{Instrument as _, info_span, warn};

use super::keep::{self, NamespaceKeep};
use super::observed::{Observed, UpkeepOf};
use crate::component::{Component, Instancing, PluginConfig};
use crate::sandbox::contract::{Environment, Identity, Role};
use crate::sandbox::guest::{Called, Cause, Failure, Gauge, Instance, KvAccess};
use crate::sandbox::refusal;

/// Component, namespace and lane of one tenant's instances.
pub(crate) struct Starter {
    component: RwLock<Arc<Component>>,
    driver: Arc<dyn Driver>,
    lane: Lane,
    /// Memory of all of the tenant's instances.
    gauge: Gauge,
    namespace: Mutex<Arc<dyn Namespace>>,
    /// The observer's place in the namespace. `None` if nobody observes the tenant, or what is kept of it is in memory.
    keep: Mutex<Option<Arc<NamespaceKeep>>>,
    /// The namespace's generation when the writer was last opened.
    generation: AtomicU64,
    observed: Arc<Observed>,
}

/// Why there is no new instance.
#[derive(Debug)]
pub(crate) enum OpenError {
    /// It failed on its way.
    Failed(Failure),
    /// `open` raised an error.
    Refused(String),
    /// Its storage cannot be claimed.
    Kv(kv::Error),
}

// === impl Starter ===

impl Starter {
    pub(crate) async fn new(component: Arc<Component>, lane: Lane) -> Result<Self, kv::Error> {
        let driver = Arc::clone(&component.host().kv);
        let namespace = driver.open(lane.tenant()).await?;
        let keep = keep_in(&namespace, &*driver, &component);
        Ok(Self {
            component: RwLock::new(component),
            driver,
            lane,
            gauge: Gauge::default(),
            namespace: Mutex::new(namespace),
            keep: Mutex::new(keep),
            generation: AtomicU64::new(0),
            observed: Arc::default(),
        })
    }

    /// The tenant's observer.
    pub(crate) fn observed(&self) -> &Arc<Observed> {
        &self.observed
    }

    /// False while the tenant is to be observed, and is not yet.
    pub(crate) fn is_followed(&self) -> bool {
        self.component().observers().is_none() || self.observed.has_begun()
    }

    /// Access for an instance that writes under this claim. Where others write too, the observer is told before its upkeep changes anything.
    fn access(
        &self,
        namespace: Arc<dyn Namespace>,
        claim: &Claim,
        dead: Option<String>,
    ) -> KvAccess {
        let mut kv = KvAccess::new(namespace, Some(claim.clone()));
        if self.is_shared() && self.component().observers().is_some() {
            let observed = Arc::clone(&self.observed);
            kv.tell_before_upkeep(Arc::new(UpkeepOf { observed, dead }));
        }
        kv
    }

    /// The observer's place of a dead host, whose id was adopted before. `None` if nobody observes.
    ///
    /// # Errors
    /// The driver's.
    pub(crate) async fn keep_of_dead(
        &self,
        namespace: &Arc<dyn Namespace>,
        dead: &str,
    ) -> Result<Option<NamespaceKeep>, kv::Error> {
        let component = self.component();
        if component.observers().is_none() {
            return Ok(None);
        }
        let of = (Arc::clone(component.name()), dead);
        let keep = NamespaceKeep::adopt(Arc::clone(namespace), &*self.driver, of).await?;
        Ok(Some(keep))
    }

    /// The component of new instances.
    pub(crate) fn component(&self) -> Arc<Component> {
        Arc::clone(&self.component.read())
    }

    /// Starts every instance from here on from `next`.
    pub(crate) fn exchange(&self, next: Arc<Component>) {
        *self.component.write() = next;
    }

    /// Memory of all of the tenant's instances.
    pub(crate) fn gauge(&self) -> &Gauge {
        &self.gauge
    }

    /// True if the driver has lost data that was not durable since the writer was opened. The writer is fenced then, and instances may
    /// remember data that is gone.
    pub(crate) fn is_stale(&self) -> bool {
        self.namespace().generation() != self.generation.load(Ordering::Relaxed)
    }

    /// The tenant's current namespace.
    pub(crate) fn namespace(&self) -> Arc<dyn Namespace> {
        Arc::clone(&self.namespace.lock())
    }

    /// The name of the tenant.
    pub(crate) fn tenant(&self) -> &str {
        self.lane.tenant()
    }

    /// Where its instances take their turns of computing.
    pub(crate) fn lane(&self) -> &Lane {
        &self.lane
    }

    /// Runs a read to its end within turns of the tenant, even if the caller goes away: a call that is cut off half-way costs its
    /// instance. Its log lines, and the guest's, name the tenant.
    ///
    /// # Errors
    /// The read's own; [`ErrorKind::Internal`] if its task has panicked, or was ended with the runtime.
    pub(crate) async fn run_read<T: Send + 'static>(
        &self,
        read: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<T, Error> {
        let span = info_span!("tenant", tenant.id = self.tenant());
        let ended = self.lane.run_detached(read.instrument(span)).await;
        ended.map_err(|ended| {
            let text = format!("a read ended early: {ended}");
            Error::new(ErrorKind::Internal, text)
        })?
    }

    /// The driver of the tenant's namespace.
    pub(crate) fn driver(&self) -> &dyn Driver {
        &*self.driver
    }

    /// Has the tenant's observer keep what it derives in this namespace, which takes the place of the one before.
    pub(crate) fn keep_in(&self, namespace: &Arc<dyn Namespace>) {
        *self.keep.lock() = keep_in(namespace, &*self.driver, &self.component());
    }

    /// Starts every instance from here on in this namespace.
    pub(crate) fn enter(&self, namespace: Arc<dyn Namespace>) {
        *self.namespace.lock() = namespace;
    }

    /// True if another process has claimed the id under which the observer keeps what it derives.
    pub(crate) fn is_keep_fenced(&self) -> bool {
        let keep = self.keep.lock();
        keep.as_ref().is_some_and(|keep| keep.fence().is_met())
    }

    /// Returns once [`Starter::is_keep_fenced`].
    pub(crate) async fn keep_is_fenced(&self) {
        let keep = self.keep.lock().clone();
        match keep {
            Some(keep) => keep.fence().met().await,
            None => pending().await,
        }
    }

    /// Where the tenant's observer keeps what it derives from the data that is there, once a writer has been opened.
    ///
    /// # Errors
    /// As [`keep::in_memory`].
    pub(crate) async fn keep(&self) -> Result<Arc<dyn Keep>, kv::Error> {
        let keep = self.keep.lock().clone();
        match keep {
            Some(keep) => Ok(keep),
            None => keep::in_memory().await,
        }
    }

    /// As [`Starter::keep`], after everything that was stored is gone, and before another writer is opened. Where nothing can be kept beside
    /// the data, that is in memory; in a store that other hosts use too, nothing is kept then until a writer has been opened.
    pub(crate) async fn fresh_keep(&self) -> Result<Arc<dyn Keep>, kv::Error> {
        let keep = self.keep.lock().clone();
        // No instance has claimed the writer's id in the new namespace.
        if let Some(keep) = &keep
            && let Err(error) = keep.claim(0).await
        {
            if self.driver.is_shared() {
                // What is in memory here is not seen by the others.
                warn!(%error, "nothing is kept of what is derived from the tenant's data until its plugin has been started");
            } else {
                warn!(%error, "what is derived from the tenant's data is kept in memory until it is opened again");
                // The claims of writers are not followed from here on, so that none of it is used later.
                *self.keep.lock() = None;
            }
        }
        self.keep().await
    }

    /// A new writer from `component`. It fences every earlier writer.
    pub(crate) async fn writer(&self, component: &Component) -> Result<Instance, OpenError> {
        let namespace = self.namespace();
        let generation = namespace.generation();
        self.generation.store(generation, Ordering::Relaxed);
        let id = self.driver.writer_id();
        let claim = namespace.claim(&id).await.map_err(OpenError::Kv)?;
        let keep = self.keep.lock().clone();
        if let Some(keep) = keep {
            keep.claim(claim.epoch).await.map_err(OpenError::Kv)?;
        }
        let role = Role::Writer(Identity::from(&claim));
        let kv = self.access(namespace, &claim, None);
        self.start(component, kv, role).await
    }

    /// A new instance from `component` that keeps up what another host has written, under this claim of its id.
    pub(crate) async fn adopted(
        &self,
        component: &Component,
        namespace: Arc<dyn Namespace>,
        claim: &Claim,
    ) -> Result<Instance, OpenError> {
        let kv = self.access(namespace, claim, Some(claim.writer.clone()));
        let role = Role::Writer(Identity::from(claim));
        self.start(component, kv, role).await
    }

    /// A new reader from `component`.
    pub(crate) async fn reader(&self, component: &Component) -> Result<Instance, OpenError> {
        let kv = KvAccess::new(self.namespace(), None);
        self.start(component, kv, Role::Reader).await
    }

    /// A new instance that repairs. It fences every writer of this host's id.
    pub(crate) async fn repairer(&self, component: &Component) -> Result<Instance, OpenError> {
        let namespace = self.namespace();
        let claim = namespace.claim(&self.driver.writer_id()).await;
        let kv = KvAccess::new(namespace, Some(claim.map_err(OpenError::Kv)?));
        self.start(component, kv, Role::Repairer).await
    }

    async fn start(
        &self,
        component: &Component,
        kv: KvAccess,
        role: Role<'_>,
    ) -> Result<Instance, OpenError> {
        let granted = component.granted(self.tenant())?;
        let config = component.instance_config(&self.gauge, granted);
        let started = Instance::start(&config, kv).await;
        let mut instance = started.map_err(OpenError::Failed)?;
        let opened = open(&mut instance, component.config(), self.tenant(), role).await;
        if instance.is_fenced() {
            return Err(OpenError::Failed(Failure::fenced()));
        }
        opened.map(|()| instance)
    }
}

/// The observer's place in a namespace, if the component's tenants are observed and it keeps its data there.
fn keep_in(
    namespace: &Arc<dyn Namespace>,
    driver: &dyn Driver,
    component: &Component,
) -> Option<Arc<NamespaceKeep>> {
    let is_observed = component.observers().is_some();
    let is_kept = is_observed && component.instancing() == Instancing::Replicated;
    is_kept.then(|| {
        let (namespace, name) = (Arc::clone(namespace), Arc::clone(component.name()));
        Arc::new(NamespaceKeep::new(namespace, driver, name))
    })
}

/// Calls `open` of an instance that was just started.
pub(crate) async fn open(
    instance: &mut Instance,
    config: &PluginConfig,
    tenant: &str,
    role: Role<'_>,
) -> Result<(), OpenError> {
    match raised_by_open(instance, config, tenant, role).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(raised)) => Err(OpenError::Refused(refusal::describe(&raised))),
        Err(failure) => Err(OpenError::Failed(failure)),
    }
}

/// As [`open`], with the plugin's own error.
pub(crate) async fn raised_by_open(
    instance: &mut Instance,
    config: &PluginConfig,
    tenant: &str,
    role: Role<'_>,
) -> Called<()> {
    let environment = Environment {
        role,
        tenant,
        memory_limit: config.limits.memory,
        seed: RandomState::new().hash_one(0),
        settings: &config.settings,
    };
    instance.open(environment).await
}

// === impl OpenError ===

impl OpenError {
    /// As the failure of an instance that was to replace another.
    pub(crate) fn into_failure(self) -> Failure {
        let (cause, detail) = match self {
            Self::Failed(failure) => return failure,
            Self::Refused(detail) => (Cause::Open, detail),
            Self::Kv(error @ kv::Error::Held(_)) => (Cause::Held, error.to_string()),
            Self::Kv(error) => (Cause::Kv, error.to_string()),
        };
        Failure { cause, detail }
    }
}
