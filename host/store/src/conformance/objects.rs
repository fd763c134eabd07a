//! Objects, and entries beside them.

use super::Subject;
use super::fixture::{entry, key_of, noise, object, open};
use crate::Change;
use crate::test_support::{all, key, put};

pub async fn an_existing_object_is_not_changed(subject: &dyn Subject) {
    let kv = open(subject).await;
    kv.put("p", "a", "first").await.unwrap();
    let objects = ["a", "b"].map(|sort| object("p", sort, "second"));
    for _ in 0..2 {
        kv.kv.put(&kv.claim, objects.to_vec()).await.unwrap();
    }
    let due = [entry(b"a", b"first"), entry(b"b", b"second")];
    let page = kv.kv.scan("p", &all()).await.unwrap();
    assert_eq!(page.entries, due);
    for due in due {
        let got = kv.kv.get(&[key_of("p", &due.sort)]).await.unwrap();
        assert_eq!(got, [Some(due.value)]);
    }
    // Nor by a later claim.
    let later = kv.kv.claim(&kv.claim.writer).await.unwrap();
    let objects = vec![object("p", "a", noise(1000, 1))];
    kv.kv.put(&later, objects).await.unwrap();
    assert_eq!(kv.get("p", "a").await, Some(b"first".to_vec()));
}

pub async fn an_object_does_not_change_an_entry_of_its_key(subject: &dyn Subject) {
    let kv = open(subject).await;
    kv.commit("p", "a", "entry").await.unwrap();
    kv.put("p", "a", "object").await.unwrap();
    assert_eq!(kv.get("p", "a").await, Some(b"entry".to_vec()));
    let page = kv.kv.scan("p", &all()).await.unwrap();
    assert_eq!(page.entries, [entry(b"a", b"entry")]);
}

pub async fn objects_and_entries_of_a_partition_are_seen_together(subject: &dyn Subject) {
    let kv = open(subject).await;
    let objects = ["b", "d"].map(|sort| object("p", sort, "object"));
    kv.kv.put(&kv.claim, objects.to_vec()).await.unwrap();
    let changes = ["a", "c", "e"].map(|sort| put(sort, "entry"));
    kv.kv
        .commit(&kv.claim, "p", changes.to_vec())
        .await
        .unwrap();
    let due = [
        entry(b"a", b"entry"),
        entry(b"b", b"object"),
        entry(b"c", b"entry"),
        entry(b"d", b"object"),
        entry(b"e", b"entry"),
    ];
    let page = kv.kv.scan("p", &all()).await.unwrap();
    assert_eq!((&page.entries[..], page.more), (&due[..], false));
    let keys = ["a", "b", "c", "d", "e"].map(|sort| key("p", sort));
    let got = kv.kv.get(&keys).await.unwrap();
    assert_eq!(got, due.map(|entry| Some(entry.value)));
    assert_eq!(kv.partitions().await, ["p"]);
}

/// As a repair does it.
pub async fn a_commit_replaces_and_deletes_an_object(subject: &dyn Subject) {
    let kv = open(subject).await;
    for sort in ["a", "b", "c"] {
        kv.put("p", sort, noise(2000, 1)).await.unwrap();
    }
    let changes = vec![put("a", "replaced"), Change::Delete("b".into())];
    kv.kv.commit(&kv.claim, "p", changes).await.unwrap();
    let due = [entry(b"a", b"replaced"), entry(b"c", &noise(2000, 1))];
    for _ in 0..2 {
        let page = kv.kv.scan("p", &all()).await.unwrap();
        assert_eq!(page.entries, due);
        let keys = ["a", "b", "c"].map(|sort| key("p", sort));
        let got = kv.kv.get(&keys).await.unwrap();
        let [a, c] = due.clone().map(|entry| Some(entry.value));
        assert_eq!(got, [a, None, c]);
        // The object that was replaced stays so.
        kv.put("p", "a", "again").await.unwrap();
    }
    // And what is deleted can be put again, as any other object.
    kv.put("p", "b", "anew").await.unwrap();
    assert_eq!(kv.get("p", "b").await, Some(b"anew".to_vec()));
    let changes = vec![Change::Delete("a".into()), Change::Delete("b".into())];
    kv.kv.commit(&kv.claim, "p", changes).await.unwrap();
    let page = kv.kv.scan("p", &all()).await.unwrap();
    assert_eq!(page.entries, due[1..]);
}

pub async fn one_put_may_write_to_many_partitions(subject: &dyn Subject) {
    let kv = open(subject).await;
    let place = |n: u64| (format!("p{}", n % 7), format!("{n:03}"));
    let objects = (0..200).map(|n| {
        let (partition, sort) = place(n);
        object(&partition, &sort, noise(500, n))
    });
    let objects: Vec<_> = objects.collect();
    kv.kv.put(&kv.claim, objects.clone()).await.unwrap();
    let keys: Vec<_> = objects.iter().map(|object| object.key.clone()).collect();
    let got = kv.kv.get(&keys).await.unwrap();
    for (object, got) in objects.iter().zip(got) {
        assert!(got.as_ref() == Some(&object.value), "{:?}", object.key);
    }
    let names: Vec<_> = (0..7).map(|n| format!("p{n}")).collect();
    assert_eq!(kv.partitions().await, names);
    let page = kv.kv.scan("p3", &all()).await.unwrap();
    assert_eq!(page.entries.len(), 29);
}
