//! Ranges, directions and limits of scans.

use super::Subject;
use super::fixture::{Opened, entry, key_of, object, open, pages, set};
use crate::test_support::{all, put};
use crate::{Change, Entry, Object, Page, Scan};

/// Sort keys that are in order, and of which several begin with another one.
const SORTS: [&[u8]; 14] = [
    b"",
    b"\x00",
    b"\x00\x00",
    b"\x00\x01",
    b"\x00\xff",
    b"\x01",
    b"a",
    b"a\x00",
    b"a\x00\x00",
    b"a\xff",
    b"b",
    b"\x7f\xff",
    b"\xff",
    b"\xff\xff",
];

fn sorts(page: &Page) -> Vec<&str> {
    let entries = page.entries.iter();
    entries
        .map(|entry| str::from_utf8(&entry.sort).unwrap())
        .collect()
}

async fn with(subject: &dyn Subject, letters: &str) -> Opened {
    let kv = open(subject).await;
    let changes = letters.chars().map(|sort| put(&sort.to_string(), "v"));
    let changes = changes.collect();
    kv.kv.commit(&kv.claim, "p", changes).await.unwrap();
    kv
}

fn from_to(start: &str, end: &str) -> Scan {
    Scan {
        start: start.into(),
        end: Some(end.into()),
        ..all()
    }
}

pub async fn a_scan_keeps_to_its_range_and_direction(subject: &dyn Subject) {
    let kv = with(subject, "abcd").await;
    for (start, end, due) in [
        ("b", Some("d"), vec!["b", "c"]),
        ("b", None, vec!["b", "c", "d"]),
        ("", Some("c"), vec!["a", "b"]),
        ("aa", Some("cc"), vec!["b", "c"]),
        ("a\0", Some("b\0"), vec!["b"]),
        ("e", None, vec![]),
        ("", Some("a"), vec![]),
    ] {
        let mut scan = Scan {
            start: start.into(),
            end: end.map(Into::into),
            ..all()
        };
        let page = kv.kv.scan("p", &scan).await.unwrap();
        assert_eq!((sorts(&page), page.more), (due.clone(), false), "{scan:?}");
        scan.descending = true;
        let page = kv.kv.scan("p", &scan).await.unwrap();
        let due = due.into_iter().rev().collect();
        assert_eq!((sorts(&page), page.more), (due, false), "{scan:?}");
    }
}

pub async fn sort_keys_are_ordered_by_their_bytes(subject: &dyn Subject) {
    let kv = open(subject).await;
    let changes = SORTS.iter().rev().map(|sort| set(sort, sort)).collect();
    kv.kv.commit(&kv.claim, "entries", changes).await.unwrap();
    let objects = SORTS.iter().rev().map(|sort| Object {
        key: key_of("objects", sort),
        value: sort.to_vec(),
    });
    kv.kv.put(&kv.claim, objects.collect()).await.unwrap();
    for partition in ["entries", "objects"] {
        for (from, start) in SORTS.iter().enumerate() {
            for (to, end) in SORTS.iter().enumerate().skip(from) {
                let mut scan = Scan {
                    start: start.to_vec(),
                    end: Some(end.to_vec()),
                    ..all()
                };
                let mut due: Vec<Entry> = SORTS[from..to].iter().map(|it| entry(it, it)).collect();
                let page = kv.kv.scan(partition, &scan).await.unwrap();
                assert_eq!(page.entries, due, "{scan:?}");
                scan.descending = true;
                due.reverse();
                let page = kv.kv.scan(partition, &scan).await.unwrap();
                assert_eq!(page.entries, due, "{scan:?}");
            }
        }
    }
}

pub async fn pages_continue_exactly_once_in_both_directions(subject: &dyn Subject) {
    let kv = open(subject).await;
    let mut due: Vec<Entry> = SORTS.iter().map(|sort| entry(sort, b"entry")).collect();
    let changes = due.iter().cloned().map(Change::Put).collect();
    kv.kv.commit(&kv.claim, "p", changes).await.unwrap();
    // Objects between them.
    let objects: Vec<Object> = (0..30)
        .map(|n| object("p", &format!("a{n:02}"), "object"))
        .collect();
    due.extend(objects.iter().map(|object| Entry {
        sort: object.key.sort.clone(),
        value: object.value.clone(),
    }));
    due.sort_by(|a, b| a.sort.cmp(&b.sort));
    kv.kv.put(&kv.claim, objects).await.unwrap();
    for max_entries in [1, 2, 3, 7, 43, 44, 45] {
        for max_bytes in [1, 20, u32::MAX] {
            let mut scan = Scan {
                max_entries,
                max_bytes,
                ..all()
            };
            assert_eq!(pages(&*kv.kv, "p", &scan).await, due, "{scan:?}");
            scan.descending = true;
            let mut found = pages(&*kv.kv, "p", &scan).await;
            found.reverse();
            assert_eq!(found, due, "{scan:?}");
        }
    }
}

