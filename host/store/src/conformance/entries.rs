//! Commits, and what gets and scans see of them.

use super::Subject;
use super::fixture::{assert_fenced, assert_never_again, entry, key_of, noise, object, open, set};
use crate::test_support::{all, key, put};
use crate::{Change, Entry, Page};

pub async fn a_commit_is_seen_by_get_and_scan(subject: &dyn Subject) {
    let kv = open(subject).await;
    let changes = vec![put("b", "2"), put("a", "1"), put("c", "3")];
    kv.kv.commit(&kv.claim, "p", changes).await.unwrap();
    let changes = vec![Change::Delete("b".into()), put("c", "4")];
    kv.kv.commit(&kv.claim, "p", changes).await.unwrap();

    let keys = [key("p", "a"), key("p", "b"), key("p", "c"), key("q", "a")];
    let got = kv.kv.get(&keys).await.unwrap();
    assert_eq!(got, [Some(b"1".to_vec()), None, Some(b"4".to_vec()), None]);
    let due = Page {
        entries: vec![entry(b"a", b"1"), entry(b"c", b"4")],
        more: false,
    };
    assert_eq!(kv.kv.scan("p", &all()).await.unwrap(), due);
    assert_eq!(kv.partitions().await, ["p"]);
    assert!(kv.driver.has_room());
}

pub async fn a_get_answers_in_the_order_of_its_keys(subject: &dyn Subject) {
    let kv = open(subject).await;
    for (partition, sort) in [("p", "a"), ("p", "b"), ("q", "a")] {
        let value = format!("{partition}{sort}");
        kv.commit(partition, sort, value).await.unwrap();
    }
    kv.put("q", "object", "qobject").await.unwrap();
    let due = [
        ("q", "object"),
        ("p", "b"),
        ("none", "a"),
        ("q", "a"),
        ("p", "missing"),
        ("p", "b"),
        ("p", "a"),
    ];
    let keys = due.map(|(partition, sort)| key(partition, sort));
    let got = kv.kv.get(&keys).await.unwrap();
    let due = due.map(|(partition, sort)| {
        let is_there = partition != "none" && sort != "missing";
        is_there.then(|| format!("{partition}{sort}").into_bytes())
    });
    assert_eq!(got, due);
    assert!(kv.kv.get(&[]).await.unwrap().is_empty());
}

pub async fn a_refused_commit_changes_nothing(subject: &dyn Subject) {
    let kv = open(subject).await;
    kv.commit("p", "a", "1").await.unwrap();
    kv.commit("gone", "a", "1").await.unwrap();
    kv.reclaim("gone").await.unwrap();
    let changes = || vec![put("a", "2"), put("b", "2"), Change::Delete("a".into())];
    let refused = kv.kv.commit(&kv.claim, "gone", changes()).await;
    assert_never_again(&refused);
    let late = kv.claim.clone();
    kv.kv.claim(&late.writer).await.unwrap();
    assert_fenced(&kv.kv.commit(&late, "p", changes()).await);
    assert_fenced(&kv.kv.commit(&late, "new", changes()).await);

    let page = kv.kv.scan("p", &all()).await.unwrap();
    assert_eq!(page.entries, [entry(b"a", b"1")]);
    assert_eq!(kv.kv.scan("new", &all()).await.unwrap(), Page::default());
    assert_eq!(kv.get("gone", "b").await, None);
}

pub async fn the_last_change_of_a_key_in_a_commit_counts(subject: &dyn Subject) {
    let kv = open(subject).await;
    kv.commit("p", "d", "before").await.unwrap();
    let changes = vec![
        put("a", "1"),
        put("a", "2"),
        put("b", "1"),
        Change::Delete("b".into()),
        Change::Delete("c".into()),
        put("c", "1"),
        Change::Delete("d".into()),
        put("d", "after"),
    ];
    kv.kv.commit(&kv.claim, "p", changes).await.unwrap();
    let page = kv.kv.scan("p", &all()).await.unwrap();
    let due = [entry(b"a", b"2"), entry(b"c", b"1"), entry(b"d", b"after")];
    assert_eq!(page.entries, due);
}

pub async fn a_delete_of_what_is_not_there_changes_nothing(subject: &dyn Subject) {
    let kv = open(subject).await;
    kv.commit("p", "a", "1").await.unwrap();
    for partition in ["p", "q"] {
        let changes = vec![Change::Delete("b".into())];
        kv.kv.commit(&kv.claim, partition, changes).await.unwrap();
    }
    let page = kv.kv.scan("p", &all()).await.unwrap();
    assert_eq!(page.entries, [entry(b"a", b"1")]);
    assert_eq!(kv.kv.scan("q", &all()).await.unwrap(), Page::default());
    // Both partitions go on.
    for partition in ["p", "q"] {
        kv.commit(partition, "b", "2").await.unwrap();
        assert_eq!(kv.get(partition, "b").await, Some(b"2".to_vec()));
    }
}

