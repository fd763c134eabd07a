//! Every RPC is counted once, with the code that it ended with.

use bytes::Bytes;
use larder_model::storage::{Error, ErrorKind};
use larder_proto::storage::v2::{GetTraceParams, GetTracesRequest};
use larder_tests::{eventually, method};
use prost::Message as _;

use crate::serving::Serving;
use crate::store::Behaviour;

fn traces(count: u8) -> Bytes {
    let query = (1..=count)
        .map(|id| GetTraceParams {
            trace_id: vec![id; 16],
            ..GetTraceParams::default()
        })
        .collect();
    GetTracesRequest { query }.encode_to_vec().into()
}

#[tokio::test]
async fn a_call_is_counted_with_its_code_whether_unary_or_a_stream() {
    let serving = Serving::new().await;
    serving.client.services().await.unwrap();
    assert_eq!(serving.count(method::GET_SERVICES, "OK"), 1);
    let reply = serving
        .client
        .call()
        .stream(method::GET_TRACES, traces(3))
        .await;
    assert_eq!(reply.messages.len(), 3);
    assert_eq!(serving.count(method::GET_TRACES, "OK"), 1);

    let error = Error::new(ErrorKind::DataLoss, "cannot be read back");
    serving.store.behave(Behaviour::Fail(error));
    serving.client.services().await.unwrap_err();
    serving.client.get_traces([[1; 16]]).await.unwrap_err();
    assert_eq!(serving.count(method::GET_SERVICES, "DATA_LOSS"), 1);
    assert_eq!(serving.count(method::GET_TRACES, "DATA_LOSS"), 1);

    let malformed = Bytes::from_static(b"\x0a");
    serving
        .client
        .call()
        .unary(method::EXPORT, malformed)
        .await
        .unwrap_err();
    assert_eq!(serving.count(method::EXPORT, "INVALID_ARGUMENT"), 1);
    serving.stop().await;
}

#[tokio::test]
async fn a_method_that_there_is_not_is_counted_without_its_name() {
    let serving = Serving::new().await;
    for unknown in ["/jaeger.storage.v2.TraceReader/Guess", "/a.Guess/Guess"] {
        let refused = serving.client.call().unary(unknown, Bytes::new()).await;
        refused.unwrap_err();
        assert_eq!(serving.count(unknown, "UNIMPLEMENTED"), 0);
    }
    assert_eq!(serving.count("_OTHER", "UNIMPLEMENTED"), 2);
    serving.stop().await;
}

#[tokio::test]
async fn an_answer_that_nobody_reads_to_its_end_counts_as_cancelled() {
    let serving = Serving::with_traces_of(1 << 20).await;
    let call = serving.client.call();
    let answer = call.open(method::GET_TRACES, traces(20)).await.unwrap();
    let mut messages = answer.into_inner();
    assert!(messages.message().await.unwrap().is_some());
    drop(messages);
    let cancelled = eventually("the end of the answer", || async {
        let count = serving.count(method::GET_TRACES, "CANCELLED");
        (count > 0).then_some(count)
    });
    assert_eq!(cancelled.await, 1);
    assert_eq!(serving.count(method::GET_TRACES, "OK"), 0);
    serving.stop().await;
}
