//! Traps, deadlines and exhausted memory: the call is UNAVAILABLE, the plugin is replaced, and the next call is served.

use larder_tests::{Larder, Options, Plugin, eventually};
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::misbehaviour::{Call, assert_serves_again, hostile, provoke, restarts, two_traces};

/// Given what it held, a guest that fails loses it, says so, and serves again.
async fn fails_and_serves_again(larder: &Larder, name: &str, call: Call, error_type: &str) {
    let client = larder.client().await;
    assert_serves_again(&client).await;
    let (before, line) = (restarts(larder, error_type), larder.lines().len());

    let failed = provoke(&client, name, call).await.unwrap_err();
    assert_eq!(failed.code(), Code::Unavailable, "{name}: {failed:?}");
    assert_serves_again(&client).await;

    assert!(
        restarts(larder, error_type) > before,
        "{name}: not counted as {error_type}"
    );
    let told = |line: &String| line.contains("replaced") && line.contains("lost");
    // What is logged comes by another way than answers do.
    eventually(name, async || {
        larder.lines()[line..].iter().any(told).then_some(())
    })
    .await;
    assert_eq!(larder.get("/readyz").status, 200);
    assert_eq!(larder.get("/plugin").json()["state"], "ready");
}

#[tokio::test]
async fn a_trap_anywhere_costs_that_call_and_the_next_is_served() {
    let larder = hostile().start();
    for (name, call) in [
        ("trap on write", Call::Export),
        ("trap on find", Call::FindTraces),
        ("trap on read", Call::GetTraces),
        ("trap on services", Call::GetServices),
        ("trap on operations", Call::GetOperations),
    ] {
        fails_and_serves_again(&larder, name, call, "trap").await;
    }
    let restarts = larder.get("/plugin").json()["restarts"].as_u64();
    assert_eq!(restarts, Some(5));
}

#[tokio::test]
async fn a_guest_over_its_deadline_anywhere_costs_that_call_and_the_next_is_served() {
    let larder = hostile()
        .environment("LARDER_LIMITS_CALL_TIMEOUT", "500ms")
        .start();
    for (name, call) in [
        ("spin on write", Call::Export),
        ("spin on find", Call::FindTraces),
        ("spin on read", Call::GetTraces),
        ("spin on services", Call::GetServices),
        ("spin on operations", Call::GetOperations),
    ] {
        fails_and_serves_again(&larder, name, call, "deadline").await;
    }
}

#[tokio::test]
async fn a_guest_that_takes_all_its_memory_costs_that_call_and_the_next_is_served() {
    let larder = hostile()
        .environment("LARDER_LIMITS_MEMORY", "32MiB")
        .start();
    fails_and_serves_again(&larder, "grow on write", Call::Export, "memory").await;
    let plugin = larder.get("/plugin").json();
    assert_eq!(plugin["memory_limit"], 32 << 20);
    assert!(
        plugin["memory_used"].as_u64().unwrap() < 32 << 20,
        "{plugin}"
    );
}

/// The first start after a failure is at once, the next ones wait: meanwhile readiness is gone and calls are UNAVAILABLE.
#[tokio::test]
async fn a_plugin_that_keeps_trapping_is_stopped_for_a_while() {
    let larder = hostile().start();
    let client = larder.client().await;
    let mut health = HealthClient::new(client.channel());
    let down = eventually("a pause before a restart", async || {
        // Reads are no batches that could be refused as poison.
        let failed = provoke_when_it_serves(&client).await;
        assert_eq!(failed.code(), Code::Unavailable, "{failed:?}");
        let ready = larder.get("/readyz");
        let state = larder.get("/plugin").json()["state"]["restarting"]["reason"].clone();
        let health = health.check(HealthCheckRequest::default()).await.unwrap();
        // The first pauses may be over before all three are asked.
        let told = ready.status == 503
            && state == "a trap"
            && health.into_inner().status() == ServingStatus::NotServing;
        told.then_some(ready)
    })
    .await;
    assert!(down.body.contains("restart"), "{down:?}");

    assert_serves_again(&client).await;
    assert_eq!(larder.get("/readyz").status, 200);
}

async fn provoke_when_it_serves(client: &larder_tests::Client) -> tonic::Status {
    let stored = client.export(two_traces("trap on find")).await;
    match stored {
        Ok(_) => {
            let query = larder_tests::Query::default().service("trap on find");
            client.find_traces(&query).await.unwrap_err()
        }
        Err(status) => status,
    }
}

/// What a guest logs is bounded, and bounds nothing else.
#[tokio::test]
async fn a_guest_that_shouts_is_cut_short() {
    let larder = hostile().start();
    let client = larder.client().await;
    provoke(&client, "shout on write", Call::Export)
        .await
        .unwrap();
    assert_serves_again(&client).await;
    let shouts = larder
        .lines()
        .iter()
        .filter(|line| line.contains("the guest shouts"))
        .count();
    assert!(shouts > 0, "nothing of it was logged");
    assert!(shouts < 2000, "{shouts} lines of about a thousand bytes");
}

/// A plugin that cannot start at all is told about at once, with what to change.
#[test]
fn a_plugin_that_does_not_open_keeps_the_server_from_starting() {
    for (options, told) in [
        (
            hostile().setting("open", "trap"),
            vec!["hostile", "told to trap"],
        ),
        (
            hostile().setting("open", "unavailable"),
            vec!["hostile", "on fire"],
        ),
        (
            hostile().setting("colour", "blue"),
            vec!["hostile", "colour"],
        ),
        (
            Options::new(Plugin::Minimal).setting("colour", "blue"),
            vec!["minimal", "colour"],
        ),
        (
            Options::new(Plugin::Memory).setting("max_trace", "3"),
            vec!["max_trace", "max_traces"],
        ),
        (
            Options::new(Plugin::Memory).setting("max_traces", "many"),
            vec!["max_traces", "many"],
        ),
    ] {
        let exit = options.run();
        assert!(!exit.status.success(), "{exit:?}");
        for part in told {
            assert!(exit.stderr.contains(part), "no {part:?} in {}", exit.stderr);
        }
    }
}

#[test]
fn a_plugin_that_spins_when_opened_keeps_the_server_from_starting() {
    let options = hostile().setting("open", "spin");
    let exit = options
        .environment("LARDER_LIMITS_CALL_TIMEOUT", "200ms")
        .run();
    assert!(!exit.status.success(), "{exit:?}");
    assert!(exit.stderr.contains("hostile"), "{}", exit.stderr);
}
