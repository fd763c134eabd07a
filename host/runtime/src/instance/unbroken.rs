//! A future that comes to its end whether or not the one who waits for it goes on polling: what does not end at the first poll goes on
//! in a task of its own. What does, as most reads do, costs no change of thread; nor does what is awaited in a task of a lane, which goes
//! on polling until it is dropped.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::thread;

use larder_core::fair::{Ended, Lane, is_on_task};
use larder_model::storage::{Error, ErrorKind};
use tokio::runtime::Handle;
use tokio::task::{JoinError, JoinHandle};
use tracing::{Instrument as _, info_span};

/// See the module. What has never been polled never begins.
struct Unbroken<F: Future<Output: Send> + Send + 'static> {
    /// Until it ends, or goes elsewhere.
    here: Option<F>,
    begun: bool,
    elsewhere: Option<JoinHandle<F::Output>>,
}

/// Runs a read to its end, within turns of its tenant: the caller may go away, and a call that is cut off half-way costs its instance.
/// What is logged on the way, by the guest too, names the tenant.
///
/// # Errors
/// The read's; [`ErrorKind::Internal`] where its task has panicked, or was ended with the runtime.
pub(crate) async fn read<T: Send + 'static>(
    lane: &Lane,
    read: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> Result<T, Error> {
    let span = info_span!("tenant", tenant.id = &**lane.tenant());
    let ended = |why: &dyn fmt::Display| {
        let text = format!("a read ended early: {why}");
        Error::new(ErrorKind::Internal, text)
    };
    let read = Unbroken::new(lane.moving(read.instrument(span)));
    let read: Result<_, Ended> = read.await.map_err(|error| ended(&error))?;
    read.map_err(|error| ended(&error))?
}

// === impl Unbroken ===

impl<F: Future<Output: Send> + Send + 'static> Unbroken<F> {
    fn new(future: F) -> Self {
        Self {
            here: Some(future),
            begun: false,
            elsewhere: None,
        }
    }
}

impl<F: Future<Output: Send> + Send + Unpin + 'static> Future for Unbroken<F> {
    /// An error where the task has panicked, or was ended with the runtime.
    type Output = Result<F::Output, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(mut future) = self.here.take() {
            if let Poll::Ready(output) = Pin::new(&mut future).poll(cx) {
                return Poll::Ready(Ok(output));
            }
            if is_on_task() {
                self.begun = true;
                self.here = Some(future);
                return Poll::Pending;
            }
            self.elsewhere = Some(tokio::spawn(future));
        }
        match &mut self.elsewhere {
            Some(task) => Pin::new(task).poll(cx),
            None => Poll::Pending,
        }
    }
}

impl<F: Future<Output: Send> + Send + 'static> Drop for Unbroken<F> {
    fn drop(&mut self) {
        if self.begun
            && let Some(future) = self.here.take()
            && let Ok(runtime) = Handle::try_current()
            && !thread::panicking()
        {
            runtime.spawn(future);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::sync::Arc;

    use larder_core::fair::Scheduler;
    use tokio::sync::oneshot;
    use tokio::task::yield_now;

    use super::*;

    fn unbroken<F: Future<Output: Send> + Send + 'static>(future: F) -> Unbroken<Pin<Box<F>>> {
        Unbroken::new(Box::pin(future))
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
    async fn what_has_begun_in_a_task_of_a_lane_stays_there_and_goes_on_without_its_waiter() {
        let lane = Arc::new(Scheduler::new(1, 1)).lane("a");
        let on_task = lane.spawn(unbroken(async {
            yield_now().await;
            is_on_task()
        }));
        assert!(on_task.await.unwrap().unwrap());
        let ((go, goes), (done, is_done)) = (oneshot::channel::<()>(), oneshot::channel());
        let (begun, has_begun) = oneshot::channel();
        let task = lane.spawn(unbroken(async move {
            begun.send(()).unwrap();
            goes.await.unwrap();
            done.send("done").unwrap();
        }));
        has_begun.await.unwrap();
        drop(task);
        go.send(()).unwrap();
        assert_eq!(is_done.await.unwrap(), "done");
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
