#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

fn entry(sort: &str, value: &str) -> Entry {
    Entry {
        sort: sort.into(),
        value: value.into(),
    }
}

fn object(partition: &str, sort: &str, value: &str) -> Object {
    Object {
        key: key(partition, sort),
        value: value.into(),
    }
}

fn key(partition: &str, sort: &str) -> Key {
    Key {
        partition: partition.to_owned(),
        sort: sort.into(),
    }
}

fn sorts(page: &Page) -> Vec<String> {
    let text = |it: &Entry| String::from_utf8_lossy(&it.sort).into_owned();
    page.entries.iter().map(text).collect()
}

#[test]
fn a_scan_gives_pages_of_a_range_in_either_direction() {
    let puts = ["a", "b", "c", "d"].map(|sort| Change::Put(entry(sort, "1")));
    commit("p", &puts).unwrap();
    commit("other", &[Change::Put(entry("bb", "1"))]).unwrap();
    let range = |start: &str, end: Option<&str>| Range {
        start: start.into(),
        end: end.map(Into::into),
    };
    let page = scan("p", &range("b", None), Direction::Ascending, 2, 100).unwrap();
    assert_eq!(
        (sorts(&page), page.more),
        (vec!["b".into(), "c".into()], true)
    );
    let page = scan("p", &range("a", Some("c")), Direction::Descending, 9, 100).unwrap();
    assert_eq!(
        (sorts(&page), page.more),
        (vec!["b".into(), "a".into()], false)
    );
    let page = scan("p", &range("a", None), Direction::Ascending, 9, 0).unwrap();
    assert_eq!((sorts(&page), page.more), (vec!["a".into()], true));
    let page = scan("p", &range("c", Some("b")), Direction::Ascending, 9, 100).unwrap();
    assert_eq!((sorts(&page), page.more), (vec![], false));
}

#[test]
fn a_refused_commit_changes_nothing() {
    put(&[object("p", "blob", "x")]).unwrap();
    let changes = [
        Change::Put(entry("new", "1")),
        Change::Delete(b"blob".to_vec()),
    ];
    assert!(matches!(commit("p", &changes), Err(Error::Other(_))));
    let found = get(&[key("p", "blob"), key("p", "new")]).unwrap();
    assert_eq!(found, [Some(b"x".to_vec()), None]);
}

#[test]
fn an_object_may_be_put_again_but_not_changed() {
    put(&[object("p", "blob", "x")]).unwrap();
    put(&[object("p", "blob", "x")]).unwrap();
    assert!(matches!(
        put(&[object("p", "blob", "y")]),
        Err(Error::Other(_))
    ));
}

#[test]
fn a_reclaimed_partition_is_readable_by_a_running_query_but_not_writable() {
    commit("p", &[Change::Put(entry("a", "1"))]).unwrap();
    reclaim("p").unwrap();
    assert_eq!(partitions().unwrap(), Vec::<String>::new());
    assert_eq!(get(&[key("p", "a")]).unwrap(), [Some(b"1".to_vec())]);
    assert!(commit("p", &[]).is_err());
    reset();
    assert_eq!(get(&[key("p", "a")]).unwrap(), [None]);
}

#[test]
fn every_call_that_would_return_an_unreadable_value_raises_data_loss() {
    let puts = ["a", "b", "c"].map(|sort| Change::Put(entry(sort, "1")));
    commit("p", &puts).unwrap();
    make_unreadable(&key("p", "b"));
    let scan = |start: &str| {
        let range = Range {
            start: start.into(),
            end: None,
        };
        scan("p", &range, Direction::Ascending, 9, 100)
    };
    assert!(matches!(scan("a"), Err(Error::DataLoss(text)) if text.contains("key b")));
    assert_eq!(sorts(&scan("c").unwrap()), ["c"]);
    let both = [key("p", "a"), key("p", "b")];
    assert!(matches!(get(&both), Err(Error::DataLoss(_))));
    assert_eq!(get(&both[..1]).unwrap(), [Some(b"1".to_vec())]);
    put_back(&both[1], b"1".to_vec());
    assert_eq!(scan("a").unwrap().entries.len(), 3);
}

#[test]
fn limits_of_size_hold() {
    let large = "x".repeat(MAX_COMMIT_BYTES);
    let change = Change::Put(entry("a", &large));
    assert!(matches!(commit("p", &[change]), Err(Error::TooLarge(_))));
    put(&[object("p", "a", &large)]).unwrap();
    let larger = object("p", "b", &"x".repeat(MAX_OBJECT_BYTES + 1));
    assert!(matches!(put(&[larger]), Err(Error::TooLarge(_))));
}

#[test]
fn a_partition_is_of_the_writer_that_wrote_to_it_first() {
    let put = |value: &str| [Change::Put(entry("a", value))];
    commit("p", &put("12")).unwrap();
    act_as("other");
    assert!(matches!(commit("p", &put("3")), Err(Error::Other(_))));
    commit("q", &put("4")).unwrap();
    assert_eq!(sizes(), Sizes { tenant: 5, own: 2 });
    as_repairer(|| commit("p", &put("5"))).unwrap();
    assert_eq!(sizes(), Sizes { tenant: 4, own: 2 });
    retire("test");
    assert_eq!(writers().unwrap(), ["other"]);
}
