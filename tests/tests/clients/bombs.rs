//! Decompression bombs: compressed requests that inflate, and messages that take far more memory decoded than encoded.

use bytes::Bytes;
use larder_proto::testing::bytes_field;
use larder_tests::{Client, method};
use tonic::Code;
use tonic::codec::CompressionEncoding::{self, Gzip, Zstd};

use crate::attacked::Attacked;

const MIB: usize = 1 << 20;

/// Encodes one unknown field of zeros.
fn zeros(bytes: usize) -> Bytes {
    bytes_field(1000, &vec![0; bytes]).into()
}

async fn send(
    client: &Client,
    method: &'static str,
    encoding: CompressionEncoding,
    body: Bytes,
) -> Result<(), tonic::Status> {
    client.call().send(encoding).stream(method, body).await.end
}

const METHODS: [&str; 4] = [
    method::EXPORT,
    method::GET_TRACES,
    method::FIND_TRACES,
    method::GET_SERVICES,
];

/// The limit is 8 MiB; on the wire the request takes some KiB.
#[tokio::test]
async fn requests_that_inflate_beyond_the_limit_are_refused() {
    let server = Attacked::small().await;
    let client = server.larder.client().await;
    let body = zeros(80 * MIB);
    for method in METHODS {
        for encoding in [Gzip, Zstd] {
            let refused = send(&client, method, encoding, body.clone()).await;
            let refused = refused.unwrap_err();
            assert_eq!(
                refused.code(),
                Code::ResourceExhausted,
                "{method} {refused:?}"
            );
        }
    }
    server.end().await;
}

/// Each is below the limit, but together they exceed the server's memory by far.
#[tokio::test]
async fn many_inflating_requests_are_bounded_together() {
    let server = Attacked::small().await;
    let mut bombs = tokio::task::JoinSet::new();
    let body = zeros(7 * MIB);
    for (number, method) in METHODS.into_iter().cycle().take(48).enumerate() {
        let client = server.larder.client().await;
        let (body, encoding) = (body.clone(), [Gzip, Zstd][number % 2]);
        bombs.spawn(async move { (method, send(&client, method, encoding, body).await) });
    }
    server.assert_serves().await;
    while let Some(ended) = bombs.join_next().await {
        let (method, ended) = ended.unwrap();
        if let Err(status) = ended {
            let told = [Code::ResourceExhausted, Code::InvalidArgument];
            assert!(told.contains(&status.code()), "{method}: {status:?}");
        }
    }
    server.end().await;
}

/// Each message takes two bytes on the wire, and dozens in memory.
#[tokio::test]
async fn empty_messages_by_the_million_are_refused() {
    let server = Attacked::small().await;
    let client = server.larder.client().await;
    let params = Bytes::from([0x0a, 0].repeat(3 * MIB));
    let refused = send(&client, method::GET_TRACES, Zstd, params)
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}");

    // FindTracesRequest { query { attributes {} … } }
    let query = bytes_field(1, &[0x1a, 0].repeat(3 * MIB));
    let refused = send(&client, method::FIND_TRACES, Zstd, query.into())
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}");

    // ExportTraceServiceRequest { resource_spans {} … }, without spans.
    let resources = Bytes::from([0x0a, 0].repeat(3 * MIB));
    send(&client, method::EXPORT, Zstd, resources)
        .await
        .unwrap();
    server.end().await;
}
