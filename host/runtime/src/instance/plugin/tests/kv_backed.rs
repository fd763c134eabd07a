//! Plugins with `replicated` instancing: one writer, readers beside it, and kv between them.

use super::*;
use crate::test_support::guest::KV;

fn guest() -> Guest {
    let guest = Guest::new().replicated().and(KV);
    guest
        .with("write", "(call $write)")
        .with("services", "(call $find)")
}

#[tokio::test]
async fn readers_see_what_the_writer_commits() {
    let Opened { tenant, .. } = open(guest()).await;
    assert_eq!(tenant.status().instancing, Instancing::Replicated);
    assert!(services(&tenant).await.is_empty());
    tenant.write(batch(1, b"spans")).await.unwrap();
    assert_eq!(services(&tenant).await, ["guest"]);
}

#[tokio::test]
async fn a_purge_gives_writer_and_readers_an_empty_namespace() {
    let Opened { tenant, .. } = open(guest()).await;
    tenant.write(batch(1, b"spans")).await.unwrap();
    assert_eq!(services(&tenant).await, ["guest"]);
    tenant.purge().await.unwrap();
    assert!(services(&tenant).await.is_empty());
    tenant.write(batch(1, b"spans")).await.unwrap();
    assert_eq!(services(&tenant).await, ["guest"]);
}

#[tokio::test]
async fn a_writer_that_traps_loses_nothing() {
    let guest = guest()
        .with("maintain", OTHER)
        .with("write", "(drop (call $write)) (unreachable)");
    let Opened { tenant, .. } = open(guest).await;
    let error = tenant.write(batch(1, b"spans")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(services(&tenant).await, ["guest"]);
}

#[tokio::test]
async fn a_reader_cannot_commit() {
    let guest = guest().with("services", "(call $write)");
    let Opened { tenant, .. } = open(guest).await;
    let error = storage(&tenant).services().await.unwrap_err();
    assert!(error.message().contains("other: no"), "{error}");
}

#[tokio::test]
async fn readers_answer_while_the_writer_is_busy() {
    let guest = guest().with("write", SPIN).with("services", ONE_SERVICE);
    let limits = Limits {
        call_timeout: Duration::from_millis(500),
        ..limits()
    };
    let Opened { tenant, .. } = open_with(guest, limits).await;
    let write = {
        let tenant = Arc::clone(&tenant);
        tokio::spawn(async move { tenant.write(batch(1, b"spans")).await })
    };
    tokio::task::yield_now().await;
    assert_eq!(services(&tenant).await, ["guest"]);
    assert!(!write.is_finished());
    write.await.unwrap().unwrap_err();
}

#[tokio::test]
async fn a_reader_that_traps_is_replaced_and_does_not_touch_the_writer() {
    let guest = guest().with("services", "(unreachable)");
    let Opened { tenant, .. } = open(guest).await;
    let error = storage(&tenant).services().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(storage(&tenant).operations("x").await.unwrap().is_empty());
    assert!(*tenant.ready().borrow());
    tenant.write(batch(1, b"spans")).await.unwrap();
    assert_eq!(tenant.status().restarts, 1);
}

#[tokio::test]
async fn readers_are_made_as_they_are_needed_and_no_more_than_allowed() {
    let guest = guest().with("services", SPIN);
    let limits = Limits {
        call_timeout: Duration::from_millis(200),
        readers: 2,
        ..limits()
    };
    let Opened { tenant, .. } = open_with(guest, limits).await;
    let one_instance = tenant.status().memory_used;
    let reads: Vec<_> = (0..4)
        .map(|_| {
            let tenant = Arc::clone(&tenant);
            tokio::spawn(async move { storage(&tenant).services().await })
        })
        .collect();
    let mut most = 0;
    while !reads.iter().all(JoinHandle::is_finished) {
        most = most.max(tenant.status().memory_used);
        tokio::task::yield_now().await;
    }
    assert_eq!(most, 3 * one_instance, "the writer and two readers");
}

#[tokio::test]
async fn a_reader_whose_caller_has_gone_is_not_lost() {
    // Takes several ticks the first time, and gives a service from then on.
    let slow_once = "
        (local $i i32)
        (if (global.get $writes) (then (return (i32.const 5120))))
        (loop $next
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br_if $next (i32.lt_u (local.get $i) (i32.const 0x10000000))))
        (global.set $writes (i32.const 1))
        (i32.const 4096)";
    let limits = Limits {
        readers: 1,
        ..limits()
    };
    let guest = guest().with("services", slow_once);
    let Opened { tenant, .. } = open_with(guest, limits).await;
    let storage = storage(&tenant);
    let mut asked = Box::pin(storage.services());
    assert!(futures_util::poll!(asked.as_mut()).is_pending());
    drop(asked);
    assert_eq!(
        services(&tenant).await,
        ["guest"],
        "the same instance answers, as its call came to its end"
    );
    assert_eq!(tenant.status().restarts, 0);
}
