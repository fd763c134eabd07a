//! Invalid frames and compression are refused with our own texts.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt as _, Full};
use larder_tests::{Options, Plugin, method, patiently};
use tonic::transport::Endpoint;
use tonic::{Code, Status};
use tower::ServiceExt as _;

/// Sends an unmodified body, frame headers included.
pub(crate) async fn send(
    address: SocketAddr,
    path: &str,
    encoding: Option<&str>,
    body: Bytes,
) -> Status {
    let channel = Endpoint::from_shared(format!("http://{address}")).unwrap();
    let channel = channel.connect().await.unwrap();
    let mut request = Request::post(path)
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    if let Some(encoding) = encoding {
        request = request.header("grpc-encoding", encoding);
    }
    let body = tonic::body::Body::new(Full::new(body));
    let response = patiently("an answer", channel.oneshot(request.body(body).unwrap()));
    let response = response.await.unwrap();
    let mut headers: HeaderMap = response.headers().clone();
    let rest = response.into_body().collect().await.unwrap();
    headers.extend(rest.trailers().cloned().unwrap_or_default());
    Status::from_header_map(&headers).expect("a status")
}

#[tokio::test]
async fn a_frame_or_a_compression_that_cannot_be_read_is_an_invalid_argument() {
    let larder = Options::new(Plugin::Memory).start();
    let cases: [(Option<&str>, &'static [u8], &str); 6] = [
        (None, b"", "no message"),
        (None, b"\0\0", "a header that breaks off"),
        (None, b"\0\0\0\0\x09abc", "a message that breaks off"),
        (None, b"\x07\0\0\0\0", "a flag that there is not"),
        (Some("gzip"), b"\x01\0\0\0\x03abc", "no gzip"),
        (Some("zstd"), b"\x01\0\0\0\x03abc", "no zstd"),
    ];
    for (encoding, body, what) in cases {
        let body = Bytes::from_static(body);
        let status = send(larder.grpc(), method::EXPORT, encoding, body).await;
        assert_eq!(status.code(), Code::InvalidArgument, "{what}: {status:?}");
        assert!(
            status.message().starts_with("malformed request"),
            "{status:?}"
        );
    }
    let body = Bytes::from_static(b"\x01\0\0\0\x03abc");
    let status = send(larder.grpc(), method::EXPORT, Some("br"), body).await;
    assert_eq!(status.code(), Code::Unimplemented, "{status:?}");
    let accepted = status.metadata().get("grpc-accept-encoding").unwrap();
    for encoding in ["gzip", "zstd", "snappy"] {
        assert!(
            accepted.to_str().unwrap().contains(encoding),
            "{accepted:?}"
        );
    }
}
