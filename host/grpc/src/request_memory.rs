//! Bounds the bytes of all requests that are being received or walked, over all connections, and the time in which each comes.
//!
//! One request is bounded by `grpc.max_request_bytes`; without a bound on their sum, a few hundred of them would fill memory, and
//! without a deadline a client that sends no more would keep its share for ever.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::Frame;
use tokio::time::{Sleep, sleep};
use tonic::Status;
use tonic::body::Body;

use super::status::{self, Failure};

/// The bytes of requests that may be held at a time.
#[derive(Debug)]
pub(super) struct RequestMemory {
    limit: usize,
    held: AtomicUsize,
}

/// One request's share; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Share {
    memory: Arc<RequestMemory>,
    bytes: AtomicUsize,
}

/// A request's body, whose bytes are added to its share as they come.
pub(super) struct CountedBody {
    body: Body,
    share: Arc<Share>,
    timeout: Duration,
    deadline: Pin<Box<Sleep>>,
}

// === impl RequestMemory ===

impl RequestMemory {
    pub(super) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            limit,
            held: AtomicUsize::new(0),
        })
    }

    /// An empty share.
    pub(super) fn share(self: &Arc<Self>) -> Arc<Share> {
        Arc::new(Share {
            memory: Arc::clone(self),
            bytes: AtomicUsize::new(0),
        })
    }
}

// === impl Share ===

impl Share {
    /// Makes the share at least `bytes`; the error is the RPC's status.
    pub(super) fn grow_to(&self, bytes: usize) -> Result<(), Status> {
        self.grow_by(bytes.saturating_sub(self.bytes.load(Ordering::Relaxed)))
    }

    fn grow_by(&self, bytes: usize) -> Result<(), Status> {
        let limit = self.memory.limit;
        let fits = |held: usize| held.checked_add(bytes).filter(|sum| *sum <= limit);
        self.memory
            .held
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits)
            .map_err(|_| {
                status::export(&Failure::Overloaded(&format_args!(
                    "requests of {limit} bytes, four times grpc.max_request_bytes, are being received already"
                )))
            })?;
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.memory
            .held
            .fetch_sub(*self.bytes.get_mut(), Ordering::Relaxed);
    }
}

// === impl CountedBody ===

impl CountedBody {
    /// A body that has to end within `timeout` from now.
    pub(super) fn new(body: Body, share: Arc<Share>, timeout: Duration) -> Self {
        Self {
            body,
            share,
            timeout,
            deadline: Box::pin(sleep(timeout)),
        }
    }
}

impl http_body::Body for CountedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        // What has come is taken even where its reader was late.
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if polled.is_pending() && self.deadline.as_mut().poll(cx).is_ready() {
            let timeout = self.timeout;
            return Poll::Ready(Some(Err(status::read(&Failure::TooSlow { timeout }))));
        }
        let frame = ready!(polled);
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
            && let Err(status) = self.share.grow_by(data.len())
        {
            return Poll::Ready(Some(Err(status)));
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    #[test]
    fn what_does_not_fit_is_refused_until_something_is_given_back() {
        let memory = RequestMemory::new(100);
        let (first, second) = (memory.share(), memory.share());
        assert!(first.grow_to(60).is_ok());
        assert!(first.grow_to(50).is_ok());
        assert!(second.grow_to(40).is_ok());
        let refused = second.grow_to(41).map_err(|status| status.code());
        assert_eq!(refused, Err(Code::ResourceExhausted));
        drop(first);
        assert!(second.grow_to(100).is_ok());
    }
}
