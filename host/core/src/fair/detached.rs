//! A future that is run to its end once it has begun, even if its waiter stops polling it or drops it.
//!
//! If the first poll does not end it, it goes on in a task of the runtime. If that poll ends it, as it does most reads, there is no
//! change of thread. In a task of a lane it stays where it is, as such a task polls it until it is dropped.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::thread;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::task::{Ended, is_on_task};

/// See the module. If it has never been polled, dropping it ends it.
pub(super) struct Detached<F: Future<Output: Send> + Send + 'static> {
    /// Until it ends or moves to a task.
    here: Option<F>,
    begun: bool,
    task: Option<JoinHandle<F::Output>>,
}

// === impl Detached ===

impl<F: Future<Output: Send> + Send + 'static> Detached<F> {
    pub(super) fn new(future: F) -> Self {
        Self {
            here: Some(future),
            begun: false,
            task: None,
        }
    }
}

impl<F: Future<Output: Send> + Send + Unpin + 'static> Future for Detached<F> {
    type Output = Result<F::Output, Ended>;

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
            self.task = Some(tokio::spawn(future));
        }
        match &mut self.task {
            Some(task) => Pin::new(task).poll(cx).map_err(Ended::from),
            None => Poll::Pending,
        }
    }
}

impl<F: Future<Output: Send> + Send + 'static> Drop for Detached<F> {
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
