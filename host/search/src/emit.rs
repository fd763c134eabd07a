//! Exactly the newest matching traces, in order: (start of the newest matching span descending, trace id ascending) (Q2).
//!
//! The time of a sighting is an upper bound. A sighting is judged only when every later sighting is older, and a trace comes out when
//! its exact time is above the floor of the sightings still to come.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::Instant;

use hashbrown::{HashMap, HashSet};
use larder_model::storage::{Error, Part, Piece, Search, TraceId};

use super::judge::{Found, Judge, Met, Sieve};
use super::judging::Judging;
use super::paging::{Page, TracePosition};
use super::plan::{Plan, plan_in};
use super::query::Query;
use super::reading::{OLDER_THAN_ITS_MATCH, Reading};
use super::session::Session;
use super::sightings::Sighted;

/// Bounds of the sightings per page, and of the entries judged at a time. Both grow while few traces come out.
const SMALLEST_PAGE: usize = 32;
const LARGEST_PAGE: usize = 4096;

/// Number of traces to request at a time when all are wanted.
pub(crate) const TRACES_AT_A_TIME: usize = 1024;

/// The matching traces of one query, newest first, up to its depth.
pub(crate) struct Emitter {
    judge: Arc<Judge>,
    /// The sightings still to come; `None` if nothing can match, or the query names the traces.
    sighted: Option<Sighted>,
    /// Candidates for the answer, newest first.
    queue: BinaryHeap<Candidate>,
    traces: HashMap<TraceId, Trace>,
    fragments: HashSet<u64>,
    /// Number of traces that may still come out.
    left: usize,
    /// True if more were asked for, and an answer with as many has to tell whether there are more.
    is_clamped: bool,
    /// The page of the answer; `None` for an answer without pages.
    paging: Option<Page<TracePosition>>,
    /// The trace that came out last.
    last: Option<TracePosition>,
    page: usize,
    batch: usize,
}

/// A trace with the time of its newest match, or with an upper bound of it while there is something to judge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Candidate {
    time: u64,
    trace: TraceId,
    kind: CandidateKind,
}

/// The kind of a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum CandidateKind {
    /// A match at exactly this time.
    Judged,
    /// A fragment to be judged.
    Fragment(u64),
    /// A whole trace to be judged.
    Trace,
}

/// State of a trace.
#[derive(Clone, Copy, Debug, Default)]
struct Trace {
    /// Its newest match so far.
    newest: Option<u64>,
    /// The last bound that it was sighted with as a whole.
    sighted: Option<u64>,
    /// True once all of it has been judged.
    judged: bool,
    emitted: bool,
}

/// The newest known match of each trace that has one.
struct Known(HashMap<TraceId, u64>);

// === impl Emitter ===

impl Emitter {
    /// Plans a query, and creates an emitter of the traces that match it. Makes no call yet.
    ///
    /// # Errors
    /// Over the budget.
    pub(crate) async fn plan(session: &mut Session, query: Query) -> Result<Self, Error> {
        let plan = plan_in(session, &query.predicate).await?;
        Ok(Self::new(query, plan))
    }

