//! A codec with prost's encoding and more precise errors than tonic's.
//!
//! tonic's codec answers INTERNAL if it cannot decode a request. This one answers `INVALID_ARGUMENT` and names the message and the field.
//! OTLP's request is not decoded here: `ingest` walks its bytes.

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

/// Limit of requests that are decoded into messages: gRPC's usual one. An empty message takes two bytes encoded and up to a hundred
/// decoded, so `grpc.max_request_bytes`, which is for Exports, could become gigabytes in memory.
const MAX_MESSAGE_BYTES: usize = 4 << 20;

/// A type that a request is decoded into.
pub(super) trait DecodeRequest: Sized + Send + 'static {
    /// Maximum encoded bytes, in addition to `grpc.max_request_bytes`.
    const MAX_BYTES: usize;

    /// Decodes one whole message. The error names the field.
    fn decode_request(bytes: Bytes) -> Result<Self, prost::DecodeError>;
}

impl<T: Message + Default + 'static> DecodeRequest for T {
    const MAX_BYTES: usize = MAX_MESSAGE_BYTES;

    fn decode_request(bytes: Bytes) -> Result<Self, prost::DecodeError> {
        T::decode(bytes)
    }
}

impl DecodeRequest for ExportBytes {
    const MAX_BYTES: usize = usize::MAX;

    fn decode_request(bytes: Bytes) -> Result<Self, prost::DecodeError> {
        Ok(Self(bytes))
    }
}

/// The codec of the generated services.
#[derive(Debug)]
pub(super) struct Codec<E, D>(PhantomData<(E, D)>);

/// Encodes responses.
#[derive(Debug)]
pub(super) struct Encoder<E>(PhantomData<E>);

/// Decodes requests.
#[derive(Debug)]
pub(super) struct Decoder<D>(PhantomData<D>);

// === impl Codec ===

impl<E, D> Default for Codec<E, D> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<E: Message + 'static, D: DecodeRequest> tonic::codec::Codec for Codec<E, D> {
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

impl<D: DecodeRequest> tonic::codec::Decoder for Decoder<D> {
    type Item = D;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<D>, Status> {
        // The whole message is one buffer here, so this shares it without a copy.
        let bytes = buffer.copy_to_bytes(buffer.remaining());
        let message = short_name::<D>();
        if bytes.len() > D::MAX_BYTES {
            let limit = D::MAX_BYTES;
            return Err(status::read(&Failure::MessageTooLarge { limit }));
        }
        D::decode_request(bytes.clone()).map(Some).map_err(|error| {
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
        let read = ExportBytes::decode_request(sent.clone()).unwrap();
        assert_eq!(read.0.as_ptr(), sent.as_ptr());
    }

    #[test]
    fn a_malformed_message_is_described_with_the_field_that_is_wrong() {
        let cut_off = Bytes::from_static(&[0x0a, 0x05, 0x0a, 0x7f]);
        let error = GetTracesRequest::decode_request(cut_off).unwrap_err();
        assert!(
            error.to_string().contains("GetTracesRequest.query"),
            "{error}"
        );
        assert_eq!(short_name::<GetTracesRequest>(), "GetTracesRequest");
    }
}
