#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use super::*;
use crate::test_support::{all, key, put};

fn sorts(page: &Page) -> Vec<&str> {
    let entries = page.entries.iter();
    entries
        .map(|entry| str::from_utf8(&entry.sort).unwrap())
        .collect()
}

async fn namespace() -> (MemoryDriver, Arc<dyn Namespace>, Claim) {
    let driver = MemoryDriver::with_linger(Duration::ZERO);
    let namespace = driver.open("t").await.unwrap();
    let claim = namespace.claim("w").await.unwrap();
    (driver, namespace, claim)
}

#[tokio::test]
async fn a_commit_is_seen_by_get_and_scan() {
    let (_, kv, claim) = namespace().await;
    kv.commit(
        &claim,
        "p",
        vec![put("b", "2"), put("a", "1"), put("c", "3")],
    )
    .await
    .unwrap();
    kv.commit(&claim, "p", vec![Change::Delete("b".into())])
        .await
        .unwrap();

    let got = kv
        .get(&[key("p", "a"), key("p", "b"), key("q", "a")])
        .await
        .unwrap();
    assert_eq!(got, [Some(b"1".to_vec()), None, None]);
    let page = kv.scan("p", &all()).await.unwrap();
    assert_eq!((sorts(&page), page.more), (vec!["a", "c"], false));
    assert_eq!(kv.stored_bytes(), 4);
    assert_eq!(kv.writers().await.unwrap(), ["w"]);
}

#[tokio::test]
async fn a_scan_respects_its_range_direction_and_limits() {
    let (_, kv, claim) = namespace().await;
    let changes = ["a", "b", "c", "d"].map(|sort| put(sort, "v")).to_vec();
    kv.commit(&claim, "p", changes).await.unwrap();

    let middle = Scan {
        start: "b".into(),
        end: Some("d".into()),
        descending: true,
        ..all()
    };
    assert_eq!(sorts(&kv.scan("p", &middle).await.unwrap()), ["c", "b"]);
    let short = Scan {
        max_entries: 3,
        ..all()
    };
    let page = kv.scan("p", &short).await.unwrap();
    assert_eq!((sorts(&page), page.more), (vec!["a", "b", "c"], true));
    let tiny = Scan {
        max_bytes: 1,
        ..all()
    };
    let page = kv.scan("p", &tiny).await.unwrap();
    assert_eq!((sorts(&page), page.more), (vec!["a"], true));
    let backwards = Scan {
        start: "c".into(),
        end: Some("b".into()),
        ..all()
    };
    assert_eq!(kv.scan("p", &backwards).await.unwrap(), Page::default());
}

#[tokio::test]
async fn an_existing_object_is_not_changed() {
    let (_, kv, claim) = namespace().await;
    for value in ["first", "second"] {
        let object = Object {
            key: key("p", "o"),
            value: value.into(),
        };
        kv.put(&claim, vec![object]).await.unwrap();
    }
    assert_eq!(
        kv.get(&[key("p", "o")]).await.unwrap(),
        [Some(b"first".to_vec())]
    );
}

#[tokio::test]
async fn a_second_claim_fences_the_first() {
    let (_, kv, first) = namespace().await;
    let second = kv.claim("w").await.unwrap();
    assert_eq!(
        kv.commit(&first, "p", vec![put("a", "1")]).await,
        Err(Error::Fenced)
    );
    assert_eq!(kv.put(&first, vec![]).await, Err(Error::Fenced));
    assert_eq!(kv.reclaim(&first, "p").await, Err(Error::Fenced));
    kv.commit(&second, "p", vec![put("a", "1")]).await.unwrap();
}

#[tokio::test]
async fn a_renewed_namespace_is_empty_and_fences_the_old_one() {
    let (driver, old, claim) = namespace().await;
    old.commit(&claim, "p", vec![put("a", "1")]).await.unwrap();
    let new = driver.renew("t").await.unwrap();
    assert!(new.partitions().await.unwrap().is_empty());
    assert_eq!(
        old.commit(&claim, "p", vec![put("b", "2")]).await,
        Err(Error::Fenced)
    );
    assert_eq!(old.get(&[key("p", "a")]).await.unwrap(), [None]);
    let again = driver.open("t").await.unwrap();
    let claim = again.claim("w").await.unwrap();
    again
        .commit(&claim, "p", vec![put("c", "3")])
        .await
        .unwrap();
    assert_eq!(new.partitions().await.unwrap(), ["p"]);
}

#[tokio::test]
async fn a_forgotten_tenant_is_not_listed_and_its_namespace_is_fenced() {
    let (driver, old, claim) = namespace().await;
    old.commit(&claim, "p", vec![put("a", "1")]).await.unwrap();
    driver.forget("t").await.unwrap();
    driver.forget("t").await.unwrap();
    assert!(driver.tenants().await.unwrap().is_empty());
    let late = old.commit(&claim, "p", vec![put("b", "2")]).await;
    assert_eq!(late, Err(Error::Fenced));
    let again = driver.open("t").await.unwrap();
    assert!(again.partitions().await.unwrap().is_empty());
    assert_eq!(driver.tenants().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_reclaimed_partition_stays_readable_for_a_while_and_its_name_is_never_reused() {
    for (linger, expected) in [(Duration::ZERO, None), (LINGER, Some(b"1".to_vec()))] {
        let driver = MemoryDriver::with_linger(linger);
        let kv = driver.open("t").await.unwrap();
        let claim = kv.claim("w").await.unwrap();
        kv.commit(&claim, "p", vec![put("a", "1")]).await.unwrap();
        kv.reclaim(&claim, "p").await.unwrap();
        kv.reclaim(&claim, "p").await.unwrap();
        assert_eq!(kv.get(&[key("p", "a")]).await.unwrap(), [expected]);
        assert_eq!(kv.stored_bytes(), 0);
        assert!(kv.partitions().await.unwrap().is_empty());
        let again = kv.commit(&claim, "p", vec![put("a", "1")]).await;
        assert!(matches!(again, Err(Error::Other(_))), "{again:?}");
    }
}

#[tokio::test]
async fn a_tenant_over_its_quota_may_reclaim_but_not_put() {
    let (driver, kv, claim) = namespace().await;
    let other = driver.open("other").await.unwrap();
    driver.set_quotas(Quotas {
        default: None,
        own: [("t".to_owned(), Some(3))].into(),
    });
    let object = |sort: &str| {
        let key = key("p", sort);
        let value = vec![1; 2];
        vec![Object { key, value }]
    };
    kv.put(&claim, object("a")).await.unwrap();
    let refused = kv.put(&claim, object("b")).await;
    assert!(matches!(refused, Err(Error::QuotaExceeded(_))));
    kv.commit(&claim, "q", vec![put("note", "1")])
        .await
        .unwrap();
    let claim = other.claim("w").await.unwrap();
    for sort in ["a", "b"] {
        other.put(&claim, object(sort)).await.unwrap();
    }
}
