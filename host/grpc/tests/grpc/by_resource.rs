//! The answer to an Export of two tenants whose storage fails.

use larder_model::storage::{Error, ErrorKind};
use larder_tests::otlp::{service, span};
use larder_tests::status::retry_info;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use tonic::{Code, Status};

use crate::serving::Serving;
use crate::store::Behaviour;

/// Two spans of one tenant, and one of another.
async fn export(kind: ErrorKind) -> Result<ExportTraceServiceResponse, Status> {
    let serving = Serving::by_resource("tenant").await;
    let error = Error::new(kind, "what the storage says");
    serving.store.behave(Behaviour::Fail(error));
    let of = |tenant: &str| service("shop").attribute("tenant", tenant);
    let sent = [
        of("a").span(span([1; 16], 1)).span(span([2; 16], 2)),
        of("b").span(span([3; 16], 3)),
    ];
    let answer = serving.client.export(sent).await;
    assert_eq!(serving.store.begun(), 2, "each tenant's share is tried");
    serving.stop().await;
    answer
}

/// OTLP's clients retry these (`ResourceExhausted` only with a delay).
#[tokio::test]
async fn retryable_errors_fail_the_whole_request() {
    for (kind, code) in [
        (ErrorKind::ResourceExhausted, Code::ResourceExhausted),
        (ErrorKind::Unavailable, Code::Unavailable),
        (ErrorKind::ContractBroken, Code::Unavailable),
        (ErrorKind::DataLoss, Code::DataLoss),
    ] {
        let status = export(kind).await.unwrap_err();
        assert_eq!(status.code(), code, "{status:?}");
        assert_eq!(status.message(), "tenant `a`: what the storage says");
        let delayed = code == Code::ResourceExhausted;
        assert_eq!(retry_info(&status).is_some(), delayed, "{status:?}");
    }
}

#[tokio::test]
async fn permanent_errors_are_a_partial_success() {
    for (kind, says) in [
        (
            ErrorKind::InvalidArgument,
            "tenant `b`: what the storage says",
        ),
        (
            ErrorKind::Poison,
            "what the storage says; what the storage says",
        ),
        (ErrorKind::Internal, "the server's log has its cause"),
    ] {
        let refused = export(kind).await.unwrap().partial_success.unwrap();
        assert_eq!(refused.rejected_spans, 3, "{refused:?}");
        assert!(refused.error_message.contains(says), "{refused:?}");
        let has_cause = refused.error_message.contains("what the storage says");
        assert_eq!(has_cause, kind != ErrorKind::Internal, "{refused:?}");
    }
}
