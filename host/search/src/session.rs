//! One query's access to the storage: every call is within the budget, and every breach of the contract is reported.

use std::sync::Arc;
use std::time::{Duration, Instant};

use larder_core::fair::Task;
use larder_model::dictionary::Snapshot;
use larder_model::storage::{
    Error, ErrorKind, Part, Pieces, Search, Sightings, Storage, TraceId, Wanted,
};
use tokio::task::yield_now;

use super::Limits;
use super::beside::{Ahead, Beside, output};
use super::budget::Budget;
use super::omission::{MESSAGE, Omission};

/// The storage, the limits and the budget of one query.
pub(crate) struct Session {
    beside: Beside,
    storage: Arc<dyn Storage>,
    limits: Limits,
    /// The budget of the query.
    pub(crate) budget: Budget,
    /// What the answer leaves out.
    pub(crate) omission: Omission,
    /// The values that were listed before the first call.
    snapshot: Option<Snapshot>,
    /// The time of the last yield.
    paused: Instant,
}

/// Time that a query may compute before it yields; most end earlier.
const SLICE: Duration = Duration::from_millis(1);

/// Yields if more than a slice has passed since `paused`.
pub(crate) async fn yield_if_due(paused: &mut Instant) {
    if paused.elapsed() >= SLICE {
        yield_now().await;
        *paused = Instant::now();
    }
}

/// A page that was asked for ahead, or else by `call`, which has not begun.
async fn page<T>(
    budget: &mut Budget,
    ahead: Option<Ahead<T>>,
    call: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    if let Some(task) = ahead {
        let page = budget.within(async { output(task.await)? }).await;
        // A call beside another one of its query may find no room where one in its turn does.
        if !page.as_ref().is_err_and(is_without_room) {
            return page;
        }
    }
    budget.within(call).await
}

fn is_without_room(error: &Error) -> bool {
    error.kind() == ErrorKind::ResourceExhausted
}

impl Session {
    /// Creates the session of a query that starts now.
    pub(crate) fn new(
        storage: Arc<dyn Storage>,
        limits: Limits,
        budget: Budget,
        omission: Omission,
    ) -> Self {
        Self {
            beside: Beside::new(None),
            storage,
            limits,
            budget,
            omission,
            snapshot: None,
            paused: Instant::now(),
        }
    }

    /// The same with a place to compute beside the query.
    pub(crate) fn with_beside(self, beside: Beside) -> Self {
        Self { beside, ..self }
    }

    /// Where the query may compute beside itself.
    pub(crate) fn beside(&self) -> &Beside {
        &self.beside
    }

    /// Waits for a task beside the query, until no time is left.
    pub(crate) async fn join<T>(&mut self, task: Task<T>) -> Result<T, Error> {
        self.budget.within(async { output(task.await) }).await
    }

    /// With the values that are listed when the query starts. Without them every fragment may have any value.
    pub(crate) fn with_snapshot(mut self, snapshot: Option<Snapshot>) -> Self {
        self.snapshot = snapshot;
        self
    }

    /// Takes the listed values, if they are known. The session does not hold them for as long as its client reads the answer, as each change
    /// of the dictionary makes other ones.
    pub(crate) fn take_snapshot(&mut self) -> Option<Snapshot> {
        self.snapshot.take()
    }

    /// Yields if the query has computed for a while. Without that, a storage that is always ready and judging between its calls would
    /// block the thread for other tasks, and the query would not notice that its client has gone.
    pub(crate) async fn yield_if_due(&mut self) {
        yield_if_due(&mut self.paused).await;
    }

    /// The limits of every query.
    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Asks for a page of sightings before it is wanted, if a processor is idle. It counts once it is passed to [`Session::find`].
    pub(crate) fn find_ahead(
        &self,
        search: &Arc<Search>,
        resume: Option<&[u8]>,
        limit: u32,
    ) -> Option<Ahead<Sightings>> {
        if self.beside.idle() == 0 {
            return None;
        }
        let (storage, search) = (Arc::clone(&self.storage), Arc::clone(search));
        let resume = resume.map(<[u8]>::to_vec);
        let find = async move { storage.find(&search, resume.as_deref(), limit).await };
        self.beside.spawn_if_idle(find).ok()
    }

