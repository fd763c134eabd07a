//! Bounds the memory of all requests that are being received or walked, over all connections, and the time in which each arrives.
//!
//! `grpc.max_request_bytes` bounds one request. Without a bound on their sum a few hundred requests would fill memory, and without a
//! timeout a client that stops sending would keep its reservation for ever.

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

/// The memory for requests, in bytes.
#[derive(Debug)]
pub(super) struct RequestMemory {
    limit: usize,
    reserved: AtomicUsize,
}

/// The memory of one request, returned on drop.
#[derive(Debug)]
pub(super) struct MemoryReservation {
    memory: Arc<RequestMemory>,
    bytes: AtomicUsize,
}

/// A request's body that adds arriving bytes to the request's reservation.
pub(super) struct CountedBody {
    body: Body,
    reservation: Arc<MemoryReservation>,
    timeout: Duration,
    deadline: Pin<Box<Sleep>>,
}

// === impl RequestMemory ===

impl RequestMemory {
    pub(super) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            limit,
            reserved: AtomicUsize::new(0),
        })
    }

    /// An empty reservation.
    pub(super) fn reserve(self: &Arc<Self>) -> Arc<MemoryReservation> {
        Arc::new(MemoryReservation {
            memory: Arc::clone(self),
            bytes: AtomicUsize::new(0),
        })
    }
}

// === impl MemoryReservation ===

impl MemoryReservation {
    /// Grows the reservation to at least `bytes`.
    ///
    /// # Errors
    /// `RESOURCE_EXHAUSTED` if they do not fit.
    pub(super) fn grow_to(&self, bytes: usize) -> Result<(), Status> {
        self.grow_by(bytes.saturating_sub(self.bytes.load(Ordering::Relaxed)))
    }

    /// The bytes that are reserved.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    fn grow_by(&self, bytes: usize) -> Result<(), Status> {
        let limit = self.memory.limit;
        let fits = |reserved: usize| reserved.checked_add(bytes).filter(|sum| *sum <= limit);
        self.memory
            .reserved
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

impl Drop for MemoryReservation {
    fn drop(&mut self) {
        self.memory
            .reserved
            .fetch_sub(*self.bytes.get_mut(), Ordering::Relaxed);
    }
}

// === impl CountedBody ===

impl CountedBody {
    /// A body that has to arrive within `timeout` from now.
    pub(super) fn new(body: Body, reservation: Arc<MemoryReservation>, timeout: Duration) -> Self {
        Self {
            body,
            reservation,
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
        // Data that has arrived is returned even if the deadline has passed.
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if polled.is_pending() && self.deadline.as_mut().poll(cx).is_ready() {
            let timeout = self.timeout;
            return Poll::Ready(Some(Err(status::read(&Failure::TooSlow { timeout }))));
        }
        let frame = ready!(polled);
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
            && let Err(status) = self.reservation.grow_by(data.len())
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
    fn bytes_that_do_not_fit_are_refused_until_others_are_returned() {
        let memory = RequestMemory::new(100);
        let (first, second) = (memory.reserve(), memory.reserve());
        assert!(first.grow_to(60).is_ok());
        assert!(first.grow_to(50).is_ok());
        assert!(second.grow_to(40).is_ok());
        let refused = second.grow_to(41).map_err(|status| status.code());
        assert_eq!(refused, Err(Code::ResourceExhausted));
        drop(first);
        assert!(second.grow_to(100).is_ok());
    }
}
