//! What a storage's errors are on the wire: the table, and what must not leave.

use larder_model::storage::{Error, ErrorKind};
use larder_proto::storage::v2::GetServicesResponse;
use larder_tests::otlp::{service, span};
use larder_tests::{method, status};
use tonic::{Code, Status};

use crate::serving::Serving;
use crate::store::Behaviour;

async fn fail(serving: &Serving, kind: ErrorKind) -> (Status, Status) {
    let error = Error::new(kind, "what happened").with_setting("limits.some");
    serving.store.behave(Behaviour::Fail(error));
    let shop = service("shop").span(span([1; 16], 1));
    let export = serving.client.export([shop]).await.expect_err("Export");
    let read = serving.client.services().await.expect_err("GetServices");
    let stream = serving
        .client
        .get_traces([[1; 16]])
        .await
        .expect_err("GetTraces");
    assert_eq!(read.code(), stream.code(), "{kind:?}");
    (export, read)
}

#[tokio::test]
async fn a_storage_that_fails_is_told_as_the_table_says() {
    let serving = Serving::new().await;
    for (kind, export_code, read_code) in [
        (
            ErrorKind::InvalidArgument,
            Code::InvalidArgument,
            Code::InvalidArgument,
        ),
        (
            ErrorKind::ResourceExhausted,
            Code::ResourceExhausted,
            Code::ResourceExhausted,
        ),
        (
            ErrorKind::QueryBudget,
            Code::ResourceExhausted,
            Code::ResourceExhausted,
        ),
        (ErrorKind::Unavailable, Code::Unavailable, Code::Unavailable),
        (ErrorKind::ContractBroken, Code::Unavailable, Code::Internal),
        (ErrorKind::DataLoss, Code::DataLoss, Code::DataLoss),
        (ErrorKind::Internal, Code::Internal, Code::Internal),
    ] {
        let (export, read) = fail(&serving, kind).await;
        assert_eq!(
            (export.code(), read.code()),
            (export_code, read_code),
            "{kind:?}"
        );
        let fixed_text = kind == ErrorKind::Internal;
        assert_ne!(read.message() == "what happened", fixed_text, "{read:?}");
    }
    serving.stop().await;
}

#[tokio::test]
async fn a_full_queue_says_when_to_come_back_and_a_budget_which_setting_raises_it() {
    let serving = Serving::new().await;
    let (full, _) = fail(&serving, ErrorKind::ResourceExhausted).await;
    assert!(status::retry_info(&full).unwrap().retry_delay.is_some());
    let info = status::error_info(&full).unwrap();
    assert_eq!(info.reason, "QUOTA_EXCEEDED");
    assert_eq!(info.metadata["setting"], "limits.some");

    let (_, spent) = fail(&serving, ErrorKind::QueryBudget).await;
    assert!(status::retry_info(&spent).is_none());
    let info = status::error_info(&spent).unwrap();
    assert_eq!(info.reason, "QUERY_BUDGET");
    assert_eq!(info.metadata["setting"], "limits.some");
    serving.stop().await;
}

#[tokio::test]
async fn a_panic_becomes_an_internal_error_with_an_id_and_the_next_call_is_served() {
    let serving = Serving::new().await;
    serving.store.behave(Behaviour::Panic);
    let shop = service("shop").span(span([1; 16], 1));
    let export = serving.client.export([shop]).await.unwrap_err();
    let read = serving.client.services().await.unwrap_err();
    for status in [export, read] {
        assert_eq!(status.code(), Code::Internal, "{status:?}");
        assert!(!status.message().contains("secret"), "{status:?}");
        assert!(status.message().contains("id"), "{status:?}");
    }
    serving.store.behave(Behaviour::Work);
    let services: GetServicesResponse = serving
        .client
        .call()
        .ask(method::GET_SERVICES, &())
        .await
        .unwrap();
    assert_eq!(services.services, ["shop"]);
    assert_eq!(serving.count(method::GET_SERVICES, "INTERNAL"), 1);
    serving.stop().await;
}