    /// Asks for a page of pieces before it is wanted, as [`Session::find_ahead`].
    pub(crate) fn read_ahead(
        &self,
        wanted: &Arc<Wanted>,
        part: Part,
        resume: Option<&[u8]>,
        max_bytes: u32,
    ) -> Option<Ahead<Pieces>> {
        if self.beside.idle() == 0 {
            return None;
        }
        let (storage, wanted) = (Arc::clone(&self.storage), Arc::clone(wanted));
        let resume = resume.map(<[u8]>::to_vec);
        let read = async move {
            let resume = resume.as_deref();
            storage.read(&wanted, part, resume, max_bytes).await
        };
        self.beside.spawn_if_idle(read).ok()
    }

    /// One page of sightings, which may have been asked for ahead.
    pub(crate) async fn find(
        &mut self,
        search: &Search,
        resume: Option<&[u8]>,
        limit: u32,
        ahead: Option<Ahead<Sightings>>,
    ) -> Result<Sightings, Error> {
        let since = Instant::now();
        let call = self.storage.find(search, resume, limit);
        let page = page(&mut self.budget, ahead, call).await;
        self.budget.spent().finding += since.elapsed();
        let page = page?;
        self.budget.page(0)?;
        self.budget.sighted(page.found.len())?;
        self.yield_if_due().await;
        Ok(page)
    }

    /// One page of pieces, which may have been asked for ahead.
    pub(crate) async fn read(
        &mut self,
        wanted: &Wanted,
        part: Part,
        resume: Option<&[u8]>,
        max_bytes: u32,
        ahead: Option<Ahead<Pieces>>,
    ) -> Result<Pieces, Error> {
        let since = Instant::now();
        let call = self.storage.read(wanted, part, resume, max_bytes);
        let page = page(&mut self.budget, ahead, call).await;
        let spent = self.budget.spent();
        spent.reading += since.elapsed();
        let page = page?;
        spent.pieces += page.pieces.len() as u64;
        self.budget
            .page(page.pieces.iter().map(|piece| piece.bytes.len()).sum())?;
        self.yield_if_due().await;
        Ok(page)
    }

    /// Has the reads that follow see all that was acknowledged so far.
    pub(crate) fn renew(&self) {
        self.storage.renew();
    }

    /// Reports a breach of the contract that only a series of calls shows, and returns the error that ends the query.
    pub(crate) fn breach(&self, rule: &str) -> Error {
        let error = Error::new(
            ErrorKind::ContractBroken,
            format!("the storage plugin broke its contract: {rule}"),
        );
        self.storage.report(&error);
        error
    }

    /// Tells the storage of fragments that were sighted and not read back, and of one of them.
    pub(crate) fn not_read_back(&self, fragments: usize, example: (u64, TraceId)) {
        self.storage.not_read_back(fragments, example);
    }

    /// The error for stored bytes that cannot be read.
    pub(crate) fn unreadable(what: &str) -> Error {
        Error::new(
            ErrorKind::DataLoss,
            format!("stored bytes cannot be read back: {what}"),
        )
    }
}

/// The error for an answer that cannot be split to fit a message.
pub(crate) fn too_large(what: &str, limit: usize) -> Error {
    Error::new(
        ErrorKind::AnswerTooLarge,
        format!("{what} does not fit a message of {limit} bytes: raise {MESSAGE}"),
    )
    .with_setting(MESSAGE)
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::poll;
    use larder_core::telemetry::Metrics;

    use super::super::testing::{Memory, limits};
    use super::*;

    #[tokio::test]
    async fn a_query_that_goes_on_lets_others_run_and_a_short_one_does_not() {
        let metrics = Arc::new(Metrics::new());
        let budget = Budget::new(&limits(), Arc::clone(&metrics));
        let (storage, omission) = (Arc::new(Memory::of(&[])), Omission::new(metrics));
        let mut session = Session::new(storage, limits(), budget, omission);
        session.paused = Instant::now() + Duration::from_hours(1);
        assert!(poll!(pin!(session.yield_if_due())).is_ready());
        let long_ago = Instant::now().checked_sub(SLICE);
        session.paused = long_ago.unwrap_or_else(Instant::now);
        let mut pause = pin!(session.yield_if_due());
        assert!(poll!(&mut pause).is_pending());
        pause.await;
    }
}
