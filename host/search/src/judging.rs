//! Judges one page of pieces, in their order: the query itself a first part, and tasks the others where the page is large and processors
//! are idle.
//!
//! A task does not have the state of the query, so it finds what may matter by what was known when the page came. The query takes that up
//! in the order of the pieces, as if it had judged them itself; a piece at which the task failed it does judge itself, so that errors are
//! the same.

use std::collections::VecDeque;
use std::iter::repeat_with;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use larder_core::fair::Task;
use larder_model::storage::{Error, Piece};

use super::judge::{Found, Judge, Sieve};
use super::session::{Session, yield_if_due};

/// Pieces judged before the task yields; each takes some microseconds.
const PIECES_AT_ONCE: usize = 64;

/// A page that is being judged. Dropping it ends its tasks.
pub(crate) struct Judging {
    pieces: Arc<Vec<Piece>>,
    /// The first piece that has not come out.
    next: usize,
    /// The parts that tasks judge, in order.
    parts: VecDeque<Part>,
    /// What a task has found in the next pieces.
    found: std::vec::IntoIter<Option<Found>>,
    /// The time at which the last pieces came out.
    since: Option<Instant>,
    deadline: Instant,
}

/// The next pieces to judge.
pub(crate) struct Chunk {
    pieces: Arc<Vec<Piece>>,
    range: Range<usize>,
    found: std::vec::IntoIter<Option<Found>>,
}

struct Part {
    range: Range<usize>,
    task: Task<Vec<Option<Found>>>,
}

/// Finds the matches in a part of a page.
async fn find(
    (judge, sieve): (Arc<Judge>, Arc<dyn Sieve>),
    (pieces, range): (Arc<Vec<Piece>>, Range<usize>),
    deadline: Instant,
) -> Vec<Option<Found>> {
    let mut paused = Instant::now();
    let mut found = Vec::with_capacity(range.len());
    let pieces = pieces.get(range).unwrap_or_default();
    for pieces in pieces.chunks(PIECES_AT_ONCE) {
        if Instant::now() > deadline {
            break;
        }
        let of = |piece| judge.find(piece, &*sieve, deadline);
        found.extend(pieces.iter().map(of));
        yield_if_due(&mut paused).await;
    }
    found
}

// === impl Judging ===

impl Judging {
    /// Begins to judge a page. `sieve` tells what is known now; it is only called if there are tasks.
    pub(crate) fn begin(
        session: &Session,
        judge: &Arc<Judge>,
        pieces: Vec<Piece>,
        sieve: impl FnOnce(&[Piece]) -> Arc<dyn Sieve>,
    ) -> Self {
        let deadline = session.budget.deadline();
        let pieces = Arc::new(pieces);
        let mut parts = VecDeque::new();
        let mut ranges = session
            .beside()
            .divide(&pieces)
            .into_iter()
            .skip(1)
            .peekable();
        if ranges.peek().is_some() {
            let sieve = sieve(pieces.as_slice());
            for range in ranges {
                let by = (Arc::clone(judge), Arc::clone(&sieve));
                let of = (Arc::clone(&pieces), range.clone());
                // What gets no task is judged by the query when its turn comes.
                if let Ok(task) = session.beside().spawn_if_idle(find(by, of, deadline)) {
                    parts.push_back(Part { range, task });
                }
            }
        }
        Self {
            pieces,
            next: 0,
            parts,
            found: Vec::new().into_iter(),
            since: None,
            deadline,
        }
    }

    /// The time by which judging has to end.
    pub(crate) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// The next pieces; `None` at the end. Counts the time since the last ones as that of judging, and yields in between.
    pub(crate) async fn next(&mut self, session: &mut Session) -> Result<Option<Chunk>, Error> {
        if let Some(since) = self.since.take() {
            session.budget.spent().judging += since.elapsed();
            session.yield_if_due().await;
        }
        let is_next = |part: &Part| part.range.start == self.next;
        if self.parts.front().is_some_and(is_next)
            && let Some(part) = self.parts.pop_front()
        {
            let since = Instant::now();
            let found = session.join(part.task).await;
            session.budget.spent().judging += since.elapsed();
            self.found = found?.into_iter();
        }
        let next_part = self.parts.front().map(|part| part.range.start);
        let until = next_part.unwrap_or(self.pieces.len());
        let range = self.next..until.min(self.next + PIECES_AT_ONCE);
        if range.is_empty() {
            return Ok(None);
        }
        self.next = range.end;
        self.since = Some(Instant::now());
        let found: Vec<_> = self.found.by_ref().take(range.len()).collect();
        Ok(Some(Chunk {
            pieces: Arc::clone(&self.pieces),
            range,
            found: found.into_iter(),
        }))
    }
}

