//! Bytes that are not protobuf, on each RPC: `INVALID_ARGUMENT`, and the next call is served.

use bytes::Bytes;
use larder_tests::{Plugin, Scene, method};
use tonic::Code;

/// Each method with its message, which a refusal names.
const METHODS: [(&str, &str); 10] = [
    (method::EXPORT, "ExportTraceServiceRequest"),
    (method::GET_TRACES, "GetTracesRequest"),
    (method::GET_SERVICES, "GetServicesRequest"),
    (method::GET_OPERATIONS, "GetOperationsRequest"),
    (method::FIND_TRACES, "FindTracesRequest"),
    (method::FIND_TRACE_IDS, "FindTraceIDsRequest"),
    (method::FIND_TRACE_SUMMARIES, "FindTraceSummariesRequest"),
    (method::FIND_SPANS, "FindSpansRequest"),
    (method::GET_DEPENDENCIES, "GetDependenciesRequest"),
    (method::GET_CAPABILITIES, "GetCapabilitiesRequest"),
];

#[tokio::test]
async fn malformed_bytes_are_an_invalid_argument_on_each_rpc() {
    let scene = Scene::new(Plugin::Memory).await;
    let malformed: [&[u8]; 6] = [
        b"\x0a",                                         // a field without its length
        b"\x0a\x05ab",                                   // one that is longer than the message
        b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", // one of a length beyond all bounds
        b"\x0f\x01",                                     // a wire type that there is not
        b"\x00\x01",                                     // the field number zero
        b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80", // an endless varint
    ];
    for (method, message) in METHODS {
        for bytes in malformed {
            let bytes = Bytes::from_static(bytes);
            let reply = scene.client.call().stream(method, bytes.clone()).await;
            let refused = reply.end.unwrap_err();
            assert_eq!(
                refused.code(),
                Code::InvalidArgument,
                "{method} {bytes:?}: {refused:?}"
            );
            assert!(refused.message().contains(message), "{refused:?}");
        }
    }
    scene.client.services().await.expect("served as before");
}

/// Malformed bytes inside a span refuse the request, because its spans cannot be separated.
#[tokio::test]
async fn a_request_truncated_inside_a_span_is_malformed() {
    let scene = Scene::new(Plugin::Memory).await;
    // ResourceSpans { ScopeSpans { Span { trace_id of 16 bytes, of which there are 2 } } }
    let body = b"\x0a\x08\x12\x06\x12\x04\x0a\x10ab";
    let refused = scene.client.export_bytes(&body[..]).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
}

/// A known field of another wire type is malformed, as for every protobuf library.
#[tokio::test]
async fn a_known_field_of_another_wire_type_is_malformed() {
    let scene = Scene::new(Plugin::Memory).await;
    for (method, body) in [
        (method::EXPORT, b"\x08\x05"),
        (method::GET_TRACES, b"\x08\x05"),
    ] {
        let reply = scene
            .client
            .call()
            .stream(method, Bytes::from_static(body))
            .await;
        assert_eq!(
            reply.end.unwrap_err().code(),
            Code::InvalidArgument,
            "{method}"
        );
    }
}

#[tokio::test]
async fn an_unknown_method_is_unimplemented() {
    let scene = Scene::new(Plugin::Memory).await;
    let unknown = "/jaeger.storage.v2.TraceReader/GetEverything";
    let refused = scene
        .client
        .call()
        .unary(unknown, Bytes::new())
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::Unimplemented);
    let text = refused.message();
    assert!(
        text.contains(unknown) && text.contains("jaeger.storage.v2"),
        "{text}"
    );
}
