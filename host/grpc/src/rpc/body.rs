//! An answer that is still being sent: its code comes at its end.

use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use http_body::Frame;
use larder_core::fair::{Gate, Lane, Task};
use tokio::sync::mpsc;
use tonic::body::Body;
use tonic::{Code, Status};
use tracing::{Instrument as _, Span};

use super::{Record, code_of};
use crate::status;

/// So many frames wait for a client that reads slowly; the search waits with them.
const FRAMES_AHEAD: usize = 2;

/// See the module.
pub(super) struct RpcBody {
    source: Source,
    record: Record,
    span: Span,
}

/// Where frames come from. Answers are searched for while they are sent.
enum Source {
    /// Nobody's in particular.
    Free(Body),
    /// It has not computed for long.
    Here { body: Body, gate: Gate },
    /// It computes in a task of its own. A client that does not read has it wait, without a turn.
    Elsewhere {
        frames: mpsc::Receiver<Polled>,
        _task: Task<()>,
    },
}

type Polled = Result<Frame<Bytes>, Status>;

// === impl RpcBody ===

impl RpcBody {
    /// Of an answer within turns of the lane, if there is one.
    pub(super) fn new(body: Body, lane: Option<Lane>, record: Record, span: Span) -> Self {
        let source = match lane {
            None => Source::Free(body),
            Some(lane) => Source::Here {
                gate: lane.gate(),
                body,
            },
        };
        Self {
            source,
            record,
            span,
        }
    }
}

impl http_body::Body for RpcBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        if this.record.done {
            return Poll::Ready(None);
        }
        let _entered = this.span.enter();
        let polled = this.source.poll_frame(cx, &this.span);
        match &polled {
            Poll::Pending => {}
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(trailers) = frame.trailers_ref() {
                    this.record
                        .finish(code_of(trailers).unwrap_or(Code::Unknown));
                }
            }
            Poll::Ready(Some(Err(status))) => this.record.finish(status.code()),
            Poll::Ready(None) => this.record.finish(Code::Unknown),
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.record.done
            || match &self.source {
                Source::Free(body) | Source::Here { body, .. } => body.is_end_stream(),
                Source::Elsewhere { .. } => false,
            }
    }

    fn size_hint(&self) -> http_body::SizeHint {
        match &self.source {
            Source::Free(body) | Source::Here { body, .. } => body.size_hint(),
            Source::Elsewhere { .. } => http_body::SizeHint::default(),
        }
    }
}

// === impl Source ===

impl Source {
    fn poll_frame(&mut self, cx: &mut Context<'_>, span: &Span) -> Poll<Option<Polled>> {
        if let Self::Here { body, gate } = self {
            let polled = gate.poll(cx, |cx| poll_caught(body, cx));
            if polled.is_ready() || !gate.is_long() {
                return polled;
            }
            let (sender, frames) = mpsc::channel(FRAMES_AHEAD);
            let body = std::mem::take(body);
            let task = gate
                .lane()
                .spawn(send_all(body, sender).instrument(span.clone()));
            *self = Self::Elsewhere {
                frames,
                _task: task,
            };
        }
        match self {
            Self::Free(body) | Self::Here { body, .. } => poll_caught(body, cx),
            Self::Elsewhere { frames, .. } => frames.poll_recv(cx),
        }
    }
}

/// Sends what is left of an answer. It computes no further than there is a place for.
async fn send_all(mut body: Body, frames: mpsc::Sender<Polled>) {
    while let Ok(place) = frames.reserve().await {
        let Some(frame) = poll_fn(|cx| poll_caught(&mut body, cx)).await else {
            return;
        };
        let is_last = frame.as_ref().map_or(true, Frame::is_trailers);
        place.send(frame);
        if is_last {
            return;
        }
    }
}

/// The next frame, which is the last one where its making panics.
fn poll_caught(body: &mut Body, cx: &mut Context<'_>) -> Poll<Option<Polled>> {
    let poll = AssertUnwindSafe(|| http_body::Body::poll_frame(Pin::new(body), cx));
    match std::panic::catch_unwind(poll) {
        Ok(polled) => polled,
        Err(payload) => Poll::Ready(Some(Ok(trailers(&status::panicked(&*payload))))),
    }
}

/// The last frame of an answer that ends with `status`.
fn trailers(status: &Status) -> Frame<Bytes> {
    let mut headers = HeaderMap::new();
    if status.add_header(&mut headers).is_err() {
        headers.insert("grpc-status", HeaderValue::from(status.code() as i32));
    }
    Frame::trailers(headers)
}

#[cfg(test)]
mod tests;