// === impl Chunk ===

impl Chunk {
    /// The pieces, each with what a task has found in it, if one has.
    pub(crate) fn pieces(&mut self) -> impl Iterator<Item = (&Piece, Option<Found>)> {
        let Self {
            pieces,
            range,
            found,
        } = self;
        let pieces = pieces.get(range.clone()).unwrap_or_default();
        let rest = repeat_with(|| None);
        pieces.iter().zip(found.by_ref().chain(rest))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

    use std::sync::mpsc::{Sender, channel};
    use std::thread::{self, ThreadId};
    use std::time::Duration;

    use larder_core::fair::{Lane, Scheduler};
    use larder_model::storage::{Part, Storage as _, TraceId, Wanted};
    use larder_proto::storage::v2::TraceQueryParameters;

    use super::super::beside::{Beside, Share};
    use super::super::judge::Met;
    use super::super::query;
    use super::super::testing::{Memory, limits, of, op, session};
    use super::*;

    /// Wants every span, and tells on which thread it was asked.
    struct Wants(Sender<ThreadId>);

    impl Sieve for Wants {
        fn wants(&self, _: &Piece, _: &Met, _: &[Met]) -> bool {
            self.0.send(thread::current().id()).unwrap();
            true
        }
    }

    fn in_lane(lane: Lane) -> Session {
        let share = Share {
            pieces: 1,
            bytes: 1,
            parts: 2,
        };
        session(Memory::of(&[]), Beside::new(Some(lane)).with_share(share))
    }

    /// The digests of traces 1 to 8, each a span of service "s".
    async fn pieces() -> Vec<Piece> {
        let row = |n: u64| vec![of("s", op(n.into(), n, n, n))];
        let memory = Memory::of(&(1..=8).map(row).collect::<Vec<_>>());
        let wanted = Wanted::Traces((1..=8).map(TraceId).collect());
        let page = memory.read(&wanted, Part::Digest, None, u32::MAX).await;
        page.unwrap().pieces
    }

    fn judge() -> Arc<Judge> {
        let asked = TraceQueryParameters {
            service_name: "s".to_owned(),
            ..TraceQueryParameters::default()
        };
        let query = query::query(asked, &limits()).unwrap();
        Arc::new(Judge::new(query.predicate))
    }

    /// The traces that come out, each with whether a task has judged it.
    async fn come_out(mut judging: Judging, session: &mut Session) -> Vec<(TraceId, bool)> {
        let mut out = Vec::new();
        while let Some(mut chunk) = judging.next(session).await.unwrap() {
            let pieces = chunk.pieces();
            out.extend(pieces.map(|(piece, found)| (piece.trace_id, found.is_some())));
        }
        out
    }

    #[tokio::test]
    async fn a_task_judges_its_part_of_a_page_while_the_query_judges_the_other() {
        let mut session = in_lane(Arc::new(Scheduler::new(3, 3)).lane("a"));
        let (sender, asked) = channel();
        let sieve = |_: &[Piece]| -> Arc<dyn Sieve> { Arc::new(Wants(sender)) };
        let judging = Judging::begin(&session, &judge(), pieces().await, sieve);
        // The query has judged nothing yet.
        let thread = asked.recv_timeout(Duration::from_mins(1)).unwrap();
        assert_ne!(thread, thread::current().id());
        let out = come_out(judging, &mut session).await;
        let expected = (1..=8).map(|n| (TraceId(n), n > 4));
        assert_eq!(out, expected.collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn the_query_judges_all_of_a_page_while_no_processor_is_idle() {
        // One processor and a turn beyond.
        let scheduler = Arc::new(Scheduler::new(2, 2));
        let other = scheduler.lane("b").turn().await;
        let mut session = in_lane(scheduler.lane("a"));
        let sieve = |_: &[Piece]| -> Arc<dyn Sieve> { panic!("there is no task") };
        let judging = Judging::begin(&session, &judge(), pieces().await, sieve);
        let out = come_out(judging, &mut session).await;
        let expected = (1..=8).map(|n| (TraceId(n), false));
        assert_eq!(out, expected.collect::<Vec<_>>());
        drop(other);
    }
}
