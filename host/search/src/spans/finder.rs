//! Finds the first spans of an order, whatever the window: memory goes with the page, and the storage is walked in the direction that
//! needs the least of it.
//!
//! | order by | the walk |
//! |---|---|
//! | start, descending | newest first, until all that is left is older than the last span of the page |
//! | start, ascending | the older half of the window first, halved until a part has few fragments |
//! | duration | newest first; once the page is full, only fragments are asked for that reach the duration of its last span |
//! | trace id, span id | every match |

use std::hash::Hash;
use std::sync::Arc;
use std::time::Instant;

use hashbrown::{HashMap, HashSet};
use larder_model::storage::{
    DurationRange, Error, Part, Piece, Search, Sighting, TimeRange, TraceId,
};

use super::best::{Best, Bound};
use super::order::{Direction, SortField, SortKey, SpanOrder};
use crate::judge::{Found, Judge, Matches, Met, Sieve};
use crate::judging::Judging;
use crate::paging::SpanPosition;
use crate::plan::Plan;
use crate::predicate::Predicate;
use crate::reading::{OLDER_THAN_ITS_MATCH, Reading};
use crate::session::Session;
use crate::sightings::Sighted;

/// Bounds of the sightings per page of a walk, which grows from one to the other.
const SMALLEST_PAGE: usize = 32;
const LARGEST_PAGE: usize = 4096;

/// Bounds of the fragments that a part of the window may have, to be judged and not halved.
const FEWEST_IN_PART: usize = 256;
const MOST_IN_PART: usize = 1024;

/// How often windows are halved: often enough to find the oldest spans of any window. Fragments that span much time are in many parts, and
/// could otherwise be halved for ever.
const MOST_HALVINGS: usize = 128;

/// Fragments, and traces, that are remembered as judged. More are judged again, and change nothing.
const MOST_REMEMBERED: usize = 1 << 16;

/// Finds the first spans of an order that match a predicate.
pub(crate) struct Finder {
    judge: Arc<Judge>,
    best: Best,
    /// `None` if nothing can match.
    plan: Option<Plan>,
    /// Sightings of the next page.
    page: usize,
    /// The most fragments of a part of the window that is judged and not halved, for the oldest spans.
    most_in_part: usize,
    /// Fragments that were judged, and traces that were judged whole. Of neither another span can come on the page.
    fragments: HashSet<u64>,
    traces: HashSet<TraceId>,
}

/// Keeps the matches of one piece.
struct Keeper<'f> {
    best: &'f mut Best,
    trace: TraceId,
    fragment: u64,
    /// The latest start among the matches that were not kept before.
    newest: Option<u64>,
}

// === impl Finder ===

impl Finder {
    /// Creates a finder of the first `size` spans behind `after` that match a predicate with this plan. Makes no call yet.
    pub(crate) fn new(
        predicate: Predicate,
        mut plan: Option<Plan>,
        order: SpanOrder,
        after: Option<&SpanPosition>,
        size: usize,
    ) -> Self {
        if let (Some(plan), Some(after)) = (&mut plan, after) {
            narrow(&mut plan.search, order.first(), after);
        }
        let page = size.saturating_mul(2).clamp(SMALLEST_PAGE, LARGEST_PAGE);
        Self {
            judge: Arc::new(Judge::new(predicate)),
            best: Best::new(order, after, size),
            plan,
            page,
            most_in_part: page.clamp(FEWEST_IN_PART, MOST_IN_PART),
            fragments: HashSet::new(),
            traces: HashSet::new(),
        }
    }

    /// Halves parts of the window that have more fragments than these, so that a small store has many parts.
    #[cfg(test)]
    pub(crate) fn halving_above(mut self, fragments: usize) -> Self {
        self.most_in_part = fragments;
        self
    }

    /// The search that the plugin is asked for first; `None` if nothing can match, or the query names the traces.
    pub(crate) fn search(&self) -> Option<&Search> {
        let plan = self.plan.as_ref().filter(|plan| plan.traces.is_none());
        plan.map(|plan| &plan.search)
    }

