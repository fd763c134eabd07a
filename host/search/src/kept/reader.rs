//! Reads and judges traces in the background, for what is kept of them.

use std::sync::Arc;
use std::time::Duration;

use larder_core::telemetry::Metrics;
use larder_model::storage::{Error, Storage, TimeRange, TraceId};

use super::TraceCalls;
use crate::Limits;
use crate::budget::Budget;
use crate::calls::{Calls, Judgement};
use crate::dependencies::{SIGHTINGS_PER_PAGE, search};
use crate::gather::Gatherer;
use crate::omission::Omission;
use crate::predicate::Range;
use crate::session::Session;
use crate::sightings::Sighted;
use crate::written::Written;

/// Traces read at once, if their digests are no larger than is held at once. A call looks for each of them in all that is stored, so what a
/// trace costs would grow with the store in small calls.
const TRACES_AT_ONCE: usize = 65_536;
/// Traces judged before the task yields.
const TRACES_A_YIELD: usize = 64;

/// Reads and judges traces, a bounded number at a time.
pub struct Reader {
    session: Session,
    calls: Calls,
    gatherer: Gatherer,
}

/// A search for the traces with spans that start in a range.
pub struct Finding(Sighted);

// === impl Finding ===

impl Finding {
    /// Creates the search; makes no call yet.
    pub fn new(starts: TimeRange) -> Self {
        Self(Sighted::new(search(starts)))
    }
}

// === impl Reader ===

impl Reader {
    /// Creates a reader of this storage. It has no limits, and does not count as a query.
    pub fn new(storage: Arc<dyn Storage>, metrics: Arc<Metrics>) -> Self {
        let limits = Limits {
            default_depth: 0,
            max_depth: 0,
            timeout: Duration::MAX,
            dependencies_timeout: Duration::MAX,
            judged_spans: u64::MAX,
            read_bytes: u64::MAX,
            max_message_bytes: usize::MAX,
            pagination: false,
        };
        let budget = Budget::of_background(&limits, Arc::clone(&metrics));
        Self {
            session: Session::new(storage, limits, budget, Omission::new(metrics)),
            calls: Calls::new(Range::ALL),
            gatherer: Gatherer::of_many(TRACES_AT_ONCE),
        }
    }

    /// The next page of the traces found, each with a fragment of it, if the plugin tells it; one may come up
    /// again. `None` at the end.
    ///
    /// # Errors
    /// Those of the storage.
    pub async fn find(
        &mut self,
        finding: &mut Finding,
    ) -> Result<Option<Vec<(TraceId, Option<u64>)>>, Error> {
        if finding.0.ended() {
            return Ok(None);
        }
        let page = finding.0.next(&mut self.session, SIGHTINGS_PER_PAGE);
        let page = page.await?;
        let found = page.into_iter();
        let found = found.map(|sighting| (sighting.trace_id, sighting.fragment));
        Ok(Some(found.collect()))
    }

    /// Adds traces to be judged. Each may be added only once.
    pub fn add(&mut self, ids: impl IntoIterator<Item = TraceId>) {
        self.gatherer.extend(ids);
    }

    /// Judges some of the traces that were added and are still stored, and passes on each with its calls. Returns `false` once all are.
    ///
    /// # Errors
    /// Those of the storage, and `DataLoss` for what is no digest.
    pub async fn judge(
        &mut self,
        each: &mut (dyn FnMut(TraceId, &TraceCalls) + Send),
    ) -> Result<bool, Error> {
        let Self {
            session,
            calls,
            gatherer,
        } = self;
        let Some(gathered) = gatherer.next(session).await? else {
            return Ok(false);
        };
        for (number, (trace, pieces)) in gathered.traces().enumerate() {
            let judgement = calls
                .judge(pieces, None, true)
                .map_err(|(fault, piece)| fault.into_error(session, piece))?;
            if judgement == Judgement::Open {
                let Written { pieces, copies } = Written::read(session, trace, pieces).await?;
                calls
                    .judge(&pieces, Some(&copies), true)
                    .map_err(|(fault, piece)| fault.into_error(session, piece))?;
            }
            each(trace, calls.trace());
            if number % TRACES_A_YIELD == TRACES_A_YIELD - 1 {
                session.yield_if_due().await;
            }
        }
        Ok(true)
    }

    /// The names of the services, by their numbers in the calls.
    pub fn services(&self) -> &[String] {
        self.calls.services()
    }
}
