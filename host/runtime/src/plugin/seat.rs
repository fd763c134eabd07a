//! The place of the one instance that writes, and that of an `exclusive` plugin answers the reads as well: who locks it has it alone.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Instant;

use larder_model::storage::Error;
use tokio::sync::{Mutex, MutexGuard, Notify, OwnedMutexGuard};

use super::backoff::Backoff;
use super::factory::Factory;
use super::guest::{Failure, Instance};
use super::pool::{Place, too_many_reads};
use super::question::Question;
use super::shared::Shared;

/// A seat that is locked for each piece of work, in the order in which it is asked for.
pub(super) struct Seat {
    inner: Arc<Mutex<Seated>>,
    vacated: Arc<Notify>,
    reads_waiting: AtomicUsize,
}

/// Who is there, with the seat locked.
pub(super) struct Seated {
    occupant: Occupant,
    factory: Arc<Factory>,
    backoff: Backoff,
    shared: Arc<Shared>,
    vacated: Arc<Notify>,
}

enum Occupant {
    Instance(Box<Instance>),
    /// The next one has to wait for its time.
    Nobody {
        until: Instant,
        failure: Failure,
    },
    /// Nobody will come again.
    Closed,
}

// === impl Seat ===

impl Seat {
    /// Taken by the first instance that the factory made.
    pub(super) fn new(
        instance: Instance,
        factory: Arc<Factory>,
        backoff: Backoff,
        shared: Arc<Shared>,
    ) -> Arc<Self> {
        let vacated = Arc::<Notify>::default();
        Arc::new(Self {
            inner: Arc::new(Mutex::new(Seated {
                occupant: Occupant::Instance(Box::new(instance)),
                factory,
                backoff,
                shared,
                vacated: Arc::clone(&vacated),
            })),
            vacated,
            reads_waiting: AtomicUsize::new(0),
        })
    }

    pub(super) async fn lock(&self) -> MutexGuard<'_, Seated> {
        self.inner.lock().await
    }

    /// As [`Seat::lock`], for one of at most so many reads that wait.
    pub(super) async fn lock_to_read(
        &self,
        most_waiting: usize,
    ) -> Result<OwnedMutexGuard<Seated>, Error> {
        let most = most_waiting.max(1);
        let Some(_place) = Place::take(&self.reads_waiting, most) else {
            return Err(too_many_reads(most));
        };
        Ok(Arc::clone(&self.inner).lock_owned().await)
    }

    /// Returns when an instance has failed since it was last asked.
    pub(super) async fn vacated(&self) {
        self.vacated.notified().await;
    }
}

// === impl Seated ===

impl Seated {
    /// The instance; a new one if it is time for that.
    ///
    /// # Errors
    /// [`Unavailable`](larder_model::storage::ErrorKind::Unavailable) while there is none.
    pub(super) async fn instance(&mut self) -> Result<&mut Instance, Error> {
        if self.vacant_until().is_some_and(|it| it <= Instant::now()) {
            self.start().await?;
        }
        match &mut self.occupant {
            Occupant::Instance(instance) => Ok(instance),
            Occupant::Nobody { failure, .. } => Err(self.shared.unavailable(failure)),
            Occupant::Closed => Err(self.shared.shutting_down()),
        }
    }

    /// A new instance takes the place of what is there.
    ///
    /// # Errors
    /// [`Unavailable`](larder_model::storage::ErrorKind::Unavailable) where it could not be opened: there is none then.
    pub(super) async fn start(&mut self) -> Result<(), Error> {
        match self.factory.writer().await {
            Ok(instance) => {
                self.seat(instance);
                Ok(())
            }
            Err(error) => {
                let failure = error.into_failure();
                let error = self.shared.unavailable(&failure);
                self.fail(failure);
                Err(error)
            }
        }
    }

    /// When the next instance may be started, if there is none.
    pub(super) fn vacant_until(&self) -> Option<Instant> {
        match &self.occupant {
            Occupant::Nobody { until, .. } => Some(*until),
            Occupant::Instance(_) | Occupant::Closed => None,
        }
    }

    /// This one takes the place of what is there.
    pub(super) fn seat(&mut self, instance: Instance) {
        self.occupant = Occupant::Instance(Box::new(instance));
        self.shared.up();
    }

    /// Drops the instance; the next one has to wait for its time.
    pub(super) fn fail(&mut self, failure: Failure) {
        let now = Instant::now();
        let until = self.backoff.failed(now);
        self.shared.failed(&failure, until - now);
        self.shared.down(&failure);
        self.occupant = Occupant::Nobody { until, failure };
        self.vacated.notify_one();
    }

    /// Drops the instance, for good.
    pub(super) fn close(&mut self) {
        self.occupant = Occupant::Closed;
        self.shared.stopped();
    }

    /// Asks the instance.
    pub(super) async fn answer<Q: Question>(&mut self, question: &Q) -> Result<Q::Answer, Error> {
        let shared = Arc::clone(&self.shared);
        let outcome = question.ask(self.instance().await?, &shared.name).await;
        let (result, failure) = outcome.settle(&shared);
        if let Some(failure) = failure {
            self.fail(failure);
        }
        result
    }
}
