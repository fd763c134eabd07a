//! Mutex-guarded slot for the writer. With `exclusive` plugins it also serves reads.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Instant;

use larder_model::storage::Error;
use larder_store::{self as kv, Namespace};
use tokio::sync::{Mutex, MutexGuard, Notify, OwnedMutexGuard};

use super::backoff::Backoff;
use super::pool::{ReadPermit, too_many_reads};
use super::question::Question;
use super::shared::Shared;
use super::starter::{OpenError, Starter};
use crate::component::Instancing;
use crate::sandbox::guest::{Failure, Instance};

/// Locked for each piece of work. Tasks get the lock in the order in which they ask for it.
pub(crate) struct WriterSlot {
    writer: Arc<Mutex<Writer>>,
    failed: Arc<Notify>,
    reads_waiting: AtomicUsize,
}

/// The writer, while the slot is locked.
pub(crate) struct Writer {
    state: WriterState,
    starter: Arc<Starter>,
    backoff: Backoff,
    shared: Arc<Shared>,
    failed: Arc<Notify>,
}

enum WriterState {
    Running(Box<Instance>),
    /// The next instance may be started at `restart_at`.
    Failed {
        restart_at: Instant,
        failure: Failure,
    },
    /// No instance is started again.
    Closed,
}

// === impl WriterSlot ===

impl WriterSlot {
    /// With the first instance in it, or the reason why there is none yet.
    pub(crate) fn new(
        first: Result<Instance, Failure>,
        starter: Arc<Starter>,
        mut backoff: Backoff,
        shared: Arc<Shared>,
    ) -> Arc<Self> {
        let failed = Arc::<Notify>::default();
        let state = match first {
            Ok(instance) => {
                shared.up();
                WriterState::Running(Box::new(instance))
            }
            Err(failure) => WriterState::failed(failure, &mut backoff, &shared),
        };
        Arc::new(Self {
            writer: Arc::new(Mutex::new(Writer {
                state,
                starter,
                backoff,
                shared,
                failed: Arc::clone(&failed),
            })),
            failed,
            reads_waiting: AtomicUsize::new(0),
        })
    }

    pub(crate) async fn lock(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().await
    }

    /// Like [`WriterSlot::lock`], for a read. At most `most_waiting` reads wait for the lock.
    ///
    /// # Errors
    /// [`ResourceExhausted`](larder_model::storage::ErrorKind::ResourceExhausted) where as many wait already.
    pub(crate) async fn lock_to_read(
        &self,
        most_waiting: usize,
    ) -> Result<OwnedMutexGuard<Writer>, Error> {
        let most = most_waiting.max(1);
        let Some(_permit) = ReadPermit::take(&self.reads_waiting, most) else {
            return Err(too_many_reads(most));
        };
        Ok(Arc::clone(&self.writer).lock_owned().await)
    }

    /// Returns when an instance has failed since the last call.
    pub(crate) async fn failed(&self) {
        self.failed.notified().await;
    }
}

// === impl Writer ===

impl Writer {
    /// The running instance. Starts a new one if the last one failed and its restart is due.
    ///
    /// # Errors
    /// [`Unavailable`](larder_model::storage::ErrorKind::Unavailable) while there is none.
    pub(crate) async fn instance(&mut self) -> Result<&mut Instance, Error> {
        if self.restart_at().is_some_and(|it| it <= Instant::now()) {
            self.restart().await?;
        }
        match &mut self.state {
            WriterState::Running(instance) => Ok(instance),
            WriterState::Failed { failure, .. } => Err(self.shared.unavailable(failure)),
            WriterState::Closed => Err(self.shared.shutting_down()),
        }
    }

    /// Replaces the instance, running or failed, by a new one.
    ///
    /// # Errors
    /// [`Unavailable`](larder_model::storage::ErrorKind::Unavailable) where it could not be opened. There is no instance then.
    pub(crate) async fn restart(&mut self) -> Result<(), Error> {
        let opened = match self.follow().await {
            Ok(_) => self.starter.writer(&self.starter.component()).await,
            Err(error) => Err(OpenError::Kv(error)),
        };
        match opened {
            Ok(instance) => {
                self.lose().await;
                self.replace(instance);
                Ok(())
            }
            Err(error) => {
                let failure = error.into_failure();
                let error = self.shared.unavailable(&failure);
                self.fail(failure).await;
                Err(error)
            }
        }
    }

    /// The earliest time of the next start, if the last instance failed.
    pub(crate) fn restart_at(&self) -> Option<Instant> {
        match &self.state {
            WriterState::Failed { restart_at, .. } => Some(*restart_at),
            WriterState::Running(_) | WriterState::Closed => None,
        }
    }

    /// Puts this instance, which has fenced those before it, into the slot.
    pub(crate) fn replace(&mut self, instance: Instance) {
        self.state = WriterState::Running(Box::new(instance));
        self.shared.observed.write_ended();
        self.shared.up();
    }

    /// Drops the instance and sets the time of the next start.
    pub(crate) async fn fail(&mut self, failure: Failure) {
        self.state = WriterState::failed(failure, &mut self.backoff, &self.shared);
        self.lose().await;
        self.failed.notify_one();
    }

    /// Goes on in this namespace, which has taken the place of the one before: everything that was stored is gone. No instance of the new
    /// one has been started.
    pub(crate) async fn enter(&mut self, namespace: Arc<dyn Namespace>) {
        self.starter.keep_in(&namespace);
        // Before anybody reads the new one: others may have written to it already, and what is derived is of the one before.
        self.shared.observed.forget(&self.starter).await;
        self.starter.enter(namespace);
    }

    /// Goes on in the tenant's namespace if another host has purged the tenant. Returns `true` if it has.
    ///
    /// # Errors
    /// The driver's.
    pub(crate) async fn follow(&mut self) -> Result<bool, kv::Error> {
        let Some(next) = self.starter.successor().await? else {
            return Ok(false);
        };
        self.enter(next).await;
        Ok(true)
    }

    /// The instance is gone, and with it what an `exclusive` plugin has stored. Takes `&mut self`, as an instance cannot be shared between
    /// threads.
    async fn lose(&mut self) {
        match self.shared.instancing {
            Instancing::Exclusive => self.shared.observed.forget(&self.starter).await,
            Instancing::Replicated => {}
        }
    }

    /// Drops the instance for good.
    pub(crate) fn close(&mut self) {
        self.state = WriterState::Closed;
        self.shared.stopped();
    }

    /// Serves a read of an `exclusive` plugin.
    pub(crate) async fn answer<Q: Question>(&mut self, question: &Q) -> Result<Q::Answer, Error> {
        let shared = Arc::clone(&self.shared);
        let outcome = question.ask(self.instance().await?, &shared.name).await;
        let (result, failure) = outcome.settle(&shared);
        if let Some(failure) = failure {
            self.fail(failure).await;
        }
        result
    }
}

// === impl WriterState ===

impl WriterState {
    /// Tells of the failure, and sets the time of the next start.
    fn failed(failure: Failure, backoff: &mut Backoff, shared: &Shared) -> Self {
        let now = Instant::now();
        let restart_at = backoff.failed(now);
        shared.failed(&failure, restart_at - now);
        shared.down(&failure);
        Self::Failed {
            restart_at,
            failure,
        }
    }
}
