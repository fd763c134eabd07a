//! A stream that begins where it is polled, which costs no change of thread, and goes on in a task of its lane once it has computed
//! for long. A future is a stream of one item: see [`Lane::run`].

use std::fmt;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::stream::{Stream, StreamExt as _};
use tokio::sync::mpsc;

use super::task::{Ended, Task};
use super::{Gate, Lane};

/// Items that a task computes ahead of its reader. Then it waits, without a turn.
pub const AHEAD: usize = 2;

/// A stream whose polls take turns, here or in a task: see the module. Dropping it ends it.
pub struct Moving<S: Stream> {
    gate: Gate,
    place: Place<S>,
}

enum Place<S: Stream> {
    Here(Pin<Box<S>>),
    Task {
        items: mpsc::Receiver<S::Item>,
        task: Task<()>,
    },
    Ended,
}

// === impl Moving ===

impl<S: Stream> Moving<S> {
    pub(super) fn new(lane: Lane, stream: S) -> Self {
        Self {
            gate: Gate::new(lane),
            place: Place::Here(Box::pin(stream)),
        }
    }
}

impl<S: Stream<Item: Send> + Send + 'static> Stream for Moving<S> {
    type Item = Result<S::Item, Ended>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if let Place::Here(stream) = &mut this.place {
            match this.gate.poll(cx, |cx| stream.as_mut().poll_next(cx)) {
                Poll::Ready(item) => return Poll::Ready(item.map(Ok)),
                Poll::Pending if !this.gate.is_long() => return Poll::Pending,
                Poll::Pending => {}
            }
            if let Place::Here(stream) = mem::replace(&mut this.place, Place::Ended) {
                let (sender, items) = mpsc::channel(AHEAD);
                let task = this.gate.spawn(send_all(stream, sender));
                this.place = Place::Task { items, task };
            }
        }
        let Place::Task { items, task } = &mut this.place else {
            return Poll::Ready(None);
        };
        if let Some(item) = ready!(items.poll_recv(cx)) {
            return Poll::Ready(Some(Ok(item)));
        }
        let ended = ready!(Pin::new(task).poll(cx));
        this.place = Place::Ended;
        Poll::Ready(ended.err().map(Err))
    }
}

impl<S: Stream> fmt::Debug for Moving<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Moving")
            .field("lane", self.gate.lane().tenant())
            .finish_non_exhaustive()
    }
}

/// Sends the rest of a stream. An item is computed once there is room for it.
async fn send_all<S: Stream>(mut stream: Pin<Box<S>>, items: mpsc::Sender<S::Item>) {
    while let Ok(room) = items.reserve().await {
        let Some(item) = stream.next().await else {
            return;
        };
        room.send(item);
    }
}
