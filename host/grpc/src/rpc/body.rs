//! An answer that is still being sent. Its code comes at its end.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::stream::Stream;
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body::Frame;
use larder_core::fair::{Lane, Moving};
use larder_search::Omission;
use tonic::body::Body;
use tonic::{Code, Status};
use tracing::Span;

use super::{Record, RpcConfig, code_of};
use crate::status;

/// The body of every answer. It is searched for while it is sent; its end is recorded in metrics and the log.
pub(super) struct RpcBody {
    source: Source,
    record: Record,
    span: Span,
    omission: Option<(Omission, Arc<RpcConfig>)>,
}

/// The trailer of an answer that was cut, once for each list.
const CUT: HeaderName = HeaderName::from_static("larder-cut");

enum Source {
    /// Outside any lane, or complete from the start.
    Free(Frames),
    /// Within turns of a tenant. It moves to a task once it has computed for long; a client that does not read makes it wait.
    Lane(Moving<InSpan>),
}

/// A body as a stream that ends after its trailers, or where its computation panics.
struct Frames {
    body: Body,
    ended: bool,
}

/// Frames that are computed within the span of their call, in whatever task.
struct InSpan {
    frames: Frames,
    span: Span,
}

type Polled = Result<Frame<Bytes>, Status>;

// === impl RpcBody ===

impl RpcBody {
    /// An answer that computes within turns of the lane, if there is one.
    pub(super) fn new(body: Body, lane: Option<Lane>, record: Record, span: Span) -> Self {
        let is_complete = http_body::Body::is_end_stream(&body);
        let frames = Frames { body, ended: false };
        let source = match lane {
            Some(lane) if !is_complete => Source::Lane(lane.moving(InSpan {
                frames,
                span: span.clone(),
            })),
            Some(_) | None => Source::Free(frames),
        };
        Self {
            source,
            record,
            span,
            omission: None,
        }
    }

    /// The same with a trailer and a line of the log about what the answer leaves out.
    pub(super) fn telling(self, omission: Omission, config: Arc<RpcConfig>) -> Self {
        Self {
            omission: Some((omission, config)),
            ..self
        }
    }

    fn tell_cut(&self, trailers: &mut HeaderMap) {
        let Some((omission, config)) = &self.omission else {
            return;
        };
        for omitted in omission.all() {
            config.cuts.log_cut(&omitted);
            if let Ok(text) = HeaderValue::try_from(omitted.to_string()) {
                trailers.append(CUT, text);
            }
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
        let mut polled = this.source.poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &mut polled
            && let Some(trailers) = frame.trailers_mut()
        {
            this.tell_cut(trailers);
        }
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
                Source::Free(frames) => frames.body.is_end_stream(),
                Source::Lane(_) => false,
            }
    }

    fn size_hint(&self) -> http_body::SizeHint {
        match &self.source {
            Source::Free(frames) => frames.body.size_hint(),
            Source::Lane(_) => http_body::SizeHint::default(),
        }
    }
}

// === impl Source ===

impl Source {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Polled>> {
        match self {
            Self::Free(frames) => Pin::new(frames).poll_next(cx),
            Self::Lane(moving) => Pin::new(moving).poll_next(cx).map(|frame| {
                frame
                    .map(|frame| frame.unwrap_or_else(|ended| Ok(trailers(&status::ended(&ended)))))
            }),
        }
    }
}

// === impl Frames ===

impl Stream for Frames {
    type Item = Polled;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Polled>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let poll = AssertUnwindSafe(|| http_body::Body::poll_frame(Pin::new(&mut self.body), cx));
        let polled = std::panic::catch_unwind(poll).unwrap_or_else(|payload| {
            Poll::Ready(Some(Ok(trailers(&status::panicked(&*payload)))))
        });
        if let Poll::Ready(frame) = &polled {
            self.ended = frame
                .as_ref()
                .is_none_or(|frame| frame.as_ref().map_or(true, Frame::is_trailers));
        }
        polled
    }
}

// === impl InSpan ===

impl Stream for InSpan {
    type Item = Polled;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Polled>> {
        let Self { frames, span } = &mut *self;
        let _entered = span.enter();
        Pin::new(frames).poll_next(cx)
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
