//! Exactly the newest matching traces, in order: (start of the newest matching span descending, trace id ascending) (Q2).
//!
//! Sightings are upper bounds: they are judged only once nothing still to come can stand before them, and a trace goes out once
//! its exact time is above the floor of what is still to come.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::time::Instant;

use hashbrown::{HashMap, HashSet};
use larder_model::storage::{Error, Part, Piece, Search, TraceId};

use super::judge::Judge;
use super::paging::{Page, Position};
use super::plan::{Plan, plan};
use super::query::Query;
use super::reading::Reading;
use super::session::Session;
use super::sightings::Sighted;

/// The sightings to ask for at a time, and to judge at a time: they grow while little comes out.
const SMALLEST_PAGE: usize = 32;
const LARGEST_PAGE: usize = 4096;

/// So many pieces are judged before others may run: some microseconds each.
const PIECES_AT_ONCE: usize = 64;
/// How many traces those who want all of them ask for at a time.
pub(crate) const TRACES_AT_A_TIME: usize = 1024;

/// The matching traces of one query, newest first, up to its depth.
pub(crate) struct Emitter {
    judge: Judge,
    /// What is still to be asked for; `None` where nothing can match.
    sighted: Option<Sighted>,
    /// What can still come out, first the newest.
    queue: BinaryHeap<Entry>,
    traces: HashMap<TraceId, Trace>,
    fragments: HashSet<u64>,
    /// How many traces may still come out.
    left: usize,
    /// Which page of the answer this is; none where it has no pages.
    paging: Option<Page>,
    /// The trace that came out last.
    last: Option<Position>,
    page: usize,
    batch: usize,
}

/// A trace at a time: either exact, or no earlier than its newest match in what has to be judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    time: u64,
    trace: TraceId,
    place: Place,
}

/// What an entry stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    /// A match at exactly this time.
    Judged,
    /// A fragment to be judged.
    Fragment(u64),
    /// A whole trace to be judged.
    Trace,
}

/// What is known of a trace.
#[derive(Clone, Copy, Debug, Default)]
struct Trace {
    /// Its newest match so far.
    newest: Option<u64>,
    /// The last bound that it was sighted with as a whole.
    sighted: Option<u64>,
    /// Whether all of it has been judged.
    judged: bool,
    emitted: bool,
}

// === impl Emitter ===

impl Emitter {
    /// The traces that match the query. Asks for nothing yet.
    pub(crate) fn new(query: Query) -> Self {
        let mut plan = plan(&query.predicate);
        if let (Some(Plan { search, .. }), Some(after)) = (&mut plan, query.after()) {
            // Nothing that is still to come has its newest match later.
            search.starts.end = search.starts.end.min(after.start);
        }
        let page = query
            .depth
            .saturating_mul(2)
            .clamp(SMALLEST_PAGE, LARGEST_PAGE);
        let mut queue = BinaryHeap::new();
        let sighted = plan.and_then(|Plan { search, traces }| match traces {
            Some(named) => {
                queue.extend(named.into_iter().map(|trace| Entry {
                    time: search.starts.end,
                    trace,
                    place: Place::Trace,
                }));
                None
            }
            None => Some(Sighted::new(search)),
        });
        Self {
            judge: Judge::new(query.predicate),
            sighted,
            queue,
            traces: HashMap::new(),
            fragments: HashSet::new(),
            left: query.depth,
            paging: query.page,
            last: None,
            page,
            batch: page,
        }
    }

    /// What it searches for; `None` where nothing can match, or the query names the traces.
    pub(crate) fn search(&self) -> Option<&Search> {
        self.sighted.as_ref().map(Sighted::search)
    }

    /// The part of fragments that is read to judge them.
    pub(crate) fn part(&self) -> Part {
        self.judge.part()
    }

    /// The next traces, at most `max` of them; none at the end.
    pub(crate) async fn next(
        &mut self,
        session: &mut Session,
        max: usize,
    ) -> Result<Vec<TraceId>, Error> {
        let mut out = Vec::new();
        while out.len() < max && self.left > 0 {
            match self.queue.peek() {
                Some(top) if self.is_settled(top.time) => {
                    if top.place == Place::Judged {
                        out.extend(self.emit());
                    } else {
                        self.judge_batch(session).await?;
                    }
                }
                _ => {
                    if !self.fetch(session).await? {
                        break;
                    }
                }
            }
        }
        Ok(out)
    }

    /// Where the answer goes on once all of the page has come out; `None` where nothing follows, or there are no pages.
    pub(crate) async fn next_page(
        &mut self,
        session: &mut Session,
    ) -> Result<Option<String>, Error> {
        let (Some(page), Some(last), 0) = (self.paging, self.last, self.left) else {
            return Ok(None);
        };
        self.left = 1;
        let follows = !self.next(session, 1).await?.is_empty();
        self.left = 0;
        Ok(follows.then(|| page.token(last)))
    }

    /// The last trace of the page before.
    fn after(&self) -> Option<Position> {
        self.paging.and_then(|page| page.after)
    }

    /// Whether nothing that is still to be sighted can stand before, or beside, an entry of this time.
    fn is_settled(&self, time: u64) -> bool {
        let floor = self.sighted.as_ref().and_then(Sighted::floor);
        floor.is_none_or(|floor| floor < time)
    }

    fn emit(&mut self) -> Option<TraceId> {
        let entry = self.queue.pop()?;
        let trace = self.traces.entry(entry.trace).or_default();
        if std::mem::replace(&mut trace.emitted, true) {
            return None;
        }
        if self
            .after()
            .is_some_and(|after| !after.is_before(entry.time, entry.trace))
        {
            // It came out on a page before.
            return None;
        }
        self.left -= 1;
        self.last = Some(Position {
            start: entry.time,
            trace: entry.trace,
        });
        Some(entry.trace)
    }

