//! Where a turn is waited for: before each poll of a future, or of what is polled otherwise.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use super::state::Ticket;
use super::task::is_on_task;
use super::{Lane, Turn};

/// Who computes for longer is in the way of others where it is, and is not held up much by a change of thread. Most calls end before.
pub const LONG: Duration = Duration::from_millis(5);

thread_local! {
    /// Whether this thread polls within a turn.
    static WITHIN: Cell<bool> = const { Cell::new(false) };
}

/// Says that this thread polls within a turn, for as long as it is there.
pub(super) struct Within;

/// Waits for turns, one at a time.
pub struct Gate {
    lane: Lane,
    ticket: Option<Ticket>,
    /// By what is polled, in all.
    computed: Duration,
}

/// A future whose polls take turns.
pub struct Gated<F> {
    gate: Gate,
    // In a box of its own, so that this is `Unpin`.
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

    /// Polls within a turn, once there is one. What is polled within a turn already needs no second one: it would keep the first
    /// from ending while it waits.
    pub fn poll<T>(
        &mut self,
        cx: &mut Context<'_>,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        if WITHIN.get() {
            self.give_up_place();
            return self.count(|| poll(cx));
        }
        let _turn = ready!(self.poll_turn(cx));
        let _within = Within::enter();
        self.count(|| poll(cx))
    }

    /// Whether what is polled has computed for so long that it should go on in a task of the lane, if it is not in one.
    pub fn is_long(&self) -> bool {
        self.computed >= LONG && !is_on_task()
    }

    /// Where its turns are taken.
    pub fn lane(&self) -> &Lane {
        &self.lane
    }

    fn count<T>(&mut self, poll: impl FnOnce() -> T) -> T {
        let begin = Instant::now();
        let polled = poll();
        self.computed += begin.elapsed();
        polled
    }

    fn give_up_place(&mut self) {
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
        self.give_up_place();
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
