//! Partitions that are reclaimed.

use super::Subject;
use super::fixture::{assert_never_again, noise, open};
use crate::Page;
use crate::test_support::{all, key};

pub async fn a_reclaimed_partition_is_not_listed_and_its_name_is_never_used_again(
    subject: &dyn Subject,
) {
    let mut kv = open(subject).await;
    for partition in ["old", "objects", "kept"] {
        kv.put(partition, "o", noise(5000, 1)).await.unwrap();
    }
    for partition in ["old", "entries", "kept"] {
        kv.commit(partition, "e", "1").await.unwrap();
    }
    let gone = ["old", "objects", "entries"];
    for partition in gone {
        kv.reclaim(partition).await.unwrap();
    }
    for _ in 0..2 {
        assert_eq!(kv.partitions().await, ["kept"]);
        for partition in gone {
            assert_never_again(&kv.commit(partition, "e", "again").await);
            assert_never_again(&kv.put(partition, "new", "again").await);
        }
        // Nor under a later claim.
        kv.claim = kv.kv.claim(&kv.claim.writer).await.unwrap();
    }
    let keys = ["o", "e"].map(|sort| key("kept", sort));
    let got = kv.kv.get(&keys).await.unwrap();
    assert_eq!(got, [Some(noise(5000, 1)), Some(b"1".to_vec())]);
    kv.commit("kept", "e", "2").await.unwrap();
    kv.put("kept", "new", "2").await.unwrap();
}

pub async fn a_reclaimed_partition_lingers(subject: &dyn Subject) {
    let kv = open(subject).await;
    kv.put("p", "o", noise(5000, 1)).await.unwrap();
    kv.commit("p", "e", "1").await.unwrap();
    let before = kv.kv.scan("p", &all()).await.unwrap();
    assert_eq!(before.entries.len(), 2);
    kv.reclaim("p").await.unwrap();
    // A writer that goes on does not end it.
    kv.commit("q", "e", "1").await.unwrap();
    kv.reclaim("p").await.unwrap();
    let (values, page) = if subject.lingers() {
        ([Some(noise(5000, 1)), Some(b"1".to_vec())], before)
    } else {
        ([None, None], Page::default())
    };
    let keys = ["o", "e"].map(|sort| key("p", sort));
    assert_eq!(kv.kv.get(&keys).await.unwrap(), values);
    assert_eq!(kv.kv.scan("p", &all()).await.unwrap(), page);
}

pub async fn a_reclaim_can_be_repeated_and_may_come_before_the_first_write(subject: &dyn Subject) {
    let kv = open(subject).await;
    kv.commit("p", "a", "1").await.unwrap();
    for _ in 0..3 {
        kv.reclaim("p").await.unwrap();
        kv.reclaim("never written").await.unwrap();
    }
    assert!(kv.partitions().await.is_empty());
    for partition in ["p", "never written"] {
        assert_never_again(&kv.commit(partition, "a", "1").await);
        assert_never_again(&kv.put(partition, "o", "1").await);
    }
}

pub async fn a_reclaim_does_not_touch_partitions_with_similar_names(subject: &dyn Subject) {
    let kv = open(subject).await;
    let names = ["p", "p/", "p/1", "p/10", "p1", "P"];
    for name in names {
        kv.put(name, "o", name).await.unwrap();
        kv.commit(name, "e", name).await.unwrap();
    }
    kv.reclaim("p/1").await.unwrap();
    for name in names.into_iter().filter(|name| *name != "p/1") {
        let page = kv.kv.scan(name, &all()).await.unwrap();
        assert_eq!(page.entries.len(), 2, "{name}");
        kv.commit(name, "e", "on").await.unwrap();
        assert_eq!(kv.get(name, "o").await, Some(name.into()));
    }
    assert_eq!(kv.partitions().await, ["P", "p", "p/", "p/10", "p1"]);
}