    /// Creates an emitter of the traces that match a query with this plan.
    pub(crate) fn new(query: Query, mut plan: Option<Plan>) -> Self {
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
                queue.extend(named.into_iter().map(|trace| Candidate {
                    time: search.starts.end,
                    trace,
                    kind: CandidateKind::Trace,
                }));
                None
            }
            None => Some(Sighted::new(search)),
        });
        Self {
            judge: Arc::new(Judge::new(query.predicate)),
            sighted,
            queue,
            traces: HashMap::new(),
            fragments: HashSet::new(),
            left: query.depth,
            is_clamped: query.is_clamped,
            paging: query.page,
            last: None,
            page,
            batch: page,
        }
    }

    /// The search that the plugin is asked for; `None` if nothing can match, or the query names the traces.
    pub(crate) fn search(&self) -> Option<&Search> {
        self.sighted.as_ref().map(Sighted::search)
    }

    /// The part of fragments that is read to judge them.
    pub(crate) fn part(&self) -> Part {
        self.judge.part()
    }

    /// The next traces, at most `max` of them; empty at the end.
    pub(crate) async fn next(
        &mut self,
        session: &mut Session,
        max: usize,
    ) -> Result<Vec<TraceId>, Error> {
        let out = self.collect(session, max).await?;
        if out.is_empty() && self.left == 0 && std::mem::take(&mut self.is_clamped) {
            // If it cannot be found out, there may be more.
            if self.follows(session).await.unwrap_or(true) {
                let setting = "limits.max_search_depth";
                session.omission.omit("search_depth", None, setting);
            }
        }
        Ok(out)
    }

    /// Returns `true` if a trace follows the last one that may come out.
    async fn follows(&mut self, session: &mut Session) -> Result<bool, Error> {
        self.left = 1;
        let more = self.collect(session, 1).await;
        self.left = 0;
        Ok(!more?.is_empty())
    }

    async fn collect(&mut self, session: &mut Session, max: usize) -> Result<Vec<TraceId>, Error> {
        let mut out = Vec::new();
        while out.len() < max && self.left > 0 {
            match self.queue.peek() {
                Some(top) if self.is_settled(top.time) => {
                    if top.kind == CandidateKind::Judged {
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

    /// The token of the next page, once all of this page has come out; `None` if no trace follows, or the answer has no tokens.
    pub(crate) async fn next_page(
        &mut self,
        session: &mut Session,
    ) -> Result<Option<String>, Error> {
        let (Some(page), Some(last), 0) = (self.paging, self.last, self.left) else {
            return Ok(None);
        };
        let Some(token) = page.token(last) else {
            return Ok(None);
        };
        let follows = self.follows(session).await?;
        Ok(follows.then_some(token))
    }

    /// The token of a page that goes on after this trace, which has come out; `None` if the answer has no tokens.
    pub(crate) fn page_after(&self, trace: TraceId) -> Option<String> {
        let (page, state) = (self.paging?, self.traces.get(&trace)?);
        let start = state.newest?;
        page.token(TracePosition { start, trace })
    }

    /// The last trace of the page before.
    fn after(&self) -> Option<TracePosition> {
        self.paging.and_then(|page| page.after)
    }

    /// Returns `true` if every sighting still to come is older than an entry of this time.
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
        self.last = Some(TracePosition {
            start: entry.time,
            trace: entry.trace,
        });
        Some(entry.trace)
    }

    /// Reads one more page of sightings. Returns `false` at the end.
    async fn fetch(&mut self, session: &mut Session) -> Result<bool, Error> {
        let Some(sighted) = self.sighted.as_mut().filter(|sighted| !sighted.ended()) else {
            return Ok(false);
        };
        let limit = u32::try_from(self.page).unwrap_or(u32::MAX);
        let page = sighted.next(session, limit).await?;
        self.page = (self.page * 2).min(LARGEST_PAGE);
        sighted.read_ahead(session, u32::try_from(self.page).unwrap_or(u32::MAX));
        let window = sighted.search().starts;
        let is_later_page = self.after().is_some();
        for mut sighting in page {
            if is_later_page {
                // The trace's newest match, which may be in another fragment, decides on which page it is: judge all of the trace.
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
                self.queue.push(Candidate {
                    time,
                    trace: sighting.trace_id,
                    kind: sighting
                        .fragment
                        .map_or(CandidateKind::Trace, CandidateKind::Fragment),
                });
            }
        }
        Ok(true)
    }

    /// Judges the first settled entries that have not been judged.
    async fn judge_batch(&mut self, session: &mut Session) -> Result<(), Error> {
        let mut fragments = HashMap::new();
        let mut bounds = HashMap::new();
        let mut whole = HashSet::new();
        for entry in self.take_batch() {
            match entry.kind {
                CandidateKind::Judged => {}
                CandidateKind::Fragment(fragment) => {
                    fragments.insert(fragment, entry.trace);
                    bounds.insert(fragment, entry.time);
                }
                CandidateKind::Trace => {
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

    /// Judges the pieces of a reading. `bounds` holds the time of each sighted fragment, an upper bound of its matches.
    async fn judge_all(
        &mut self,
        session: &mut Session,
        mut reading: Reading,
        bounds: Option<&HashMap<u64, u64>>,
    ) -> Result<(), Error> {
        while let Some(pieces) = reading.next(session).await? {
            reading.read_ahead(session);
            let known = |pieces: &[Piece]| self.known(pieces);
            let mut judging = Judging::begin(session, &self.judge, pieces, known);
            let deadline = judging.deadline();
            while let Some(mut chunk) = judging.next(session).await? {
                for (piece, found) in chunk.pieces() {
                    let newest = self.judge_piece(session, (piece, found), deadline)?;
                    if bounds.is_some_and(|bounds| newest > bounds.get(&piece.fragment).copied()) {
                        return Err(session.breach(OLDER_THAN_ITS_MATCH));
                    }
                }
            }
        }
        Ok(())
    }

    /// The newest matches of the traces of these pieces.
    fn known(&self, pieces: &[Piece]) -> Arc<dyn Sieve> {
        let newest = |trace: TraceId| self.traces.get(&trace)?.newest;
        let known = |piece: &Piece| Some((piece.trace_id, newest(piece.trace_id)?));
        Arc::new(Known(pieces.iter().filter_map(known).collect()))
    }

    /// Takes the first settled entries that need judging out of the queue, and drops those that no longer need it.
    fn take_batch(&mut self) -> Vec<Candidate> {
        let mut batch = Vec::new();
        let mut aside = Vec::new();
        let mut exact = 0;
        let mut traces = HashSet::new();
        // Entries behind as many exact ones as may still come out never come out.
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
            if entry.kind == CandidateKind::Judged {
                exact += 1;
                aside.push(entry);
            } else if trace.judged || trace.newest >= Some(entry.time) {
                // Judging it cannot find a newer match than the known one.
            } else if self.judge.part() == Part::Otlp && !traces.insert(entry.trace) {
                // Full spans are expensive to read, and the trace's first fragment may make the others unnecessary.
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

    /// Judges one piece. Returns the start of its newest match, if it is newer than every known match of its trace.
    fn judge_piece(
        &mut self,
        session: &mut Session,
        (piece, found): (&Piece, Option<Found>),
        deadline: Instant,
    ) -> Result<Option<u64>, Error> {
        let trace = self.traces.entry(piece.trace_id).or_default();
        let judged = self
            .judge
            .newest_match((piece, found), trace.newest, deadline)
            .map_err(|fault| fault.into_error(session, piece))?;
        session.budget.judged(judged.spans)?;
        if let Some(time) = judged.newest {
            trace.newest = judged.newest;
            self.queue.push(Candidate {
                time,
                trace: piece.trace_id,
                kind: CandidateKind::Judged,
            });
        }
        Ok(judged.newest)
    }
}

// === impl Known ===

impl Sieve for Known {
    fn wants(&self, piece: &Piece, span: &Met, matching: &[Met]) -> bool {
        let known = || self.0.get(&piece.trace_id).copied();
        let newest = matching.last().map(|span| span.start).or_else(known);
        Some(span.start) > newest
    }
}

// === impl Candidate ===

/// The candidate that comes out first is the greatest: the newest time, then the smallest trace id.
impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> Ordering {
        let key = |entry: &Self| (entry.time, Reverse(entry.trace), Reverse(entry.kind));
        key(self).cmp(&key(other))
    }
}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
