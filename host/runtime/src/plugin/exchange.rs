//! Another component, or other settings and limits, in the place of what runs: without a failed call, and without a lost one.
//!
//! The writer's task finishes the write in hand and opens the new writer, which fences the one before it; writes wait in the queue
//! meanwhile. Reads that are under way end where they began, and new ones ask new readers. A new writer that cannot be opened changes
//! nothing: a writer of what ran before is opened again. Only for `replicated` plugins: an `exclusive` one would lose what it holds.

use std::sync::Arc;
use std::time::Instant;

use larder_model::storage;
use tokio::sync::oneshot;
use tracing::{info, warn};

use super::described::Described;
use super::pool::Pool;
use super::shared::lock;
use super::suspects::Suspects;
use super::worker::Worker;
use super::{Error, Instancing, Limits, Opener, Settings, Source, Tenant};

/// What the writer's task is asked to take.
pub(super) struct Exchange {
    next: Arc<Described>,
    limits: Limits,
    reply: oneshot::Sender<Result<(), Error>>,
}

/// What came of a try to change what runs in a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exchanged {
    /// It runs that already.
    Unchanged,
    /// Its instances are new.
    Replaced,
}

// === impl Opener ===

impl Opener {
    /// Opens tenants by changed settings, with the same `kv`. The component is read again, but compiled only if its bytes have changed.
    ///
    /// # Errors
    /// As [`Opener::load`].
    pub async fn reloaded(&self, settings: Settings) -> Result<Self, Error> {
        let hash = hash(settings.source.clone()).await?;
        if hash != self.described.facts.hash {
            let (kv, metrics) = (Arc::clone(&self.kv), Arc::clone(&self.metrics));
            return Self::load(&self.runtime, settings, kv, metrics).await;
        }
        let mut same = self.with(settings.settings, settings.limits);
        same.described.facts.source = settings.source.to_string();
        Ok(same)
    }

    /// Whether instances opened by the one and by the other are the same. The queue before them is the host's, and changes without them
    /// ([`Tenant::set_queue`]).
    pub fn is_same_as(&self, other: &Self) -> bool {
        self.described.is_same_as(&other.described)
    }

    /// Whether `next` may take the place of this one while tenants are open.
    ///
    /// # Errors
    /// [`Error::NeedsRestart`], which says why not.
    pub fn may_become(&self, next: &Self) -> Result<(), Error> {
        if self.is_same_as(next) {
            return Ok(());
        }
        self.described.may_become(&next.described)
    }

    /// What the component calls itself, which version, and its hash: for a log line.
    pub fn identity(&self) -> String {
        let Described { opening, facts } = &self.described;
        format!("{} {} ({})", opening.name, facts.version, facts.hash)
    }
}

async fn hash(source: Source) -> Result<String, Error> {
    let hashed = tokio::task::spawn_blocking(move || source.hash()).await;
    hashed.unwrap_or_else(|error| {
        Err(Error::Runtime {
            reason: format!("reading the plugin ended early: {error}"),
        })
    })
}

// === impl Described ===

impl Described {
    /// The same component under other settings.
    pub(super) fn with(&self, settings: Vec<(String, String)>, limits: &Limits) -> Self {
        let mut changed = self.clone();
        changed.facts.memory_limit = limits.memory;
        let opening = &mut changed.opening;
        opening.memory = limits.memory;
        opening.timeout = limits.call_timeout;
        opening.log_bytes = limits.log_bytes;
        opening.settings = settings.into();
        changed
    }

    fn is_same_as(&self, other: &Self) -> bool {
        let (one, two) = (&self.opening, &other.opening);
        self.facts.hash == other.facts.hash
            && self.facts.source == other.facts.source
            && one.memory == two.memory
            && one.timeout == two.timeout
            && one.log_bytes == two.log_bytes
            && one.settings == two.settings
    }

    fn may_become(&self, next: &Self) -> Result<(), Error> {
        let name = &self.opening.name;
        let reason = if self.facts.instancing == Instancing::Exclusive {
            "it holds its data in its one instance, so a change of it loses all that it holds"
                .to_owned()
        } else if next.facts.instancing == Instancing::Exclusive {
            format!(
                "`{}` would hold its data in its one instance, and see nothing of what is stored",
                next.opening.name
            )
        } else if *name != next.opening.name {
            format!(
                "`{}` is another plugin, which may not be able to read what `{name}` has stored",
                next.opening.name
            )
        } else {
            return Ok(());
        };
        Err(Error::NeedsRestart {
            plugin: name.to_string(),
            reason,
        })
    }
}

// === impl Tenant ===

impl Tenant {
    /// Has the tenant run what `opener` opens, if it does not already. Returns once the new writer is open, or the old one again.
    ///
    /// # Errors
    /// [`Error::NeedsRestart`] where it cannot be exchanged at all; what the new instance failed with, and then the old one goes on;
    /// [`Error::Stopping`].
    pub async fn exchange(&self, opener: &Opener) -> Result<Exchanged, Error> {
        let now = self.factory.described();
        let limits = opener.limits.clone();
        let next = opener.described_for(Arc::clone(&self.shared.gauge));
        if now.is_same_as(&next) {
            return Ok(Exchanged::Unchanged);
        }
        now.may_become(&next)?;
        let (reply, exchanged) = oneshot::channel();
        let exchange = Exchange {
            next: Arc::new(next),
            limits,
            reply,
        };
        let stopping = || Error::Stopping {
            plugin: self.shared.name.to_string(),
        };
        let queued = self.queue.exchange(Box::new(exchange));
        queued.map_err(|_: storage::Error| stopping())?;
        let exchanged = exchanged.await;
        exchanged.unwrap_or_else(|_| Err(stopping()))?;
        Ok(Exchanged::Replaced)
    }
}

// === impl Worker ===

impl Worker {
    /// Opens the new writer, or one of what ran before again.
    pub(super) async fn exchange(&mut self, exchange: Exchange) {
        let Exchange {
            next,
            limits,
            reply,
        } = exchange;
        let before = self.factory.described();
        let exchanged = match self.factory.writer_of(&next.opening).await {
            Ok(instance) => {
                self.factory.exchange(Arc::clone(&next));
                if let Some(pools) = &self.pools {
                    let (factory, shared) = (Arc::clone(&self.factory), Arc::clone(&self.shared));
                    pools.exchange(Pool::new(factory, shared, &limits));
                }
                if before.facts.hash != next.facts.hash {
                    // What killed the one may be nothing to the other.
                    *lock(&self.shared.suspects) = Suspects::default();
                }
                self.seat.lock().await.seat(instance);
                self.maintain_at = Instant::now();
                info!(
                    plugin = &*self.shared.name,
                    version = next.facts.version,
                    hash = next.facts.hash,
                    "the plugin's instances are replaced"
                );
                Ok(())
            }
            Err(error) => {
                let error = error.into_error(&self.shared.name);
                warn!(plugin = &*self.shared.name, %error, "the plugin cannot be replaced, and goes on as it was");
                let mut seated = self.seat.lock().await;
                if seated.vacant_until().is_none() {
                    // The claim has fenced the writer that was there. If it does not come back, that is told by its state.
                    drop(seated.start().await);
                }
                Err(error)
            }
        };
        // Whoever asked may have gone.
        drop(reply.send(exchanged));
    }
}
