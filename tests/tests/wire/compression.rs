//! gzip and zstd, in both directions, and snappy in requests.

use std::io::Write as _;

use bytes::Bytes;
use larder_proto::storage::v2::{FindTracesRequest, GetServicesRequest};
use larder_tests::otlp::{request, service, span};
use larder_tests::{Options, Plugin, Scene, merge, method};
use prost::Message as _;
use tonic::Code;
use tonic::codec::CompressionEncoding::{self, Gzip, Zstd};

use crate::frames::send;

async fn compressed_both_ways(encoding: CompressionEncoding, name: &str) {
    let scene = Scene::new(Plugin::Memory).await;
    let call = scene.client.call().send(encoding).accept(encoding);
    let spans = (1..=500).map(|number| {
        let one = span(scene.trace(1), number).at(scene.at(number));
        one.attribute("filler", "compress me ".repeat(200))
    });
    let body = request([scene.resource("a").spans(spans)]).encode_to_vec();
    assert!(
        body.len() > 1 << 20,
        "so large that others take their turns beside it"
    );
    let written = call.unary(method::EXPORT, body.into()).await.unwrap();
    assert_eq!(written.metadata().get("grpc-encoding").unwrap(), name);

    let query = Some(scene.query().0);
    let body = FindTracesRequest { query }.encode_to_vec();
    let reply = call.stream(method::FIND_TRACES, body.into()).await;
    reply.end.unwrap();
    assert_eq!(reply.metadata.get("grpc-encoding").unwrap(), name);
    assert_eq!(merge(&reply.messages)[0].span_ids().len(), 500);

    // A client that accepts no compression gets uncompressed answers.
    let plain = scene.client.call().send(encoding);
    let body = Bytes::from(GetServicesRequest {}.encode_to_vec());
    let answer = plain.unary(method::GET_SERVICES, body).await.unwrap();
    assert!(answer.metadata().get("grpc-encoding").is_none());
}

#[tokio::test]
async fn gzip_is_taken_and_given() {
    compressed_both_ways(Gzip, "gzip").await;
}

#[tokio::test]
async fn zstd_is_taken_and_given() {
    compressed_both_ways(Zstd, "zstd").await;
}

/// A body as Go's gRPC sends it: one message, compressed in snappy's framing format.
fn in_snappy(message: &[u8]) -> Bytes {
    let mut encoder = snap::write::FrameEncoder::new(Vec::new());
    encoder.write_all(message).unwrap();
    framed(&encoder.into_inner().unwrap())
}

fn framed(message: &[u8]) -> Bytes {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [[1].as_slice(), &length, message].concat().into()
}

#[tokio::test]
async fn snappy_is_taken() {
    let larder = Options::new(Plugin::Memory).writer_port().start();
    let client = larder.client().await;
    let exported = |number: u8| {
        let spans = (1..=500).map(|id| {
            let one = span([number; 16], id).at(1000);
            one.attribute("filler", "compress me ".repeat(200))
        });
        request([service("a").spans(spans)]).encode_to_vec()
    };
    for (number, address) in [(1, larder.grpc()), (2, larder.writer())] {
        let body = in_snappy(&exported(number));
        let status = send(address, method::EXPORT, Some("snappy"), body).await;
        assert_eq!(status.code(), Code::Ok, "{status:?}");
        let stored = client.get_trace([number; 16]).await;
        assert_eq!(stored.span_ids().len(), 500);
    }
    // Reads as well, and a message that is not compressed though its call says how.
    let plain = Bytes::from_static(&[0; 5]);
    for body in [in_snappy(&[]), plain] {
        let status = send(larder.grpc(), method::GET_SERVICES, Some("snappy"), body).await;
        assert_eq!(status.code(), Code::Ok, "{status:?}");
    }
}

#[tokio::test]
async fn snappy_that_is_invalid_or_inflates_beyond_the_limit_is_refused() {
    let larder = Options::new(Plugin::Memory)
        .environment("LARDER_GRPC_MAX_REQUEST_BYTES", "64KiB")
        .start();
    let send = async |body| send(larder.grpc(), method::EXPORT, Some("snappy"), body).await;
    let refused = send(in_snappy(&vec![0; 1 << 20])).await;
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}");
    assert!(
        refused.message().contains("grpc.max_request_bytes"),
        "{refused:?}"
    );
    // The format of single blocks, which Go's gRPC does not send, and no snappy at all.
    let block = snap::raw::Encoder::new().compress_vec(b"a block").unwrap();
    for message in [block.as_slice(), b"abc"] {
        let refused = send(framed(message)).await;
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
        assert!(
            refused.message().starts_with("malformed request"),
            "{refused:?}"
        );
    }
}