    /// The part of fragments that is read to judge them.
    pub(crate) fn part(&self) -> Part {
        self.judge.part()
    }

    /// The order of the spans.
    pub(crate) fn order(&self) -> &SpanOrder {
        self.best.order()
    }

    /// How the storage is walked, for people.
    pub(crate) fn walk(&self) -> &'static str {
        match self.best.order().first() {
            (SortField::StartTime, Direction::Descending) => "newest first, until the page is full",
            (SortField::StartTime, Direction::Ascending) => {
                "the older half of the window first, until the page is full"
            }
            (SortField::Duration, _) => {
                "newest first, with an ever narrower range of durations once the page is full"
            }
            (SortField::TraceId | SortField::SpanId, _) => "every match",
        }
    }

    /// Finds the spans, in their order.
    ///
    /// # Errors
    /// Over the budget, and where the plugin lies.
    pub(crate) async fn find(mut self, session: &mut Session) -> Result<Vec<SpanPosition>, Error> {
        let Some(Plan { search, traces }) = self.plan.take() else {
            return Ok(Vec::new());
        };
        if let Some(named) = traces {
            let reading = Reading::traces(named, self.judge.part());
            self.judge_all(session, reading, None).await?;
        } else if self.best.order().first() == (SortField::StartTime, Direction::Ascending) {
            self.oldest_first(session, search).await?;
        } else {
            self.newest_first(session, search).await?;
        }
        Ok(self.best.into_spans())
    }

    async fn newest_first(&mut self, session: &mut Session, search: Search) -> Result<(), Error> {
        let mut sighted = Sighted::new(search);
        while !sighted.ended() {
            let limit = u32::try_from(self.page).unwrap_or(u32::MAX);
            let found = sighted.next(session, limit).await?;
            self.page = (self.page * 2).min(LARGEST_PAGE);
            sighted.read_ahead(session, u32::try_from(self.page).unwrap_or(u32::MAX));
            self.judge_sightings(session, found, sighted.search().starts)
                .await?;
            let Some(floor) = sighted.floor() else {
                break;
            };
            if self.is_settled(floor) {
                break;
            }
            if let Some(narrower) = self.narrower(sighted.search(), floor) {
                if narrower.durations.shortest > narrower.durations.longest {
                    break;
                }
                sighted = Sighted::new(narrower);
            }
        }
        Ok(())
    }

    /// Returns `true` if no span that starts at `floor` or before can be in the answer any more.
    fn is_settled(&self, floor: u64) -> bool {
        let is_by_start =
            self.best.order().first() == (SortField::StartTime, Direction::Descending);
        is_by_start
            && self
                .best
                .last_if_full()
                .is_some_and(|last| last.start > floor)
    }

    /// The search for what may still be in the answer of an order by duration: everything that starts after `floor` has been seen. Its range of
    /// durations is empty if nothing may. `None` where it would be the same search, or could begin with the same page.
    fn narrower(&self, search: &Search, floor: u64) -> Option<Search> {
        let (field, direction) = self.best.order().first();
        let last = self.best.last_if_full()?;
        if field != SortField::Duration || floor >= search.starts.end {
            return None;
        }
        let mut duration = last.duration;
        if self.best.order().is_newest_first_among_equals() && last.start > floor {
            // What is left starts earlier, so of equal durations it comes later.
            match direction {
                Direction::Descending => duration = duration.max(-1) + 1,
                Direction::Ascending if duration > 0 => duration -= 1,
                Direction::Ascending => {}
            }
        }
        let durations = toward(search.durations, direction, duration);
        (durations != search.durations).then(|| Search {
            starts: TimeRange {
                end: floor,
                ..search.starts
            },
            durations,
            clauses: search.clauses.clone(),
        })
    }

    /// Judges the window part by part, the oldest first.
    async fn oldest_first(&mut self, session: &mut Session, search: Search) -> Result<(), Error> {
        let most = self.most_in_part;
        let mut halvings = 0;
        let mut parts = vec![search.starts];
        while let Some(part) = parts.pop() {
            let mut sighted = Sighted::new(Search {
                starts: part,
                ..search.clone()
            });
            let mut found = Vec::new();
            while !sighted.ended() && found.len() < most {
                let limit = u32::try_from(most).unwrap_or(u32::MAX);
                let page = sighted.next(session, limit).await?;
                // Fragments that span much time are in many parts, and are judged in the first of them.
                found.extend(page.into_iter().filter(|it| !self.is_judged(it)));
            }
            if !sighted.ended() && part.start < part.end && halvings < MOST_HALVINGS {
                halvings += 1;
                let middle = part.start + (part.end - part.start) / 2;
                parts.push(TimeRange {
                    start: middle + 1,
                    end: part.end,
                });
                parts.push(TimeRange {
                    start: part.start,
                    end: middle,
                });
                continue;
            }
            self.judge_sightings(session, found, part).await?;
            while !sighted.ended() {
                let limit = u32::try_from(LARGEST_PAGE).unwrap_or(u32::MAX);
                let found = sighted.next(session, limit).await?;
                sighted.read_ahead(session, limit);
                self.judge_sightings(session, found, part).await?;
            }
            let last = self.best.last_if_full();
            if last.is_some_and(|last| last.start <= part.end) {
                break;
            }
        }
        Ok(())
    }

    /// Judges what was sighted by a search with this window.
    async fn judge_sightings(
        &mut self,
        session: &mut Session,
        found: Vec<Sighting>,
        window: TimeRange,
    ) -> Result<(), Error> {
        let mut fragments = HashMap::new();
        let mut bounds = HashMap::new();
        let mut whole = HashSet::new();
        for sighting in found {
            let newest = sighting.newest.min(window.end);
            if newest < window.start {
                continue;
            }
            if self.is_judged(&sighting) {
                continue;
            }
            if let Some(fragment) = sighting.fragment {
                fragments.insert(fragment, sighting.trace_id);
                let bound = bounds.entry(fragment).or_insert(newest);
                *bound = newest.max(*bound);
            } else {
                whole.insert(sighting.trace_id);
            }
        }
        remember(&mut self.fragments, fragments.keys());
        remember(&mut self.traces, &whole);
        let part = self.judge.part();
        // Whole traces first: a fragment of one may come up again, with the time up to which anything is still to come.
        let reading = Reading::traces(whole.into_iter().collect(), part);
        self.judge_all(session, reading, None).await?;
        let reading = Reading::fragments(fragments, part);
        let bounds = Some((&bounds, window.end));
        self.judge_all(session, reading, bounds).await
    }

    /// Returns `true` if all that the sighting stands for has been judged.
    fn is_judged(&self, sighting: &Sighting) -> bool {
        let is_judged = |fragment| self.fragments.contains(&fragment);
        self.traces.contains(&sighting.trace_id) || sighting.fragment.is_some_and(is_judged)
    }

    /// Judges the pieces of a reading. `bounds` has the time of each sighted fragment, an upper bound of its matches that start no later
    /// than the time beside it.
    async fn judge_all(
        &mut self,
        session: &mut Session,
        mut reading: Reading,
        bounds: Option<(&HashMap<u64, u64>, u64)>,
    ) -> Result<(), Error> {
        while let Some(pieces) = reading.next(session).await? {
            reading.read_ahead(session);
            let bound = |_: &[Piece]| -> Arc<dyn Sieve> { Arc::new(self.best.bound()) };
            let mut judging = Judging::begin(session, &self.judge, pieces, bound);
            let deadline = judging.deadline();
            while let Some(mut chunk) = judging.next(session).await? {
                for (piece, found) in chunk.pieces() {
                    let newest = self.judge_piece(session, (piece, found), deadline)?;
                    let is_broken = bounds.is_some_and(|(bounds, end)| {
                        newest.is_some_and(|newest| newest <= end)
                            && newest > bounds.get(&piece.fragment).copied()
                    });
                    if is_broken {
                        return Err(session.breach(OLDER_THAN_ITS_MATCH));
                    }
                }
            }
        }
        Ok(())
    }

    /// Judges one piece. Returns the latest start of what it has for the answer.
    fn judge_piece(
        &mut self,
        session: &mut Session,
        (piece, found): (&Piece, Option<Found>),
        deadline: Instant,
    ) -> Result<Option<u64>, Error> {
        let mut keeper = Keeper {
            best: &mut self.best,
            trace: piece.trace_id,
            fragment: piece.fragment,
            newest: None,
        };
        let judged = self
            .judge
            .take((piece, found), &mut keeper, deadline)
            .map_err(|fault| fault.into_error(session, piece))?;
        let newest = keeper.newest;
        session.budget.judged(judged)?;
        Ok(newest)
    }
}

