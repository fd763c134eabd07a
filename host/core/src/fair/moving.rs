//! A future that begins where it is awaited, which costs no change of thread, and goes on in a task of its lane once it has computed
//! for long.

use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::task::{Ended, Task};
use super::{Gate, Lane};

/// See the module.
pub struct Moving<F: Future> {
    gate: Gate,
    stage: Stage<F>,
}

enum Stage<F: Future> {
    Here(Pin<Box<F>>),
    Elsewhere(Task<F::Output>),
    Over,
}

// === impl Moving ===

impl<F: Future> Moving<F> {
    pub(super) fn new(lane: Lane, future: F) -> Self {
        Self {
            gate: Gate::new(lane),
            stage: Stage::Here(Box::pin(future)),
        }
    }
}

impl<F: Future<Output: Send> + Send + 'static> Future for Moving<F> {
    type Output = Result<F::Output, Ended>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let Stage::Here(future) = &mut this.stage {
            let polled = this.gate.poll(cx, |cx| future.as_mut().poll(cx));
            if let Poll::Ready(output) = polled {
                this.stage = Stage::Over;
                return Poll::Ready(Ok(output));
            }
            if !this.gate.is_long() {
                return Poll::Pending;
            }
            if let Stage::Here(future) = mem::replace(&mut this.stage, Stage::Over) {
                this.stage = Stage::Elsewhere(this.gate.lane().spawn(future));
            }
        }
        match &mut this.stage {
            Stage::Elsewhere(task) => Pin::new(task).poll(cx),
            Stage::Here(_) | Stage::Over => Poll::Pending,
        }
    }
}

impl<F: Future> fmt::Debug for Moving<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Moving")
            .field("lane", self.gate.lane().tenant())
            .finish_non_exhaustive()
    }
}
