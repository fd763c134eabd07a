//! Dependencies: the number of calls from service to service, over all traces that lie wholly within a window (D1 to D4). Holds the ids
//! of the traces seen, the services, the calls, and the digests of some traces at a time.

use std::cmp::Reverse;

use hashbrown::HashSet;
use larder_model::storage::{DurationRange, Error, ErrorKind, Search, TimeRange, TraceId};
use larder_proto::storage::v2::{Dependency, GetDependenciesRequest};
use prost::Message as _;

use super::calls::Calls;
use super::counter::Counter;
use super::cut::shorten_text;
use super::gather::Gatherer;
use super::predicate::Range;
use super::session::Session;
use super::sightings::Sighted;
use super::time::instant;

/// Sightings per page.
const SIGHTINGS_PER_PAGE: u32 = 4096;

/// Counts the calls. The answer is one message.
pub(crate) async fn find(
    session: &mut Session,
    request: &GetDependenciesRequest,
) -> Result<Vec<Dependency>, Error> {
    let window = window(request)?;
    let mut counter = Counter::new(window);
    let read = read_all(session, &mut counter, window).await;
    // What was read before an error is judged first, as its own error comes before.
    counter.settle_all(session).await?;
    read?;
    answer(counter.into_calls(), session)
}

/// Reads all traces that may lie within the window, and has their calls counted.
async fn read_all(
    session: &mut Session,
    counter: &mut Counter,
    window: Range,
) -> Result<(), Error> {
    let mut seen: HashSet<TraceId> = HashSet::new();
    let mut gatherer = Gatherer::new();
    if let Some(search) = search(window) {
        let mut sighted = Sighted::new(search);
        while !sighted.ended() {
            let page = sighted.next(session, SIGHTINGS_PER_PAGE).await?;
            sighted.read_ahead(session, SIGHTINGS_PER_PAGE);
            let ids = page.into_iter().map(|sighting| sighting.trace_id);
            gatherer.extend(ids.filter(|id| seen.insert(*id)));
            while gatherer.is_full()
                && let Some(gathered) = gatherer.next(session).await?
            {
                if gatherer.is_full() {
                    gatherer.read_ahead(session);
                }
                counter.count(session, gathered).await?;
            }
        }
    }
    while let Some(gathered) = gatherer.next(session).await? {
        gatherer.read_ahead(session);
        counter.count(session, gathered).await?;
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

/// The search that sights every trace that lies within the window: all of its spans start within. `None` if no span can.
fn search(window: Range) -> Option<Search> {
    // Spans neither start nor end outside of what a u64 of nanoseconds can hold.
    let start = u64::try_from(window.min.max(0)).ok()?;
    if window.max < 0 {
        return None;
    }
    Some(Search {
        starts: TimeRange {
            start,
            end: u64::try_from(window.max).unwrap_or(u64::MAX),
        },
        durations: DurationRange {
            shortest: 0,
            longest: u64::MAX,
        },
        clauses: Vec::new(),
    })
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
