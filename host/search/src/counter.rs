//! Counts calls batch after batch, in tasks beside the query where processors are idle: the next batch is read meanwhile.
//!
//! Batches are settled in their order, so the first error is that of the first batch that has one.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use larder_core::fair::Task;
use larder_model::storage::{Error, Piece, TraceId};

use super::calls::{Calls, Judgement};
use super::gather::Gathered;
use super::judge::Fault;
use super::predicate::Range;
use super::session::{Session, yield_if_due};
use super::written::Written;

/// Batches that are counted by tasks at a time. Each holds its digests.
const MOST_UNDER_WAY: usize = 2;

/// Counts the calls in traces that lie within a window.
pub(crate) struct Counter {
    window: Range,
    /// True if it tells which traces were judged.
    reads_all: bool,
    /// The traces of the batches that are settled, with the starts of their spans.
    judged: Vec<(TraceId, Vec<u64>)>,
    /// Those that count nothing now.
    free: Vec<Calls>,
    under_way: VecDeque<Task<Counted>>,
}

/// A batch after its digests were counted.
struct Counted {
    calls: Calls,
    gathered: Gathered,
    /// The numbers of the traces that the digests leave open, in order.
    open: Vec<usize>,
    judged: Vec<(TraceId, Vec<u64>)>,
    /// Number of traces that were judged, and of their spans.
    traces: u64,
    spans: u64,
    /// Time of judging.
    took: Duration,
    /// The digest that ended it.
    fault: Option<(Fault, Piece)>,
}

/// Counts the calls that digests tell.
async fn count(mut calls: Calls, gathered: Gathered, reads_all: bool) -> Counted {
    let since = Instant::now();
    let mut paused = since;
    let (mut traces, mut spans) = (0, 0);
    let (mut open, mut judged, mut fault) = (Vec::new(), Vec::new(), None);
    for (number, (trace, pieces)) in gathered.traces().enumerate() {
        let judgement = calls.judge(pieces, None, reads_all);
        traces += 1;
        spans += calls.spans() as u64;
        if reads_all {
            judged.push((trace, calls.trace().starts.clone()));
        }
        match judgement {
            Ok(Judgement::Known) => calls.count(),
            Ok(Judgement::Outside) => {}
            Ok(Judgement::Open) => open.push(number),
            Err((why, piece)) => {
                fault = Some((why, piece.clone()));
                break;
            }
        }
        yield_if_due(&mut paused).await;
    }
    Counted {
        calls,
        gathered,
        open,
        judged,
        traces,
        spans,
        took: since.elapsed(),
        fault,
    }
}

// === impl Counter ===

impl Counter {
    /// Creates a counter for traces that lie within the window. If it `reads_all`, [`Counter::judged`] tells of those outside as well.
    pub(crate) fn new(window: Range, reads_all: bool) -> Self {
        Self {
            window,
            reads_all,
            judged: Vec::new(),
            free: Vec::new(),
            under_way: VecDeque::new(),
        }
    }

    /// Counts the calls in some traces: later, if a task does it.
    ///
    /// # Errors
    /// That of the first batch that has one. Nothing is under way then.
    pub(crate) async fn count(
        &mut self,
        session: &mut Session,
        gathered: Gathered,
    ) -> Result<(), Error> {
        while self.under_way.len() >= MOST_UNDER_WAY {
            self.settle_first(session).await?;
        }
        let calls = self.free.pop();
        let calls = calls.unwrap_or_else(|| Calls::new(self.window));
        let is_large = gathered.is_worth_a_task(session.beside());
        let work = count(calls, gathered, self.reads_all);
        let spawned = if is_large {
            session.beside().spawn_if_idle(work)
        } else {
            Err(work)
        };
        match spawned {
            Ok(task) => self.under_way.push_back(task),
            Err(work) => {
                let counted = work.await;
                self.settle_all(session).await?;
                self.settle(session, counted).await?;
            }
        }
        Ok(())
    }

    /// Waits for what is under way.
    ///
    /// # Errors
    /// As [`Counter::count`].
    pub(crate) async fn settle_all(&mut self, session: &mut Session) -> Result<(), Error> {
        while !self.under_way.is_empty() {
            self.settle_first(session).await?;
        }
        Ok(())
    }

    /// The traces of the batches that were settled since the last call, each with the starts of its spans.
    pub(crate) fn judged(&mut self) -> impl Iterator<Item = (TraceId, Vec<u64>)> {
        self.judged.drain(..)
    }

    /// The calls of all batches. Call [`Counter::settle_all`] before.
    pub(crate) fn into_calls(self) -> Calls {
        let mut all = Calls::new(self.window);
        for calls in self.free {
            all.absorb(calls);
        }
        all
    }

