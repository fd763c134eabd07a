//! Dependencies: the number of calls from service to service, over all traces that lie wholly within a window (D1 to D4). Holds the ids
//! of the traces seen, the services, the calls, and the digests of some traces at a time.

use std::cmp::Reverse;

use hashbrown::HashSet;
use larder_model::storage::{DurationRange, Error, ErrorKind, Search, TimeRange, TraceId};
use larder_proto::storage::v2::{Dependency, GetDependenciesRequest};
use prost::Message as _;

use super::calls::{Calls, Judgement};
use super::cut::shorten_text;
use super::gather::{Gathered, Gatherer};
use super::kept::{Kept, View};
use super::predicate::Range;
use super::session::Session;
use super::sightings::Sighted;
use super::time::instant;
use super::written::Written;

/// Sightings per page.
pub(crate) const SIGHTINGS_PER_PAGE: u32 = 4096;

/// Counts the calls. The answer is one message. What is kept of traces is not judged again.
pub(crate) async fn find(
    session: &mut Session,
    request: &GetDependenciesRequest,
    kept: Option<&dyn Kept>,
) -> Result<Vec<Dependency>, Error> {
    let window = window(request)?;
    let Some(starts) = starts(window) else {
        return answer(Calls::new(window), session);
    };
    if let Some(mut view) = kept.and_then(|kept| kept.view(starts))
        && let Some(calls) = with_kept(session, window, &mut *view).await?
    {
        return answer(calls, session);
    }
    let mut counting = Counting::new(window);
    counting.search(session, starts, &mut None).await?;
    counting.end(session, &mut None).await?;
    answer(counting.calls, session)
}

/// Counts what is kept, and judges the other traces. `None` if what is kept cannot be read.
async fn with_kept(
    session: &mut Session,
    window: Range,
    view: &mut dyn View,
) -> Result<Option<Calls>, Error> {
    let mut counting = Counting::new(window);
    for starts in view.unsettled().to_vec() {
        counting
            .search(session, starts, &mut Some(&mut *view))
            .await?;
    }
    let changed = session.budget.within(async { Ok(view.changed().await) });
    let Some(changed) = changed.await? else {
        return Ok(None);
    };
    counting.add(changed);
    counting.end(session, &mut Some(&mut *view)).await?;
    let calls = &mut counting.calls;
    let mut add = |parent: &str, child: &str, count| calls.add_known(parent, child, count);
    let counted = session
        .budget
        .within(async { Ok(view.count(&mut add).await) });
    let is_whole = counted.await?;
    Ok(is_whole.then_some(counting.calls))
}

/// Traces that are searched for and judged.
struct Counting {
    calls: Calls,
    seen: HashSet<TraceId>,
    gatherer: Gatherer,
}

// === impl Counting ===

impl Counting {
    fn new(window: Range) -> Self {
        Self {
            calls: Calls::new(window),
            seen: HashSet::new(),
            gatherer: Gatherer::new(),
        }
    }

    fn add(&mut self, ids: impl IntoIterator<Item = TraceId>) {
        let seen = &mut self.seen;
        self.gatherer
            .extend(ids.into_iter().filter(|id| seen.insert(*id)));
    }

    /// Judges the traces that have spans that start in this range, but for the last few.
    async fn search(
        &mut self,
        session: &mut Session,
        starts: TimeRange,
        view: &mut Option<&mut dyn View>,
    ) -> Result<(), Error> {
        let mut sighted = Sighted::new(search(starts));
        while !sighted.ended() {
            let page = sighted.next(session, SIGHTINGS_PER_PAGE).await?;
            self.add(page.into_iter().map(|sighting| sighting.trace_id));
            while self.gatherer.is_full()
                && let Some(gathered) = self.gatherer.next(session).await?
            {
                count(session, &mut self.calls, &gathered, view).await?;
            }
        }
        Ok(())
    }

    /// Judges what is left.
    async fn end(
        &mut self,
        session: &mut Session,
        view: &mut Option<&mut dyn View>,
    ) -> Result<(), Error> {
        while let Some(gathered) = self.gatherer.next(session).await? {
            count(session, &mut self.calls, &gathered, view).await?;
        }
        Ok(())
    }
}

/// Counts the calls in some traces, and tells the view of each.
async fn count(
    session: &mut Session,
    calls: &mut Calls,
    gathered: &Gathered,
    view: &mut Option<&mut dyn View>,
) -> Result<(), Error> {
    let reads_all = view.is_some();
    let mut open = Vec::new();
    for (trace, pieces) in gathered.traces() {
        let judgement = calls
            .judge(pieces, None, reads_all)
            .map_err(|(fault, piece)| fault.into_error(session, piece))?;
        if let Some(view) = view {
            view.judged(trace, &calls.trace().starts);
        }
        match judgement {
            Judgement::Known => calls.count(),
            Judgement::Outside => {}
            Judgement::Open => open.push((trace, pieces)),
        }
    }
    for (trace, pieces) in open {
        let Written { pieces, copies } = Written::read(session, trace, pieces).await?;
        let judgement = calls
            .judge(&pieces, Some(&copies), false)
            .map_err(|(fault, piece)| fault.into_error(session, piece))?;
        if judgement == Judgement::Known {
            calls.count();
        }
    }
    Ok(())
}

/// The window that traces have to lie in, both ends included (D2).
fn window(request: &GetDependenciesRequest) -> Result<Range, Error> {
    let invalid = |text| Error::new(ErrorKind::InvalidArgument, text);
    let min = instant("start_time", request.start_time.as_ref())?
        .ok_or_else(|| invalid("start time is required"))?;
    let max = instant("end_time", request.end_time.as_ref())?.unwrap_or(Range::ALL.max);
    if max < min {
        return Err(invalid("end time must be greater than start time"));
    }
    Ok(Range { min, max })
}

/// The starts of all spans of the traces that lie within the window. `None` if no span can.
fn starts(window: Range) -> Option<TimeRange> {
    // Spans neither start nor end outside of what a u64 of nanoseconds can hold.
    let start = u64::try_from(window.min.max(0)).ok()?;
    if window.max < 0 {
        return None;
    }
    Some(TimeRange {
        start,
        end: u64::try_from(window.max).unwrap_or(u64::MAX),
    })
}

/// The search that sights every trace with a span that starts in this range.
pub(crate) fn search(starts: TimeRange) -> Search {
    Search {
        starts,
        durations: DurationRange::ALL,
        clauses: Vec::new(),
    }
}

/// All that fit a message, those with the most calls before the others.
fn answer(calls: Calls, session: &Session) -> Result<Vec<Dependency>, Error> {
    let limit = session.limits().max_message_bytes;
    let mut dependencies = calls.into_dependencies();
    for dependency in &mut dependencies {
        let names = [&mut dependency.parent, &mut dependency.child];
        let cut = names.map(|name| shorten_text(name, limit / 4));
        session.omission.cut_values(cut.iter().sum());
    }
    dependencies.sort_by_key(|dependency| Reverse(dependency.call_count));
    let bytes = |dependency: &Dependency| dependency.encoded_len() + 8;
    let omission = &session.omission;
    let mut dependencies = omission.fit("dependencies", dependencies, limit, bytes)?;
    dependencies
        .sort_by(|one, other| (&one.parent, &one.child).cmp(&(&other.parent, &other.child)));
    Ok(dependencies)
}
