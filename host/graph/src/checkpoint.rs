//! Cuts work in the background into pieces: a job pauses where a piece of it is done, and whoever drives it decides when it goes on.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

thread_local! {
    /// True if the job that is being polled has paused.
    static PAUSED: Cell<bool> = const { Cell::new(false) };
}

/// Work that is done in pieces.
pub(crate) struct Pieces<T>(Pin<Box<dyn Future<Output = T> + Send>>);

/// Ends a piece of work. Outside of [`Pieces`] it would wait for ever.
pub(crate) async fn pause() {
    let mut has_paused = false;
    poll_fn(|_| {
        if has_paused {
            return Poll::Ready(());
        }
        has_paused = true;
        PAUSED.set(true);
        Poll::Pending
    })
    .await;
}

// === impl Pieces ===

impl<T> Pieces<T> {
    /// Creates work; does nothing of it yet.
    pub(crate) fn new(work: impl Future<Output = T> + Send + 'static) -> Self {
        Self(Box::pin(work))
    }

    /// Does one piece. Returns the result after the last.
    pub(crate) async fn next(&mut self) -> Option<T> {
        poll_fn(|context| {
            PAUSED.set(false);
            match self.0.as_mut().poll(context) {
                Poll::Ready(result) => Poll::Ready(Some(result)),
                Poll::Pending if PAUSED.take() => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }
}
