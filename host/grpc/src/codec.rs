//! How messages cross the wire: prost's encoding, with errors of our own.
//!
//! tonic's codec answers INTERNAL for a request that it cannot decode; ours answers `INVALID_ARGUMENT`, and says which message was
//! wrong and where. OTLP's request is not decoded at all: `ingest` walks its bytes.

use std::marker::PhantomData;

use bytes::{Buf as _, Bytes};
use larder_model::storage::{self, ErrorKind};
use larder_search::filter;
use prost::Message;
use tonic::Status;
use tonic::codec::{DecodeBuf, EncodeBuf};

use super::status::{self, Failure};

/// An encoded `ExportTraceServiceRequest`, as it was sent.
#[derive(Clone, Debug, Default)]
pub(super) struct ExportBytes(pub Bytes);

/// What a request that becomes messages may have: gRPC's usual limit. An empty message takes two bytes here and up to a hundred in
/// memory, so that `grpc.max_request_bytes`, which is for Exports, would be gigabytes.
const MAX_MESSAGE_BYTES: usize = 4 << 20;

/// What a request is read into.
pub(super) trait Incoming: Sized + Send + 'static {
    /// The most bytes that it may have, where `grpc.max_request_bytes` is not the only bound.
    const MOST: usize;

    /// Reads one whole message; the error says what is wrong with it, and where.
    fn read(bytes: Bytes) -> Result<Self, prost::DecodeError>;
}

impl<T: Message + Default + 'static> Incoming for T {
    const MOST: usize = MAX_MESSAGE_BYTES;

    fn read(bytes: Bytes) -> Result<Self, prost::DecodeError> {
        T::decode(bytes)
    }
}

impl Incoming for ExportBytes {
    const MOST: usize = usize::MAX;

    fn read(bytes: Bytes) -> Result<Self, prost::DecodeError> {
        Ok(Self(bytes))
    }
}

/// The codec of every service that is generated here.
#[derive(Debug)]
pub(super) struct Codec<E, D>(PhantomData<(E, D)>);

/// Writes answers.
#[derive(Debug)]
pub(super) struct Encoder<E>(PhantomData<E>);

/// Reads requests.
#[derive(Debug)]
pub(super) struct Decoder<D>(PhantomData<D>);

// === impl Codec ===

impl<E, D> Default for Codec<E, D> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<E: Message + 'static, D: Incoming> tonic::codec::Codec for Codec<E, D> {
    type Encode = E;
    type Decode = D;
    type Encoder = Encoder<E>;
    type Decoder = Decoder<D>;

    fn encoder(&mut self) -> Encoder<E> {
        Encoder(PhantomData)
    }

    fn decoder(&mut self) -> Decoder<D> {
        Decoder(PhantomData)
    }
}

impl<E: Message + 'static> tonic::codec::Encoder for Encoder<E> {
    type Item = E;
    type Error = Status;

    fn encode(&mut self, message: E, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.reserve(message.encoded_len());
        message
            .encode(buffer)
            .map_err(|error| status::read(&Failure::Bug(&error)))
    }
}

impl<D: Incoming> tonic::codec::Decoder for Decoder<D> {
    type Item = D;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<D>, Status> {
        // The whole message is one buffer here, and this only takes a share in it: nothing is copied.
        let bytes = buffer.copy_to_bytes(buffer.remaining());
        let message = short_name::<D>();
        if bytes.len() > D::MOST {
            let limit = D::MOST;
            return Err(status::read(&Failure::QuestionTooLarge { limit }));
        }
        D::read(bytes.clone()).map(Some).map_err(|error| {
            let filter = message
                .starts_with("Find")
                .then(|| filter::refusal_in(&bytes));
            match filter.flatten() {
                Some(refusal) => {
                    let error = storage::Error::new(ErrorKind::InvalidFilter, refusal);
                    status::read_storage(&error)
                }
                None => status::read(&Failure::Malformed {
                    message,
                    reason: &error,
                }),
            }
        })
    }
}

/// `GetTracesRequest` of `larder_proto::storage::v2::GetTracesRequest`.
fn short_name<T>() -> &'static str {
    let path = std::any::type_name::<T>();
    path.rsplit("::").next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use larder_proto::storage::v2::GetTracesRequest;

    use super::*;

    #[test]
    fn the_export_request_shares_the_buffer_it_came_in() {
        let sent = Bytes::from(vec![0xff; 64]);
        let read = ExportBytes::read(sent.clone()).unwrap();
        assert_eq!(read.0.as_ptr(), sent.as_ptr());
    }

    #[test]
    fn a_malformed_message_is_described_with_the_field_that_is_wrong() {
        let cut_off = Bytes::from_static(&[0x0a, 0x05, 0x0a, 0x7f]);
        let error = GetTracesRequest::read(cut_off).unwrap_err();
        assert!(
            error.to_string().contains("GetTracesRequest.query"),
            "{error}"
        );
        assert_eq!(short_name::<GetTracesRequest>(), "GetTracesRequest");
    }
}