    /// Asks for one more page of sightings; false at the end.
    async fn fetch(&mut self, session: &mut Session) -> Result<bool, Error> {
        let Some(sighted) = self.sighted.as_mut().filter(|sighted| !sighted.ended()) else {
            return Ok(false);
        };
        let limit = u32::try_from(self.page).unwrap_or(u32::MAX);
        let page = sighted.next(session, limit).await?;
        self.page = (self.page * 2).min(LARGEST_PAGE);
        let window = sighted.search().starts;
        let is_later_page = self.after().is_some();
        for mut sighting in page {
            if is_later_page {
                // Whether it is still to come out depends on its newest match, which may be in what came out before.
                sighting.fragment = None;
            }
            // No match starts after the window, whatever else the fragment holds.
            let time = sighting.newest.min(window.end);
            let is_news = if let Some(fragment) = sighting.fragment {
                self.fragments.insert(fragment)
            } else {
                let trace = self.traces.entry(sighting.trace_id).or_default();
                trace.sighted.replace(time) < Some(time)
            };
            if is_news && time >= window.start {
                self.queue.push(Entry {
                    time,
                    trace: sighting.trace_id,
                    place: sighting.fragment.map_or(Place::Trace, Place::Fragment),
                });
            }
        }
        Ok(true)
    }

    /// Judges the first of the settled entries that are not judged yet.
    async fn judge_batch(&mut self, session: &mut Session) -> Result<(), Error> {
        let mut fragments = HashMap::new();
        let mut bounds = HashMap::new();
        let mut whole = HashSet::new();
        for entry in self.take_batch() {
            match entry.place {
                Place::Judged => {}
                Place::Fragment(fragment) => {
                    fragments.insert(fragment, entry.trace);
                    bounds.insert(fragment, entry.time);
                }
                Place::Trace => {
                    whole.insert(entry.trace);
                }
            }
        }
        let part = self.judge.part();
        let reading = Reading::fragments(fragments, part);
        self.judge_all(session, reading, Some(&bounds)).await?;
        let reading = Reading::traces(whole.iter().copied().collect(), part);
        self.judge_all(session, reading, None).await?;
        for id in whole {
            self.traces.entry(id).or_default().judged = true;
        }
        Ok(())
    }

    /// Judges what is read; `bounds` are the times that sighted fragments were said to match by.
    async fn judge_all(
        &mut self,
        session: &mut Session,
        mut reading: Reading,
        bounds: Option<&HashMap<u64, u64>>,
    ) -> Result<(), Error> {
        while let Some(pieces) = reading.next(session).await? {
            let deadline = session.budget.deadline();
            for pieces in pieces.chunks(PIECES_AT_ONCE) {
                let since = Instant::now();
                for piece in pieces {
                    let newest = self.judge_piece(session, piece, deadline)?;
                    if bounds.is_some_and(|bounds| newest > bounds.get(&piece.fragment).copied()) {
                        return Err(
                            session.breach("a sighting is older than a match that it stands for")
                        );
                    }
                }
                session.budget.spent().judging += since.elapsed();
                session.let_others_run().await;
            }
        }
        Ok(())
    }

    /// Takes the first settled entries that have to be judged out of the queue, and drops those that no longer have to be.
    fn take_batch(&mut self) -> Vec<Entry> {
        let mut batch = Vec::new();
        let mut aside = Vec::new();
        let mut exact = 0;
        let mut traces = HashSet::new();
        // What comes after as many exact entries as may still come out will never come out.
        while batch.len() < self.batch && aside.len() < self.batch && exact < self.left {
            let Some(entry) = self.queue.peek().copied() else {
                break;
            };
            if !self.is_settled(entry.time) {
                break;
            }
            self.queue.pop();
            let trace = self.traces.get(&entry.trace).copied().unwrap_or_default();
            if trace.emitted {
                continue;
            }
            if entry.place == Place::Judged {
                exact += 1;
                aside.push(entry);
            } else if trace.judged || trace.newest >= Some(entry.time) {
                // Judging it would give nothing newer than what is known.
            } else if self.judge.part() == Part::Otlp && !traces.insert(entry.trace) {
                // Full spans are dear: the trace's first fragment may make its others needless.
                aside.push(entry);
            } else {
                batch.push(entry);
            }
        }
        self.queue.extend(aside);
        if !batch.is_empty() {
            self.batch = (self.batch * 2).min(LARGEST_PAGE);
        }
        batch
    }

    /// Judges one piece; gives the start of its newest match, if that is newer than any that its trace is known to have.
    fn judge_piece(
        &mut self,
        session: &mut Session,
        piece: &Piece,
        deadline: Instant,
    ) -> Result<Option<u64>, Error> {
        let trace = self.traces.entry(piece.trace_id).or_default();
        let judged = self
            .judge
            .newest_match(piece, trace.newest, deadline)
            .map_err(|fault| fault.into_error(session, piece))?;
        session.budget.judged(judged.spans)?;
        if let Some(time) = judged.newest {
            trace.newest = judged.newest;
            self.queue.push(Entry {
                time,
                trace: piece.trace_id,
                place: Place::Judged,
            });
        }
        Ok(judged.newest)
    }
}

// === impl Entry ===

/// What comes out first is the greatest: the newest time, then the smallest trace id.
impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        let key = |entry: &Self| (entry.time, Reverse(entry.trace), Reverse(entry.place));
        key(self).cmp(&key(other))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
