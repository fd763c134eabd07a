//! Requests with `grpc-encoding: snappy`, which tonic does not know.
//!
//! A body is unpacked before tonic sees it. The framing is that of Go's gRPC: each message is a stream of snappy's framing format.

use std::io::{self, Read as _};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes, BytesMut};
use http::header::Entry;
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body::Frame;
use snap::read::FrameDecoder;
use tonic::Status;
use tonic::body::Body;

use super::request_memory::MemoryReservation;
use super::status::{self, Failure};

const NAME: &str = "snappy";
const ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
const ACCEPTED: HeaderName = HeaderName::from_static("grpc-accept-encoding");

/// Length of the header of a gRPC message: a flag, and the length of what follows.
const HEADER: usize = 5;

/// Bytes to unpack before they are reserved.
const CHUNK: u64 = 64 << 10;

/// A body whose compressed messages are passed on unpacked.
pub(super) struct SnappyBody {
    body: Body,
    reservation: Arc<MemoryReservation>,
    /// Maximum bytes of a message, before and after unpacking.
    limit: usize,
    /// Bytes that have arrived and not been passed on.
    arrived: BytesMut,
    ended: bool,
}

/// Removes the encoding from the headers of a request. Returns `true` if it was snappy.
pub(super) fn take_encoding(headers: &mut HeaderMap) -> bool {
    match headers.entry(ENCODING) {
        Entry::Occupied(encoding) if encoding.get() == NAME => {
            encoding.remove();
            true
        }
        Entry::Occupied(_) | Entry::Vacant(_) => false,
    }
}

/// Adds snappy to the encodings that an answer says are accepted.
pub(super) fn add_to_accepted(headers: &mut HeaderMap) {
    if let Entry::Occupied(mut accepted) = headers.entry(ACCEPTED)
        && let Ok(others) = accepted.get().to_str()
        && let Ok(all) = HeaderValue::try_from(format!("{others},{NAME}"))
    {
        accepted.insert(all);
    }
}

// === impl SnappyBody ===

impl SnappyBody {
    pub(super) fn new(body: Body, reservation: Arc<MemoryReservation>, limit: usize) -> Self {
        Self {
            body,
            reservation,
            limit,
            arrived: BytesMut::new(),
            ended: false,
        }
    }

    /// The next message with its header, once all of it has arrived.
    fn message(&mut self) -> Result<Option<Bytes>, Status> {
        let Some((flag, length)) = self.header() else {
            return Ok(None);
        };
        if length > self.limit {
            return Err(self.too_large());
        }
        if self.arrived.len() < HEADER + length {
            return Ok(None);
        }
        let message = self.arrived.split_to(HEADER + length).freeze();
        if flag != 1 {
            // Not compressed, or a flag that tonic refuses.
            return Ok(Some(message));
        }
        self.unpack(message.slice(HEADER..)).map(Some)
    }

    fn header(&self) -> Option<(u8, usize)> {
        let mut header: &[u8] = self.arrived.get(..HEADER)?;
        let flag = header.get_u8();
        let length = usize::try_from(header.get_u32()).unwrap_or(usize::MAX);
        Some((flag, length))
    }

    /// Unpacks a message, and puts a header before it.
    fn unpack(&self, packed: Bytes) -> Result<Bytes, Status> {
        let mut decoder = FrameDecoder::new(packed.reader());
        let mut unpacked = vec![0; HEADER];
        loop {
            let read = decoder.by_ref().take(CHUNK).read_to_end(&mut unpacked);
            if read.map_err(|error| malformed(&error))? == 0 {
                break;
            }
            if unpacked.len() > self.limit + HEADER {
                return Err(self.too_large());
            }
            self.reservation.grow_to(unpacked.len())?;
        }
        let length = u32::try_from(unpacked.len() - HEADER).map_err(|_| self.too_large())?;
        if let Some(place) = unpacked.get_mut(1..HEADER) {
            place.copy_from_slice(&length.to_be_bytes());
        }
        Ok(unpacked.into())
    }

    fn too_large(&self) -> Status {
        status::read(&Failure::RequestTooLarge { limit: self.limit })
    }
}

