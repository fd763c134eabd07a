//! Where a turn is waited for: before each poll of a future, or of what is polled otherwise.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::state::Ticket;
use super::{Lane, Turn};

/// Waits for turns, one at a time.
pub struct Gate {
    lane: Lane,
    ticket: Option<Ticket>,
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
        Self { lane, ticket: None }
    }

    /// Polls within a turn, once there is one.
    pub fn poll<T>(
        &mut self,
        cx: &mut Context<'_>,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        let _turn = ready!(self.poll_turn(cx));
        poll(cx)
    }

    pub(super) fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<Turn> {
        self.lane.poll_turn(&mut self.ticket, cx)
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.lane.leave(&ticket);
        }
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate")
            .field("lane", &self.lane.tenant)
            .finish_non_exhaustive()
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