/// Adds to what is remembered, and forgets what was before if that is too much.
fn remember<'a, T: Copy + Eq + Hash + 'a>(
    remembered: &mut HashSet<T>,
    more: impl IntoIterator<Item = &'a T>,
) {
    if remembered.len() >= MOST_REMEMBERED {
        remembered.clear();
    }
    remembered.extend(more);
}

/// Leaves out of a search what is before the last span of the page before, as far as the first term of the order says so.
fn narrow(search: &mut Search, (field, direction): (SortField, Direction), after: &SpanPosition) {
    let starts = &mut search.starts;
    match (field, direction) {
        (SortField::StartTime, Direction::Descending) => starts.end = starts.end.min(after.start),
        (SortField::StartTime, Direction::Ascending) => {
            starts.start = starts.start.max(after.start);
        }
        (SortField::Duration, Direction::Descending) => {
            search.durations = toward(search.durations, Direction::Ascending, after.duration);
        }
        (SortField::Duration, Direction::Ascending) => {
            search.durations = toward(search.durations, Direction::Descending, after.duration);
        }
        (SortField::TraceId | SortField::SpanId, _) => {}
    }
}

/// The durations of a range that come no later than this one in the direction. A negative one counts as 0 for a plugin.
fn toward(range: DurationRange, direction: Direction, duration: i128) -> DurationRange {
    let duration = u64::try_from(duration.max(0)).unwrap_or(u64::MAX);
    match direction {
        Direction::Descending => DurationRange {
            shortest: range.shortest.max(duration),
            ..range
        },
        Direction::Ascending => DurationRange {
            longest: range.longest.min(duration),
            ..range
        },
    }
}

/// The position of a span of this trace and fragment.
fn position((trace, fragment): (TraceId, u64), span: &Met) -> SpanPosition {
    SpanPosition {
        start: span.start,
        duration: i128::from(span.end) - i128::from(span.start),
        trace,
        span: span.id,
        fragment,
        place: span.place,
    }
}

// === impl Bound ===

impl Sieve for Bound {
    fn wants(&self, piece: &Piece, span: &Met, _: &[Met]) -> bool {
        self.is_within(&position((piece.trace_id, piece.fragment), span))
    }
}

// === impl Keeper ===

impl Keeper<'_> {
    fn position(&self, span: &Met) -> SpanPosition {
        position((self.trace, self.fragment), span)
    }
}

impl Matches for Keeper<'_> {
    type Wanted = (SortKey, SpanPosition);

    fn wants(&self, span: &Met) -> Option<(SortKey, SpanPosition)> {
        let position = self.position(span);
        let key = self.best.key_if_kept(&position)?;
        Some((key, position))
    }

    fn take(&mut self, (key, position): (SortKey, SpanPosition)) {
        // A fragment may come up again, and its sighting stands for nothing that is known then.
        if self.best.keep(key, position) {
            self.newest = self.newest.max(Some(position.start));
        }
    }
}