fn malformed(error: &io::Error) -> Status {
    status::read(&Failure::Malformed {
        message: "request",
        reason: &format_args!("it is no stream of snappy's framing format: {error}"),
    })
}

impl http_body::Body for SnappyBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        loop {
            match this.message() {
                Ok(Some(message)) => return Poll::Ready(Some(Ok(Frame::data(message)))),
                Ok(None) => {}
                Err(status) => return Poll::Ready(Some(Err(status))),
            }
            if this.ended {
                // What is left is a message that breaks off, which tonic refuses.
                let rest = this.arrived.split().freeze();
                let rest = (!rest.is_empty()).then(|| Ok(Frame::data(rest)));
                return Poll::Ready(rest);
            }
            let Some(frame) = ready!(Pin::new(&mut this.body).poll_frame(cx)) else {
                this.ended = true;
                continue;
            };
            match frame?.into_data() {
                Ok(data) => this.arrived.extend_from_slice(&data),
                // A request has no trailers.
                Err(_trailers) => this.ended = true,
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.arrived.is_empty() && (self.ended || self.body.is_end_stream())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::io::Write as _;

    use http_body_util::{BodyExt as _, Full, StreamBody};
    use snap::write::FrameEncoder;
    use tonic::Code;

    use super::*;
    use crate::request_memory::RequestMemory;

    const LIMIT: usize = 1 << 20;

    fn message(flag: u8, content: &[u8]) -> Vec<u8> {
        let length = u32::try_from(content.len()).unwrap().to_be_bytes();
        [[flag].as_slice(), &length, content].concat()
    }

    fn packed(content: &[u8]) -> Vec<u8> {
        let mut encoder = FrameEncoder::new(Vec::new());
        encoder.write_all(content).unwrap();
        message(1, &encoder.into_inner().unwrap())
    }

    async fn unpacked(body: Body) -> Result<Vec<u8>, Status> {
        let reservation = RequestMemory::new(LIMIT).reserve();
        let body = SnappyBody::new(body, reservation, LIMIT);
        Ok(body.collect().await?.to_bytes().to_vec())
    }

    #[tokio::test]
    async fn messages_are_unpacked_however_they_arrive() {
        let content: Vec<u8> = (0..200_000_u32).flat_map(u32::to_be_bytes).collect();
        let sent = [packed(&content), message(0, b"plain"), packed(b"")].concat();
        let wanted = [message(0, &content), message(0, b"plain"), message(0, b"")].concat();
        for size in [1000, 70_000, sent.len()] {
            let pieces: Vec<Result<_, Status>> = sent
                .chunks(size)
                .map(|piece| Ok(Frame::data(Bytes::copy_from_slice(piece))))
                .collect();
            let body = StreamBody::new(futures_util::stream::iter(pieces));
            assert_eq!(unpacked(Body::new(body)).await.unwrap(), wanted);
        }
    }

    #[tokio::test]
    async fn what_is_too_large_or_no_snappy_is_refused() {
        let bomb = packed(&vec![0; LIMIT + 1]);
        let mut cut = packed(&[7; 1000]);
        let last = cut.pop().unwrap();
        cut.push(!last);
        for (sent, code) in [
            (bomb, Code::ResourceExhausted),
            (message(1, &vec![0; LIMIT + 1]), Code::ResourceExhausted),
            (message(1, b"no snappy"), Code::InvalidArgument),
            (cut, Code::InvalidArgument),
        ] {
            let body = Body::new(Full::new(Bytes::from(sent)));
            assert_eq!(unpacked(body).await.unwrap_err().code(), code);
        }
    }

    #[test]
    fn only_the_encoding_of_snappy_is_taken_from_the_headers() {
        let mut headers = HeaderMap::new();
        assert!(!take_encoding(&mut headers));
        headers.insert(ENCODING, HeaderValue::from_static("gzip"));
        assert!(!take_encoding(&mut headers));
        assert!(headers.contains_key(ENCODING));
        headers.insert(ENCODING, HeaderValue::from_static("snappy"));
        assert!(take_encoding(&mut headers));
        assert!(headers.is_empty());
    }
}
