//! Makes opened instances of one plugin for one tenant.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use larder_core::fair::Lane;
use larder_store::{self as kv, Driver, Namespace};

use super::bindings::exports::larder::storage::lifecycle;
use super::described::Described;
use super::guest::{Cause, Failure, Instance, KvAccess, Opening, Role};
use super::refusal;

/// What every new instance is made from.
pub(super) struct Factory {
    described: RwLock<Arc<Described>>,
    driver: Arc<dyn Driver>,
    tenant: Arc<str>,
    lane: Lane,
    namespace: Mutex<Arc<dyn Namespace>>,
    /// The namespace's, when the writer was last opened.
    generation: AtomicU64,
}

/// Why there is no new instance.
#[derive(Debug)]
pub(super) enum NotOpened {
    /// It failed on its way.
    Failed(Failure),
    /// `open` raised an error.
    Refused(String),
    /// Its storage cannot be claimed.
    Kv(kv::Error),
}

// === impl Factory ===

impl Factory {
    pub(super) async fn new(
        described: Described,
        driver: Arc<dyn Driver>,
        lane: Lane,
    ) -> Result<Self, kv::Error> {
        let tenant = Arc::clone(lane.tenant());
        let namespace = Mutex::new(driver.open(&tenant).await?);
        Ok(Self {
            described: RwLock::new(Arc::new(described)),
            driver,
            tenant,
            lane,
            namespace,
            generation: AtomicU64::new(0),
        })
    }

    /// What runs now.
    pub(super) fn described(&self) -> Arc<Described> {
        let described = self.described.read();
        Arc::clone(&described.unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes every instance from here on of something else.
    pub(super) fn exchange(&self, next: Arc<Described>) {
        let described = self.described.write();
        *described.unwrap_or_else(PoisonError::into_inner) = next;
    }

    /// Whether the driver has lost what was not durable since the writer was opened: the writer is fenced, and what all instances
    /// remember may not be there.
    pub(super) fn is_stale(&self) -> bool {
        self.namespace().generation() != self.generation.load(Ordering::Relaxed)
    }

    /// The tenant's current namespace.
    pub(super) fn namespace(&self) -> Arc<dyn Namespace> {
        let namespace = self.namespace.lock();
        Arc::clone(&namespace.unwrap_or_else(PoisonError::into_inner))
    }

    /// The name of the tenant.
    pub(super) fn tenant(&self) -> &str {
        &self.tenant
    }

    /// Where its instances take their turns of computing.
    pub(super) fn lane(&self) -> &Lane {
        &self.lane
    }

    /// Whether data is still there after a restart of the process.
    pub(super) fn driver(&self) -> &dyn Driver {
        &*self.driver
    }

    /// Gives the tenant an empty namespace; instances of the old one are fenced.
    pub(super) async fn renew(&self) -> Result<(), kv::Error> {
        let new = self.driver.renew(&self.tenant).await?;
        *self
            .namespace
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = new;
        Ok(())
    }

    /// An instance that may write; every earlier one is fenced.
    pub(super) async fn writer(&self) -> Result<Instance, NotOpened> {
        self.writer_of(&self.described().opening).await
    }

    /// As [`Factory::writer`], of what does not run yet.
    pub(super) async fn writer_of(&self, opening: &Opening) -> Result<Instance, NotOpened> {
        let namespace = self.namespace();
        let generation = namespace.generation();
        self.generation.store(generation, Ordering::Relaxed);
        let id = self.driver.writer_id();
        let claim = namespace.claim(&id).await.map_err(NotOpened::Kv)?;
        let kv = KvAccess {
            namespace,
            claim: Some(claim),
        };
        open(opening, kv, Role::Writer(&id)).await
    }

    /// An instance that reads.
    pub(super) async fn reader(&self) -> Result<Instance, NotOpened> {
        self.reader_of(&self.described().opening).await
    }

    /// As [`Factory::reader`], of what may no longer run.
    pub(super) async fn reader_of(&self, opening: &Opening) -> Result<Instance, NotOpened> {
        let kv = KvAccess {
            namespace: self.namespace(),
            claim: None,
        };
        open(opening, kv, Role::Reader).await
    }
}

async fn open(opening: &Opening, kv: KvAccess, role: Role<'_>) -> Result<Instance, NotOpened> {
    let started = Instance::start(opening, kv).await;
    let mut instance = started.map_err(NotOpened::Failed)?;
    let settings = opening.settings.iter();
    let settings: Vec<_> = settings
        .map(|(name, value)| lifecycle::Setting { name, value })
        .collect();
    let environment = lifecycle::Environment {
        role: match role {
            Role::Writer(id) => lifecycle::Role::Writer(id),
            Role::Reader => lifecycle::Role::Reader,
        },
        memory_limit: opening.memory,
        seed: RandomState::new().hash_one(0),
        settings: &settings,
    };
    match instance.open(environment).await {
        Ok(Ok(())) => Ok(instance),
        Ok(Err(raised)) => Err(NotOpened::Refused(refusal::describe(&raised))),
        Err(failure) => Err(NotOpened::Failed(failure)),
    }
}

// === impl NotOpened ===

impl NotOpened {
    /// As the failure of an instance that was to replace another.
    pub(super) fn into_failure(self) -> Failure {
        let (cause, detail) = match self {
            Self::Failed(failure) => return failure,
            Self::Refused(detail) => (Cause::Open, detail),
            Self::Kv(error) => (Cause::Kv, error.to_string()),
        };
        Failure { cause, detail }
    }
}
