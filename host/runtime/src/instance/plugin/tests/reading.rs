//! Readers that keep failing beside a writer that does not: the tenant says so for as long as they have to wait.

use super::*;
use crate::test_support::guest::KV;

const FOR_LONG: Duration = Duration::from_hours(1);

/// A plugin whose readers failed twice in a row and have to wait for `restart_delay`.
async fn down(restart_delay: Duration) -> Arc<Plugin> {
    let guest = Guest::new().replicated().and(KV);
    let guest = guest
        .with("write", "(call $write)")
        .with("services", "(unreachable)");
    let limits = Limits {
        restart_delay,
        ..limits()
    };
    let Opened { tenant, .. } = open_with(guest, limits).await;
    let storage = storage(&tenant);
    storage.services().await.unwrap_err();
    assert_eq!(tenant.status().state, State::Ready, "the next is at once");
    storage.services().await.unwrap_err();
    tenant
}

#[tokio::test]
async fn a_tenant_whose_readers_have_to_wait_says_so_and_takes_writes() {
    let tenant = down(FOR_LONG).await;
    assert!(!*tenant.ready().borrow());
    let reason = "a trap, of those that read; writes are taken".to_owned();
    assert_eq!(tenant.status().state, State::Restarting { reason });
    assert_eq!(tenant.gauges().ready, 0);
    let storage = storage(&tenant);
    let error = storage.operations("x").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    storage.write(batch(1, b"spans")).await.unwrap();
    assert!(!*tenant.ready().borrow(), "a write mends no reader");
}

#[tokio::test]
async fn readers_that_had_to_wait_come_back_without_being_asked() {
    let tenant = down(Duration::from_millis(1)).await;
    until_ready(&tenant).await;
    assert_eq!(tenant.status().state, State::Ready);
    let storage = storage(&tenant);
    assert!(storage.operations("x").await.unwrap().is_empty());
}

#[tokio::test]
async fn a_purge_gives_readers_that_wait_a_fresh_chance() {
    let tenant = down(FOR_LONG).await;
    tenant.purge().await.unwrap();
    assert_eq!(tenant.status().state, State::Ready);
    assert!(*tenant.ready().borrow());
    let storage = storage(&tenant);
    assert!(storage.operations("x").await.unwrap().is_empty());
}