pub async fn a_page_has_an_entry_if_the_range_has_one(subject: &dyn Subject) {
    let kv = with(subject, "abc").await;
    for (max_entries, max_bytes) in [(0, u32::MAX), (1, u32::MAX), (u32::MAX, 0), (0, 0)] {
        for (descending, due) in [(false, ["a", "b", "c"]), (true, ["c", "b", "a"])] {
            let scan = Scan {
                descending,
                max_entries,
                max_bytes,
                ..all()
            };
            let page = kv.kv.scan("p", &scan).await.unwrap();
            assert_eq!((sorts(&page), page.more), (vec![due[0]], true), "{scan:?}");
            let found = pages(&*kv.kv, "p", &scan).await;
            assert_eq!(found.len(), 3, "{scan:?}");
        }
    }
}

pub async fn a_page_keeps_to_its_bytes(subject: &dyn Subject) {
    let kv = open(subject).await;
    let sorts: Vec<String> = (0..60).map(|n| format!("{n:02}")).collect();
    // They compress well, and count as they are read.
    let value = vec![7; 2000];
    let changes = sorts.iter().map(|sort| put(sort, value.clone())).collect();
    kv.kv.commit(&kv.claim, "p", changes).await.unwrap();
    for descending in [false, true] {
        let scan = Scan {
            max_bytes: 20_000,
            descending,
            ..all()
        };
        let page = kv.kv.scan("p", &scan).await.unwrap();
        assert!(page.more);
        // The limit is approximate.
        let entries = page.entries.len();
        assert!((2..=12).contains(&entries), "{entries} of 2002 bytes");
        let found = pages(&*kv.kv, "p", &scan).await;
        assert_eq!(found.len(), sorts.len());
    }
}

pub async fn deleted_entries_are_neither_seen_nor_announced(subject: &dyn Subject) {
    let kv = open(subject).await;
    let named = |n: u32| format!("{n:03}");
    let changes = (0..300).map(|n| put(&named(n), "v")).collect();
    kv.kv.commit(&kv.claim, "p", changes).await.unwrap();
    kv.put("p", "150 object", "v").await.unwrap();
    let mut deleted: Vec<Change> = (10..300)
        .filter(|n| *n != 200)
        .map(|n| Change::Delete(named(n).into_bytes()))
        .collect();
    deleted.push(Change::Delete("150 object".into()));
    kv.kv.commit(&kv.claim, "p", deleted).await.unwrap();
    let mut due: Vec<String> = (0..10).map(named).collect();
    due.push(named(200));
    for descending in [false, true] {
        let mut due: Vec<&str> = due.iter().map(String::as_str).collect();
        if descending {
            due.reverse();
        }
        for max_entries in [1, 10, 11, 12] {
            let scan = Scan {
                descending,
                max_entries,
                ..all()
            };
            let page = kv.kv.scan("p", &scan).await.unwrap();
            let count = due.len().min(max_entries as usize);
            let more = count < due.len();
            assert_eq!((sorts(&page), page.more), (due[..count].to_vec(), more));
            assert_eq!(pages(&*kv.kv, "p", &scan).await.len(), due.len());
        }
    }
    let page = kv.kv.scan("p", &from_to("011", "200")).await.unwrap();
    assert_eq!(page, Page::default());
}

pub async fn a_range_or_partition_of_nothing_is_an_empty_page(subject: &dyn Subject) {
    let kv = with(subject, "abcd").await;
    for descending in [false, true] {
        for (start, end) in [("c", "b"), ("b", "b"), ("b\0", "c"), ("", "")] {
            let scan = Scan {
                descending,
                ..from_to(start, end)
            };
            let page = kv.kv.scan("p", &scan).await.unwrap();
            assert_eq!(page, Page::default(), "{scan:?}");
        }
        let scan = Scan {
            descending,
            ..all()
        };
        let page = kv.kv.scan("none", &scan).await.unwrap();
        assert_eq!(page, Page::default());
    }
}
