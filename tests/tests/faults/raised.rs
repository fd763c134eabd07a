//! Errors of the contract that a guest raises keep their meaning on the wire.

use larder_tests::status::retry_info;
use tonic::Code;

use crate::misbehaviour::{Call, assert_serves_again, hostile, provoke};

#[tokio::test]
async fn an_error_that_a_guest_raises_keeps_its_meaning() {
    let larder = hostile().start();
    let client = larder.client().await;
    for (name, call, code) in [
        // What has no meaning for a client that can do nothing about it: its spans wait.
        ("write: invalid-argument", Call::Export, Code::Unavailable),
        ("write: other", Call::Export, Code::Unavailable),
        ("write: unavailable", Call::Export, Code::Unavailable),
        (
            "write: resource-exhausted",
            Call::Export,
            Code::ResourceExhausted,
        ),
        (
            "find: resource-exhausted",
            Call::FindTraces,
            Code::ResourceExhausted,
        ),
        ("find: unavailable", Call::FindTraces, Code::Unavailable),
        ("find: data-loss", Call::FindTraces, Code::DataLoss),
        ("find: other", Call::FindTraces, Code::Internal),
        ("read: data-loss", Call::GetTraces, Code::DataLoss),
    ] {
        let raised = provoke(&client, name, call).await.unwrap_err();
        assert_eq!(raised.code(), code, "{name}: {raised:?}");
        let again = code == Code::ResourceExhausted;
        assert_eq!(retry_info(&raised).is_some(), again, "{name}: {raised:?}");
        assert_serves_again(&client).await;
    }
    assert_eq!(larder.get("/plugin").json()["restarts"], 0);
}
