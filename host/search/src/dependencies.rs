//! Dependencies: the number of calls from service to service, over all traces that lie wholly within a window (D1 to D4). Holds the ids
//! of the traces seen, the services, the calls, and the digests of some traces at a time.

use std::cmp::Reverse;
use std::time::Instant;

use hashbrown::HashSet;
use larder_model::storage::{DurationRange, Error, ErrorKind, Search, TimeRange, TraceId};
use larder_proto::storage::v2::{Dependency, GetDependenciesRequest};
use prost::Message as _;

use super::calls::Calls;
use super::counter::Counter;
use super::cut::shorten_text;
use super::gather::Gatherer;
use super::kept::{Kept, Summed, View};
use super::predicate::Range;
use super::session::Session;
use super::sightings::Sighted;
use super::time::instant;

/// Sightings per page.
pub(crate) const SIGHTINGS_PER_PAGE: u32 = 4096;

/// Where the calls of an answer come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Origin {
    /// All traces of the window were judged.
    #[default]
    Traces,
    /// What is kept, and traces that were judged besides.
    Kept(Summed),
    /// What is kept could not be read, and so all traces of the window were judged.
    Unreadable,
}

/// Counts the calls. The answer is one message. What is kept of traces is not judged again. `origin` is told also if it fails.
pub(crate) async fn find(
    session: &mut Session,
    request: &GetDependenciesRequest,
    kept: Option<&dyn Kept>,
    origin: &mut Origin,
) -> Result<Vec<Dependency>, Error> {
    let window = window(request)?;
    let Some(starts) = starts(window) else {
        return answer(Calls::new(window), session);
    };
    let since = Instant::now();
    let view = match kept {
        Some(kept) => {
            let view = async { Ok(kept.view(starts).await) };
            session.budget.within(view).await?
        }
        None => None,
    };
    session.budget.spent().adding += since.elapsed();
    if let Some(mut view) = view {
        // What is kept may be of writes that came after the query began. A trace that is judged is judged with them.
        session.renew();
        let calls = with_kept(session, window, &mut *view).await;
        *origin = Origin::Kept(view.summed());
        if let Some(calls) = calls? {
            return answer(calls, session);
        }
        *origin = Origin::Unreadable;
    }
    let mut counting = Counting::new(window, None);
    let read = async {
        counting.search(session, starts).await?;
        counting.end(session).await
    };
    let read = read.await;
    let calls = counting.settle(session, read).await?;
    answer(calls, session)
}

/// Counts what is kept, and judges the other traces. `None` if what is kept cannot be read.
async fn with_kept(
    session: &mut Session,
    window: Range,
    view: &mut dyn View,
) -> Result<Option<Calls>, Error> {
    let mut counting = Counting::new(window, Some(&mut *view));
    let read = counting.unsettled(session).await;
    let is_whole = matches!(read, Ok(true));
    let mut calls = counting.settle(session, read.map(|_| ())).await?;
    if !is_whole {
        return Ok(None);
    }
    let mut add = |parent: &str, child: &str, count| calls.add_known(parent, child, count);
    let since = Instant::now();
    let counted = async { Ok(view.count(&mut add).await) };
    let is_whole = session.budget.within(counted).await;
    session.budget.spent().adding += since.elapsed();
    Ok(is_whole?.then_some(calls))
}

/// Traces that are searched for and judged.
struct Counting<'v> {
    /// Told of each trace that is judged.
    view: Option<&'v mut dyn View>,
    counter: Counter,
    seen: HashSet<TraceId>,
    gatherer: Gatherer,
}

// === impl Counting ===

impl<'v> Counting<'v> {
    fn new(window: Range, view: Option<&'v mut dyn View>) -> Self {
        Self {
            counter: Counter::new(window, view.is_some()),
            view,
            seen: HashSet::new(),
            gatherer: Gatherer::new(),
        }
    }

    fn add(&mut self, ids: impl IntoIterator<Item = TraceId>) {
        let seen = &mut self.seen;
        self.gatherer
            .extend(ids.into_iter().filter(|id| seen.insert(*id)));
    }

    /// Judges what has not settled. Returns `false` if what is kept cannot be read.
    async fn unsettled(&mut self, session: &mut Session) -> Result<bool, Error> {
        let unsettled = self.view.as_ref().map(|view| view.unsettled().to_vec());
        for starts in unsettled.into_iter().flatten() {
            self.search(session, starts).await?;
        }
        let changed = match &mut self.view {
            Some(view) => {
                let since = Instant::now();
                let changed = async { Ok(view.changed().await) };
                let changed = session.budget.within(changed).await;
                session.budget.spent().adding += since.elapsed();
                changed?
            }
            None => Some(Vec::new()),
        };
        let Some(changed) = changed else {
            return Ok(false);
        };
        self.add(changed);
        self.end(session).await?;
        Ok(true)
    }

    /// Judges the traces that have spans that start in this range, but for the last few.
    async fn search(&mut self, session: &mut Session, starts: TimeRange) -> Result<(), Error> {
        let mut sighted = Sighted::new(search(starts));
        while !sighted.ended() {
            let page = sighted.next(session, SIGHTINGS_PER_PAGE).await?;
            sighted.read_ahead(session, SIGHTINGS_PER_PAGE);
            self.add(page.into_iter().map(|sighting| sighting.trace_id));
            while self.gatherer.is_full()
                && let Some(gathered) = self.gatherer.next(session).await?
            {
                if self.gatherer.is_full() {
                    self.gatherer.read_ahead(session);
                }
                self.counter.count(session, gathered).await?;
                self.tell();
            }
        }
        Ok(())
    }

    /// Judges what is left.
    async fn end(&mut self, session: &mut Session) -> Result<(), Error> {
        while let Some(gathered) = self.gatherer.next(session).await? {
            self.gatherer.read_ahead(session);
            self.counter.count(session, gathered).await?;
            self.tell();
        }
        Ok(())
    }

    /// The calls, once all of them are counted. What was read before an error is judged first, as its own error comes before.
    async fn settle(
        mut self,
        session: &mut Session,
        read: Result<(), Error>,
    ) -> Result<Calls, Error> {
        self.counter.settle_all(session).await?;
        read?;
        self.tell();
        Ok(self.counter.into_calls())
    }

    /// Tells the view of the traces that were judged.
    fn tell(&mut self) {
        if let Some(view) = &mut self.view {
            for (trace, starts) in self.counter.judged() {
                view.judged(trace, &starts);
            }
        }
    }
}

/// The starts of all spans of the traces that an answer is over. `None` if no span can be in one.
pub(crate) fn starts_of(request: &GetDependenciesRequest) -> Result<Option<TimeRange>, Error> {
    Ok(starts(window(request)?))
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
