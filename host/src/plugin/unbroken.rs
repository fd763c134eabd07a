//! A future that comes to its end whether or not the one who waits for it goes on polling: what does not end at the first poll goes on
//! in a task of its own. What does, as most reads do, costs no change of thread.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::task::{JoinError, JoinHandle};
use tracing::{Instrument as _, info_span};

use super::question::Answer;
use crate::fair::Lane;
use crate::storage::{Error, ErrorKind};

/// See the module. What has never been polled never begins.
enum Unbroken<F: Future> {
    Here(Option<F>),
    Elsewhere(JoinHandle<F::Output>),
}

/// Runs a read to its end, within turns of its tenant: the caller may go away, and a call that is cut off half-way costs its instance.
/// What is logged on the way, by the guest too, names the tenant.
///
/// # Errors
/// The read's; [`ErrorKind::Internal`] where its task has panicked, or was ended with the runtime.
pub(super) async fn read(
    lane: &Lane,
    read: impl Future<Output = Result<Answer, Error>> + Send + 'static,
) -> Result<Answer, Error> {
    let span = info_span!("tenant", tenant.id = &**lane.tenant());
    let read = Unbroken::Here(Some(lane.gated(read.instrument(span))));
    read.await.unwrap_or_else(|error| {
        let text = format!("a read ended early: {error}");
        Err(Error::new(ErrorKind::Internal, text))
    })
}

// === impl Unbroken ===

impl<F: Future<Output: Send> + Send + Unpin + 'static> Future for Unbroken<F> {
    /// An error where the task has panicked, or was ended with the runtime.
    type Output = Result<F::Output, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Self::Here(here) = &mut *self {
            let Some(mut future) = here.take() else {
                return Poll::Pending;
            };
            if let Poll::Ready(output) = Pin::new(&mut future).poll(cx) {
                return Poll::Ready(Ok(output));
            }
            *self = Self::Elsewhere(tokio::spawn(future));
        }
        match &mut *self {
            Self::Elsewhere(task) => Pin::new(task).poll(cx),
            Self::Here(_) => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use tokio::sync::oneshot;
    use tokio::task::yield_now;

    use super::*;

    fn unbroken<F: Future>(future: F) -> Unbroken<Pin<Box<F>>> {
        Unbroken::Here(Some(Box::pin(future)))
    }

    #[tokio::test]
    async fn what_ends_at_once_runs_where_it_is_awaited() {
        let waiter = tokio::spawn(unbroken(async { tokio::task::id() }));
        let task = waiter.id();
        assert_eq!(waiter.await.unwrap().unwrap(), task);
    }

    #[tokio::test]
    async fn what_has_begun_goes_on_without_its_waiter() {
        let (done, is_done) = oneshot::channel();
        let mut begun = Box::pin(unbroken(async move {
            yield_now().await;
            done.send("done").unwrap();
        }));
        assert!(futures_util::poll!(begun.as_mut()).is_pending());
        assert_eq!(is_done.await.unwrap(), "done", "it is not polled any more");
        begun.await.unwrap();
    }

    #[tokio::test]
    async fn what_has_not_begun_never_begins() {
        let (done, is_done) = oneshot::channel::<()>();
        drop(unbroken(async move {
            done.send(()).unwrap();
        }));
        is_done.await.unwrap_err();
    }
}
