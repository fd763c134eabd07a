//! A future that is run by whoever waits for it, and to its end where that one goes away: no thread changes hands in the usual case.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::thread;

use tokio::runtime::Handle;

/// See the module. What has not begun yet when its waiter goes away never begins.
pub(super) struct Unbroken<F: Future<Output: Send> + Send + 'static> {
    future: Option<Pin<Box<F>>>,
    /// Where it goes on, once it has begun.
    elsewhere: Option<Handle>,
}

// === impl Unbroken ===

impl<F: Future<Output: Send> + Send + 'static> Unbroken<F> {
    pub(super) fn new(future: F) -> Self {
        Self {
            future: Some(Box::pin(future)),
            elsewhere: None,
        }
    }
}

impl<F: Future<Output: Send> + Send + 'static> Future for Unbroken<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let Self { future, elsewhere } = &mut *self;
        let Some(running) = future else {
            return Poll::Pending;
        };
        if elsewhere.is_none() {
            *elsewhere = Handle::try_current().ok();
        }
        let polled = running.as_mut().poll(cx);
        if polled.is_ready() {
            *future = None;
        }
        polled
    }
}

impl<F: Future<Output: Send> + Send + 'static> Drop for Unbroken<F> {
    fn drop(&mut self) {
        // What has panicked is over.
        if let (Some(future), Some(elsewhere), false) = (
            self.future.take(),
            self.elsewhere.take(),
            thread::panicking(),
        ) {
            elsewhere.spawn(future);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use tokio::sync::oneshot;
    use tokio::task::yield_now;

    use super::*;

    #[tokio::test]
    async fn it_runs_where_it_is_awaited() {
        let waiter = tokio::spawn(Unbroken::new(async {
            yield_now().await;
            tokio::task::id()
        }));
        let task = waiter.id();
        assert_eq!(waiter.await.unwrap(), task);
    }

    #[tokio::test]
    async fn what_has_begun_goes_on_without_its_waiter() {
        let (go_on, waits) = oneshot::channel::<()>();
        let (done, is_done) = oneshot::channel();
        let mut begun = Unbroken::new(async move {
            waits.await.unwrap();
            done.send("done").unwrap();
        });
        std::future::poll_fn(|cx| {
            assert!(Pin::new(&mut begun).poll(cx).is_pending());
            Poll::Ready(())
        })
        .await;
        drop(begun);
        go_on.send(()).unwrap();
        assert_eq!(is_done.await.unwrap(), "done");
    }

    #[tokio::test]
    async fn what_has_not_begun_never_begins() {
        let (done, is_done) = oneshot::channel::<()>();
        drop(Unbroken::new(async move {
            done.send(()).unwrap();
        }));
        is_done.await.unwrap_err();
    }
}
