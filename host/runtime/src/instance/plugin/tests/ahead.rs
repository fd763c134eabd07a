//! What a request has read ahead is what the refresh for it is told.

use larder_store::SharedMemory;
use tokio::time::timeout;

use super::shared::{answered, guest, open_limited, open_observed, write};
use super::*;

/// What a reader knows is what its last refresh found.
fn remembering() -> Guest {
    let guest = guest().and("(global $found (mut i32) (i32.const 4096))");
    guest
        .with(
            "refresh",
            "(global.set $found (call $find)) (i32.const 4096)",
        )
        .with("services", "(global.get $found)")
}

#[tokio::test]
async fn a_refresh_is_told_what_its_request_has_read_ahead_and_no_other() {
    let store = SharedMemory::new();
    let (host_a, host_b) = (store.host("a"), store.host("b"));
    let a = open_observed(&host_a, remembering(), None).await;
    let b = open_observed(&host_b, remembering(), None).await;
    // From here on it is known what a refresh begins with.
    let first = storage(&b);
    first.look_ahead().await;
    assert!(first.services().await.unwrap().is_empty());
    let early = storage(&b);
    early.look_ahead().await;
    write(&a).await.unwrap();
    let found = early.services().await.unwrap();
    assert!(found.is_empty(), "it was read before the write");
    assert_eq!(services(&b).await, ["guest"], "a request that began later");
    assert_eq!(early.services().await.unwrap(), ["guest"], "never back");
    let late = storage(&b);
    late.look_ahead().await;
    assert_eq!(late.services().await.unwrap(), ["guest"]);
}

#[tokio::test]
async fn what_was_read_ahead_of_a_purge_is_not_told() {
    let store = SharedMemory::new();
    let (host_a, host_b) = (store.host("a"), store.host("b"));
    let a = open_observed(&host_a, remembering(), None).await;
    let b = open_observed(&host_b, remembering(), None).await;
    write(&a).await.unwrap();
    let first = storage(&b);
    first.look_ahead().await;
    assert_eq!(first.services().await.unwrap(), ["guest"]);
    let request = storage(&b);
    request.look_ahead().await;
    a.purge().await.unwrap();
    assert!(answered(&request).await.is_empty());
}

#[tokio::test]
async fn a_host_that_opens_has_searched_before_anybody_asks() {
    let store = SharedMemory::new();
    let (host_a, host_b) = (store.host("a"), store.host("b"));
    let a = open_observed(&host_a, guest(), None).await;
    write(&a).await.unwrap();
    let searched = guest()
        .and("(global $found (mut i32) (i32.const 4096))")
        .with("find", "(global.set $found (call $find)) (i32.const 4096)")
        .with("services", "(global.get $found)");
    let one_reader = Limits {
        readers: 1,
        ..limits()
    };
    let b = open_limited(&host_b, searched, None, one_reader).await;
    let is_searched = async {
        while services(&b).await.is_empty() {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_mins(1), is_searched).await.unwrap();
    assert_eq!(services(&b).await, ["guest"]);
}