pub async fn a_commit_changes_its_partition_alone(subject: &dyn Subject) {
    let kv = open(subject).await;
    let names = ["p", "p/", "p/1", "p1", "q"];
    for name in names {
        kv.commit(name, "a", name).await.unwrap();
        kv.commit(name, "b", name).await.unwrap();
    }
    let changes = vec![Change::Delete("a".into()), put("b", "changed")];
    kv.kv.commit(&kv.claim, "p/", changes).await.unwrap();
    for name in names.into_iter().filter(|name| *name != "p/") {
        let page = kv.kv.scan(name, &all()).await.unwrap();
        let due = ["a", "b"].map(|sort| entry(sort.as_bytes(), name.as_bytes()));
        assert_eq!(page.entries, due, "{name}");
    }
    let page = kv.kv.scan("p/", &all()).await.unwrap();
    assert_eq!(page.entries, [entry(b"b", b"changed")]);
}

pub async fn an_empty_value_is_a_value_and_an_empty_sort_key_is_a_key(subject: &dyn Subject) {
    let kv = open(subject).await;
    kv.commit("entries", "", "first").await.unwrap();
    kv.commit("entries", "empty", "").await.unwrap();
    kv.put("objects", "", "first").await.unwrap();
    kv.put("objects", "empty", "").await.unwrap();
    for partition in ["entries", "objects"] {
        assert_eq!(kv.get(partition, "").await, Some(b"first".to_vec()));
        assert_eq!(kv.get(partition, "empty").await, Some(Vec::new()));
        assert_eq!(kv.get(partition, "none").await, None);
        let page = kv.kv.scan(partition, &all()).await.unwrap();
        let due = [entry(b"", b"first"), entry(b"empty", b"")];
        assert_eq!(page.entries, due, "{partition}");
    }
    let changes = vec![Change::Delete(Vec::new()), Change::Delete("empty".into())];
    kv.kv.commit(&kv.claim, "entries", changes).await.unwrap();
    let page = kv.kv.scan("entries", &all()).await.unwrap();
    assert_eq!(page, Page::default());
}

pub async fn values_are_kept_byte_for_byte(subject: &dyn Subject) {
    let kv = open(subject).await;
    let mut values: Vec<Vec<u8>> = vec![(0..=u8::MAX).collect(), vec![0], vec![0xff; 3]];
    for length in [1, 127, 128, 129, 4095, 4096, 4097, 65_535, 65_537] {
        values.push(vec![7; length]);
        values.push(noise(length, length as u64));
    }
    let named = |n: usize| format!("{n:02}");
    for (n, value) in values.iter().enumerate() {
        let sort = named(n);
        kv.commit("entries", &sort, value.clone()).await.unwrap();
        let object = object("objects", &sort, value.clone());
        kv.kv.put(&kv.claim, vec![object]).await.unwrap();
    }
    for partition in ["entries", "objects"] {
        let sorts = (0..values.len()).map(named);
        let keys: Vec<_> = sorts
            .clone()
            .map(|sort| key_of(partition, sort.as_bytes()))
            .collect();
        let got = kv.kv.get(&keys).await.unwrap();
        for (got, value) in got.iter().zip(&values) {
            assert!(got.as_ref() == Some(value), "{} bytes", value.len());
        }
        let page = kv.kv.scan(partition, &all()).await.unwrap();
        let entries = sorts.zip(values.clone()).map(|(sort, value)| Entry {
            sort: sort.into_bytes(),
            value,
        });
        assert!(page.entries == entries.collect::<Vec<_>>(), "{partition}");
    }
}

pub async fn what_is_synced_is_there(subject: &dyn Subject) {
    let kv = open(subject).await;
    let generation = kv.kv.generation();
    let changes = vec![set(b"a", b"1")];
    kv.kv.commit(&kv.claim, "p", changes).await.unwrap();
    kv.kv.sync(generation).await.unwrap();
    // Without writes too, and several times at once.
    let (first, second) = tokio::join!(kv.kv.sync(generation), kv.kv.sync(generation));
    first.and(second).unwrap();
    assert_eq!(kv.kv.generation(), generation);
    assert_eq!(kv.get("p", "a").await, Some(b"1".to_vec()));
}
