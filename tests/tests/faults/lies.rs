//! Answers that break the contract: INTERNAL for that read, counted with the rule broken, and the next call works.

use larder_tests::http;
use tonic::Code;

use crate::misbehaviour::{Call, assert_serves_again, hostile, provoke};

async fn is_caught(name: &str, call: Call, code: Code) {
    let larder = hostile().start();
    let client = larder.client().await;
    let caught = provoke(&client, name, call).await.unwrap_err();
    assert_eq!(caught.code(), code, "{name}: {caught:?}");
    assert_serves_again(&client).await;

    let breaches = "larder_plugin_contract_breaches_total";
    let counted = http::count(&larder.metrics(), breaches, &[]);
    assert_eq!(
        counted > 0,
        code == Code::Internal,
        "{name}: {counted} counted"
    );
    // One lie is a strike, and no reason to lose what is stored.
    assert_eq!(
        client
            .find(&larder_tests::Query::default().service("fine"))
            .await
            .len(),
        1
    );
    assert_eq!(larder.get("/plugin").json()["restarts"], 0, "{name}");
}

macro_rules! lies {
    ($($test:ident: $name:literal, $call:ident, $code:ident;)*) => {
        $(#[tokio::test]
        async fn $test() {
            is_caught($name, Call::$call, Code::$code).await;
        })*
    };
}

lies! {
    a_floor_that_rises_is_caught: "the floor rises", FindTraces, Internal;
    a_sighting_above_the_floor_is_caught: "a sighting above the floor", FindTraces, Internal;
    a_resume_that_does_not_move_is_caught: "the same resume", FindTraces, Internal;
    more_sightings_than_asked_for_are_caught: "too many sightings", FindTraces, Internal;
    a_newest_that_is_too_early_is_caught: "a newest that is too early", FindTraces, Internal;
    a_trace_that_nobody_asked_for_is_caught: "an unasked trace", GetTraces, Internal;
    traces_in_the_wrong_order_are_caught: "the wrong order", GetTraces, Internal;
    the_bytes_of_another_trace_are_caught: "another trace's bytes", GetTraces, Internal;
    an_empty_page_that_goes_on_is_caught: "an empty page", GetTraces, Internal;
    services_that_come_twice_are_caught: "services twice", GetServices, Internal;
    a_service_without_a_name_is_caught: "a nameless service", GetServices, Internal;
    operations_that_come_twice_are_caught: "operations twice", GetOperations, Internal;
    operations_of_another_service_are_caught: "unasked operations", GetOperations, Internal;
    bytes_that_are_no_otlp_are_a_data_loss: "undecodable bytes", GetTraces, DataLoss;
    bytes_that_are_no_digest_are_a_data_loss: "undecodable bytes", FindTraces, DataLoss;
}

/// A guest that goes on lying is replaced.
#[tokio::test]
async fn a_guest_that_goes_on_lying_is_replaced() {
    let larder = hostile().start();
    let client = larder.client().await;
    client
        .store(crate::misbehaviour::two_traces("the floor rises"))
        .await;
    let query = larder_tests::Query::default().service("the floor rises");
    larder_tests::eventually("a replacement", async || {
        let code = client
            .find_traces(&query)
            .await
            .map(drop)
            .map_err(|status| status.code());
        // Once it is replaced it has nothing to lie about.
        assert!(
            matches!(code, Ok(()) | Err(Code::Internal | Code::Unavailable)),
            "{code:?}"
        );
        (larder.get("/plugin").json()["restarts"] == 1).then_some(())
    })
    .await;
    assert_serves_again(&client).await;
}
