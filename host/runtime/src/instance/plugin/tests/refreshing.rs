//! Readers are refreshed once for each request that asks them, and for what it has written.

use super::*;
use crate::test_support::guest::KV;

/// Counts refreshes.
const REFRESH: &str =
    "(global.set $writes (i32.add (global.get $writes) (i32.const 1))) (i32.const 4096)";

/// `services`: one if there were so many refreshes, else none.
fn if_refreshed(times: u32) -> String {
    format!(
        "(select (i32.const 5120) (i32.const 4096) (i32.eq (global.get $writes) (i32.const {times})))"
    )
}

/// A plugin that writes nothing, and tells by `services` whether it was refreshed so many times.
async fn counting(times: u32) -> Arc<Plugin> {
    let guest = Guest::new().replicated().and(KV);
    let guest = guest
        .with("refresh", REFRESH)
        .with("services", &if_refreshed(times));
    open(guest).await.tenant
}

async fn is_so(storage: &Arc<dyn Storage>) -> bool {
    !storage.services().await.unwrap().is_empty()
}

#[tokio::test]
async fn a_request_has_an_instance_refreshed_once() {
    let tenant = counting(2).await;
    let first = storage(&tenant);
    for _ in 0..3 {
        assert!(!is_so(&first).await);
        first.operations("x").await.unwrap();
    }
    let second = storage(&tenant);
    for _ in 0..3 {
        assert!(is_so(&second).await);
        assert!(is_so(&first).await, "it knows all that the first needs");
    }
    assert!(!is_so(&storage(&tenant)).await);
}

#[tokio::test]
async fn what_a_request_has_written_is_seen_by_its_next_read() {
    let tenant = counting(2).await;
    let storage = storage(&tenant);
    assert!(!is_so(&storage).await);
    storage.write(batch(1, b"spans")).await.unwrap();
    for _ in 0..3 {
        assert!(is_so(&storage).await);
    }
}

/// Requests that wait for instances at the same time, and more of them than there are instances.
#[tokio::test]
async fn every_request_sees_what_was_acknowledged_before_it() {
    // What a reader knows is what it got by its last refresh.
    let guest = Guest::new().replicated().and(KV);
    let guest = guest
        .with("write", "(call $write)")
        .with(
            "refresh",
            "(global.set $writes (i32.eq (call $find) (i32.const 5120))) (i32.const 4096)",
        )
        .with(
            "services",
            "(select (i32.const 5120) (i32.const 4096) (global.get $writes))",
        );
    let Opened { tenant, .. } = open(guest).await;
    let before: Vec<_> = (0..8).map(|_| storage(&tenant)).collect();
    for storage in &before {
        assert!(!is_so(storage).await);
    }
    tenant.write(batch(1, b"spans")).await.unwrap();
    let after: Vec<_> = (0..8).map(|_| storage(&tenant)).collect();
    let asked = after.iter().map(|it| it.services());
    for found in futures_util::future::join_all(asked).await {
        assert_eq!(found.unwrap(), ["guest"]);
    }
}

#[tokio::test]
async fn a_refresh_that_is_refused_is_the_answer_and_the_next_request_tries_again() {
    for (case, kind) in [
        (1, ErrorKind::ResourceExhausted),
        (2, ErrorKind::Unavailable),
        (3, ErrorKind::DataLoss),
        (4, ErrorKind::ContractBroken),
    ] {
        // Every second time.
        let refresh = format!(
            "(global.set $writes (i32.eqz (global.get $writes)))
             (i32.store8 (i32.const 6148) (i32.const {case}))
             (select (i32.const 6144) (i32.const 4096) (global.get $writes))"
        );
        let guest = Guest::new().replicated().and(KV);
        let guest = guest
            .with("refresh", &refresh)
            .with("services", ONE_SERVICE);
        let Opened { tenant, .. } = open(guest).await;
        let storage = storage(&tenant);
        assert_eq!(storage.services().await.unwrap_err().kind(), kind);
        assert_eq!(storage.services().await.unwrap(), ["guest"]);
        assert_eq!(tenant.status().restarts, 0);
    }
}

#[tokio::test]
async fn a_refresh_that_traps_ends_the_instance() {
    let guest = Guest::new().replicated().and(KV);
    let guest = guest.with("refresh", "(unreachable)");
    let Opened { tenant, .. } = open(guest).await;
    let error = storage(&tenant).services().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(tenant.status().restarts, 1);
}

#[tokio::test]
async fn an_exclusive_plugin_is_not_refreshed() {
    let guest = Guest::new().with("refresh", "(unreachable)");
    let Opened { tenant, .. } = open(guest.with("services", ONE_SERVICE)).await;
    assert_eq!(services(&tenant).await, ["guest"]);
}