    async fn settle_first(&mut self, session: &mut Session) -> Result<(), Error> {
        let Some(task) = self.under_way.pop_front() else {
            return Ok(());
        };
        let settled = match session.join(task).await {
            Ok(counted) => self.settle(session, counted).await,
            Err(error) => Err(error),
        };
        if settled.is_err() {
            self.under_way.clear();
        }
        settled
    }

    /// Reads the traces that the digests leave open, and counts their calls.
    async fn settle(&mut self, session: &mut Session, counted: Counted) -> Result<(), Error> {
        let Counted {
            mut calls,
            gathered,
            open,
            judged,
            traces,
            spans,
            took,
            fault,
        } = counted;
        let spent = session.budget.spent();
        spent.traces += traces;
        spent.judging += took;
        session.budget.judged(spans)?;
        if let Some((fault, piece)) = fault {
            return Err(fault.into_error(session, &piece));
        }
        let mut open = open.into_iter().peekable();
        for (number, (trace, pieces)) in gathered.traces().enumerate() {
            if open.next_if_eq(&number).is_some() {
                count_open(session, &mut calls, (trace, pieces)).await?;
            }
        }
        self.free.push(calls);
        self.judged.extend(judged);
        Ok(())
    }
}

/// Counts the calls in a trace that its digests leave open.
async fn count_open(
    session: &mut Session,
    calls: &mut Calls,
    (trace, pieces): (TraceId, &[(usize, Piece)]),
) -> Result<(), Error> {
    let Written { pieces, copies } = Written::read(session, trace, pieces).await?;
    let judgement = calls
        .judge(&pieces, Some(&copies), false)
        .map_err(|(fault, piece)| fault.into_error(session, piece))?;
    if judgement == Judgement::Known {
        calls.count();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::sync::Arc;

    use larder_core::fair::Scheduler;
    use larder_proto::storage::v2::Dependency;

    use super::super::beside::{Beside, Share};
    use super::super::gather::Gatherer;
    use super::super::testing::{Memory, of, op, session};
    use super::*;

    /// Turns of as many processors and one beyond, and a session over traces 1 to 3: "b" calls "c", "a" calls "b", and "b" calls "c".
    fn over_three(processors: usize) -> Session {
        let call = |trace: u128, from, to| {
            let child = op(trace, 2, 1, 2).parent(1);
            vec![of(from, op(trace, 1, 1, 2)), of(to, child)]
        };
        let memory = Memory::of(&[call(1, "b", "c"), call(2, "a", "b"), call(3, "b", "c")]);
        let turns = processors + 1;
        let lane = Arc::new(Scheduler::new(turns, turns)).lane("a");
        let share = Share {
            pieces: 1,
            bytes: 1,
            parts: 1,
        };
        session(memory, Beside::new(Some(lane)).with_share(share))
    }

    async fn gather(session: &mut Session, trace: u128) -> Gathered {
        let mut gatherer = Gatherer::new();
        gatherer.extend([TraceId(trace)]);
        gatherer.next(session).await.unwrap().unwrap()
    }

    fn called(parent: &str, child: &str, call_count: u64) -> Dependency {
        Dependency {
            parent: parent.to_owned(),
            child: child.to_owned(),
            call_count,
            source: String::new(),
        }
    }

    #[tokio::test]
    async fn batches_are_counted_by_tasks_while_processors_are_idle() {
        let mut session = over_three(MOST_UNDER_WAY + 1);
        let mut counter = Counter::new(Range::ALL, false);
        for trace in [1, 3, 2] {
            let gathered = gather(&mut session, trace).await;
            counter.count(&mut session, gathered).await.unwrap();
        }
        assert_eq!(counter.under_way.len(), MOST_UNDER_WAY);
        counter.settle_all(&mut session).await.unwrap();
        assert_eq!(counter.free.len(), MOST_UNDER_WAY);
        let calls = counter.into_calls().into_dependencies();
        assert_eq!(calls, [called("a", "b", 1), called("b", "c", 2)]);
    }

    #[tokio::test]
    async fn a_batch_is_counted_at_once_while_no_processor_is_idle() {
        let mut session = over_three(0);
        let mut counter = Counter::new(Range::ALL, false);
        let gathered = gather(&mut session, 2).await;
        counter.count(&mut session, gathered).await.unwrap();
        assert_eq!(counter.under_way.len(), 0);
        let calls = counter.into_calls().into_dependencies();
        assert_eq!(calls, [called("a", "b", 1)]);
    }
}
