//! Waits for a turn before each poll of a future or a stream.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use super::state::Ticket;
use super::task::{Task, is_on_task};
use super::{Lane, Turn};

/// A computation of this length moves to a task: where it is, it is in the way of others, and a change of thread costs it little. Most
/// calls end before.
pub const LONG: Duration = Duration::from_millis(5);

thread_local! {
    /// This thread polls within a turn.
    static WITHIN: Cell<bool> = const { Cell::new(false) };
}

/// Marks this thread as polling within a turn, until it is dropped.
pub(super) struct Within;

/// Waits for turns, one at a time.
pub(super) struct Gate {
    lane: Lane,
    ticket: Option<Ticket>,
    /// Time spent in polls, in all.
    computed: Duration,
}

/// A future whose polls take turns.
pub struct Gated<F> {
    gate: Gate,
    // Boxed, so that this is `Unpin`.
    future: Pin<Box<F>>,
}

// === impl Gate ===

impl Gate {
    pub(super) fn new(lane: Lane) -> Self {
        Self {
            lane,
            ticket: None,
            computed: Duration::ZERO,
        }
    }

    /// Polls within a turn, once there is one. Inside a poll that has a turn no second one is taken: the first could not end while the
    /// second is waited for.
    pub(super) fn poll<T>(
        &mut self,
        cx: &mut Context<'_>,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        if WITHIN.get() {
            self.leave_queue();
            return self.count(|| poll(cx));
        }
        let _turn = ready!(self.poll_turn(cx));
        let _within = Within::enter();
        self.count(|| poll(cx))
    }

    /// True if it has computed for [`LONG`] and is not in a task of a lane yet.
    pub(super) fn is_long(&self) -> bool {
        self.computed >= LONG && !is_on_task()
    }

    pub(super) fn lane(&self) -> &Lane {
        &self.lane
    }

    /// Runs the future in a task of the lane, which queues for turns of its own. This gate leaves the queue: a turn granted to it later
    /// would be held and never used.
    pub(super) fn spawn<F>(&mut self, future: F) -> Task<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        self.leave_queue();
        self.lane.spawn(future)
    }

    fn count<T>(&mut self, poll: impl FnOnce() -> T) -> T {
        let begin = Instant::now();
        let polled = poll();
        self.computed += begin.elapsed();
        polled
    }

    fn leave_queue(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.lane.leave(&ticket);
        }
    }

    pub(super) fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<Turn> {
        self.lane.poll_turn(&mut self.ticket, cx)
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.leave_queue();
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate")
            .field("lane", &self.lane.tenant)
            .finish_non_exhaustive()
    }
}

// === impl Within ===

impl Within {
    pub(super) fn enter() -> Self {
        WITHIN.set(true);
        Self
    }
}

impl Drop for Within {
    fn drop(&mut self) {
        WITHIN.set(false);
    }
}

// === impl Gated ===

impl<F> Gated<F> {
    pub(super) fn new(lane: Lane, future: F) -> Self {
        Self {
            gate: Gate::new(lane),
            future: Box::pin(future),
        }
    }
}

impl<F: Future> Future for Gated<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let Self { gate, future } = &mut *self;
        gate.poll(cx, |cx| future.as_mut().poll(cx))
    }
}
