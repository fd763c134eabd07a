//! gzip and zstd, in both directions.

use bytes::Bytes;
use larder_proto::storage::v2::{FindTracesRequest, GetServicesRequest};
use larder_tests::otlp::{request, span};
use larder_tests::{Plugin, Scene, merge, method};
use prost::Message as _;
use tonic::codec::CompressionEncoding::{self, Gzip, Zstd};

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
