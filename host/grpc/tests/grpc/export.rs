//! Writes: what is refused, and what goes on without its client.

use std::sync::Arc;

use bytes::Bytes;
use larder_model::storage::{Error, ErrorKind};
use larder_tests::otlp::{ResourceBuilder, request, service, span};
use larder_tests::{eventually, method};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message as _;
use tokio::sync::Semaphore;

use crate::serving::Serving;
use crate::store::Behaviour;

fn two_spans() -> Bytes {
    let shop = service("shop")
        .span(span([1; 16], 1))
        .span(span([1; 16], 2));
    request([shop]).encode_to_vec().into()
}

#[tokio::test]
async fn an_empty_request_is_taken_and_nothing_is_written() {
    let serving = Serving::new().await;
    let answer = serving.client.export_bytes(Bytes::new()).await.unwrap();
    assert_eq!(answer, ExportTraceServiceResponse::default());
    assert_eq!(serving.store.begun(), 0);
    serving.stop().await;
}

#[tokio::test]
async fn a_batch_that_always_traps_the_plugin_is_refused_and_not_retried() {
    let serving = Serving::new().await;
    let poison = Error::new(ErrorKind::Poison, "the batch trapped the plugin twice");
    serving.store.behave(Behaviour::Fail(poison));
    let answer = serving.client.export_bytes(two_spans()).await.unwrap();
    let refused = answer.partial_success.unwrap();
    assert_eq!(refused.rejected_spans, 2);
    assert!(
        refused.error_message.contains("trapped the plugin"),
        "{refused:?}"
    );
    let metrics = serving.metrics.encode();
    let counted = metrics
        .lines()
        .any(|line| line.contains("plugin_trap") && line.ends_with(" 2"));
    assert!(counted, "{metrics}");
    serving.stop().await;
}

#[tokio::test]
async fn a_write_goes_on_when_its_client_goes_away() {
    let serving = Serving::new().await;
    let gate = Arc::new(Semaphore::new(0));
    serving.store.behave(Behaviour::Wait(Arc::clone(&gate)));
    let client = serving.client.clone();
    let export = tokio::spawn(async move { client.export_bytes(two_spans()).await });
    eventually("the write", || async {
        (serving.store.begun() == 1).then_some(())
    })
    .await;
    export.abort();
    let gone = || async { (serving.count(method::EXPORT, "CANCELLED") == 1).then_some(()) };
    eventually("the end of the call", gone).await;
    assert_eq!(serving.store.spans_written(), 0);

    gate.add_permits(1);
    let written = || async { (serving.store.spans_written() == 2).then_some(()) };
    eventually("the write's end", written).await;
    serving.stop().await;
}

#[tokio::test]
async fn a_request_that_is_walked_off_the_connections_thread_is_stored_too() {
    let serving = Serving::new().await;
    let filler = "x".repeat(1 << 10);
    let spans = (1..=1_200).map(|id| span([2; 16], id).attribute("filler", &*filler));
    let large = request([spans.fold(service("shop"), ResourceBuilder::span)]);
    let large = Bytes::from(large.encode_to_vec());
    assert!(large.len() > 1 << 20);
    let call = serving
        .client
        .call()
        .send(tonic::codec::CompressionEncoding::Zstd);
    call.unary(method::EXPORT, large).await.unwrap();
    assert_eq!(serving.store.spans_written(), 1_200);
    serving.stop().await;
}
