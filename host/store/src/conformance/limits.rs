//! Names, keys and values as long, as many and as odd as a plugin may make them.

use super::Subject;
use super::fixture::{TENANT, key_of, noise, object, open, pages, partitions, set};
use crate::test_support::{all, key, put};
use crate::{Change, HOST_PREFIX, MAX_COMMIT_BYTES, MAX_OBJECT_BYTES, Object, Scan};

/// Names that are all different, and that a driver could take for the same or misread.
fn odd_names() -> Vec<String> {
    let names = [
        "a", "A", "a ", " a", "a/b", "a\\b", "a.b", "..", ".", "/", "a%2Fb", "a'b", "a\"b", "a`b",
        "a;b", "a,b", "a:b", "a\nb", "a\tb", "a\0b", "a\0", "\0", "ä", "a\u{308}", "名前", "🦀",
        "null", "*", "%", "_", "$1", "{}", "?",
    ];
    let mut names: Vec<String> = names.map(str::to_owned).into();
    names.push("x".repeat(255));
    names.push("x".repeat(256));
    names.push("ß".repeat(128));
    names.sort();
    names
}

pub async fn partitions_may_have_any_name(subject: &dyn Subject) {
    let kv = open(subject).await;
    let mut names = odd_names();
    names.push(format!("{HOST_PREFIX}a"));
    names.sort();
    for name in &names {
        kv.commit(name, "entry", name.as_str()).await.unwrap();
        kv.put(name, "object", name.as_str()).await.unwrap();
    }
    assert_eq!(kv.partitions().await, names);
    for name in &names {
        let page = kv.kv.scan(name, &all()).await.unwrap();
        let values: Vec<&[u8]> = page.entries.iter().map(|it| &*it.value).collect();
        assert_eq!(values, [name.as_bytes(); 2], "{name:?}");
        let keys = ["entry", "object"].map(|sort| key(name, sort));
        let got = kv.kv.get(&keys).await.unwrap();
        assert_eq!(got, vec![Some(name.clone().into_bytes()); 2], "{name:?}");
    }
    let (gone, kept): (Vec<_>, Vec<_>) =
        names.into_iter().enumerate().partition(|(n, _)| n % 2 == 0);
    for (_, name) in gone {
        kv.reclaim(&name).await.unwrap();
    }
    let kept: Vec<String> = kept.into_iter().map(|(_, name)| name).collect();
    assert_eq!(kv.partitions().await, kept);
}

pub async fn tenants_may_have_any_name(subject: &dyn Subject) {
    let driver = subject.driver().await;
    let mut names = odd_names();
    for name in &names {
        let kv = driver.open(name).await.unwrap();
        let claim = kv.claim(&driver.writer_id()).await.unwrap();
        let changes = vec![put("name", name.as_str())];
        kv.commit(&claim, "p", changes).await.unwrap();
    }
    for name in &names {
        let kv = driver.open(name).await.unwrap();
        let got = kv.get(&[key("p", "name")]).await.unwrap();
        assert_eq!(got, [Some(name.clone().into_bytes())], "{name:?}");
    }
    let listed = async || {
        let tenants = driver.tenants().await.unwrap().into_iter();
        let mut listed: Vec<String> = tenants.map(|it| it.tenant).collect();
        listed.sort();
        listed
    };
    assert_eq!(listed().await, names);
    let gone = names.remove(names.len() / 2);
    driver.forget(&gone).await.unwrap();
    assert_eq!(listed().await, names);
}

pub async fn sort_keys_of_1024_bytes_are_kept_apart(subject: &dyn Subject) {
    let kv = open(subject).await;
    let sorts: Vec<Vec<u8>> = [0, b'a', 0xff]
        .into_iter()
        .flat_map(|last| {
            let mut sort = vec![b'k'; 1024];
            sort[1023] = last;
            let mut zeros = vec![0; 1024];
            zeros[0] = last;
            [sort, zeros]
        })
        .collect();
    for (n, sort) in sorts.iter().enumerate() {
        let value = n.to_string().into_bytes();
        let changes = vec![set(sort, &value)];
        kv.kv.commit(&kv.claim, "entries", changes).await.unwrap();
        let key = key_of("objects", sort);
        let objects = vec![Object { key, value }];
        kv.kv.put(&kv.claim, objects).await.unwrap();
    }
    let mut ordered = sorts.clone();
    ordered.sort();
    for partition in ["entries", "objects"] {
        let keys: Vec<_> = sorts.iter().map(|sort| key_of(partition, sort)).collect();
        let got = kv.kv.get(&keys).await.unwrap();
        let due: Vec<_> = (0..sorts.len())
            .map(|n| Some(n.to_string().into_bytes()))
            .collect();
        assert_eq!(got, due);
        let scan = Scan {
            max_entries: 1,
            ..all()
        };
        let found = pages(&*kv.kv, partition, &scan).await;
        let found: Vec<_> = found.into_iter().map(|entry| entry.sort).collect();
        assert!(found == ordered, "{partition}");
    }
}

pub async fn objects_of_the_most_bytes_are_read_back(subject: &dyn Subject) {
    let kv = open(subject).await;
    let values = [
        ("noise", noise(MAX_OBJECT_BYTES, 1)),
        ("zeros", vec![0; MAX_OBJECT_BYTES]),
    ];
    for (sort, value) in &values {
        kv.put("p", sort, value.clone()).await.unwrap();
    }
    for (sort, value) in &values {
        assert!(kv.get("p", sort).await.as_ref() == Some(value), "{sort}");
    }
    let page = kv.kv.scan("p", &all()).await.unwrap();
    let found: Vec<_> = page.entries.into_iter().map(|it| it.value).collect();
    assert!(found == values.map(|(_, value)| value));
}

pub async fn a_commit_of_the_most_bytes_is_read_back(subject: &dyn Subject) {
    let kv = open(subject).await;
    // One value takes it all.
    let value = noise(MAX_COMMIT_BYTES - 1, 1);
    kv.commit("p", "a", value.clone()).await.unwrap();
    assert!(kv.get("p", "a").await == Some(value));
    // Many values do.
    let length = MAX_COMMIT_BYTES / 64 - 2;
    let changes = (0..64)
        .map(|n| put(&format!("{n:02}"), noise(length, n)))
        .collect();
    kv.kv.commit(&kv.claim, "q", changes).await.unwrap();
    let page = kv.kv.scan("q", &all()).await.unwrap();
    assert_eq!(page.entries.len(), 64);
    for (n, entry) in (0..).zip(page.entries) {
        assert!(entry.value == noise(length, n), "{n}");
    }
}

pub async fn a_commit_may_have_thousands_of_changes(subject: &dyn Subject) {
    let kv = open(subject).await;
    let named = |n: u32| format!("{n:04}");
    let changes = (0..2000).map(|n| put(&named(n), named(n))).collect();
    kv.kv.commit(&kv.claim, "p", changes).await.unwrap();
    let changes = (0..2000)
        .filter(|n| n % 3 != 0)
        .map(|n| Change::Delete(named(n).into()))
        .collect();
    kv.kv.commit(&kv.claim, "p", changes).await.unwrap();
    let page = kv.kv.scan("p", &all()).await.unwrap();
    let due: Vec<_> = (0..2000).step_by(3).map(named).collect();
    let found: Vec<_> = page
        .entries
        .into_iter()
        .map(|entry| String::from_utf8(entry.value).unwrap())
        .collect();
    assert_eq!(found, due);
}

pub async fn a_get_may_have_thousands_of_keys(subject: &dyn Subject) {
    let kv = open(subject).await;
    let objects: Vec<_> = (0..1000)
        .map(|n| object("p", &n.to_string(), n.to_string()))
        .collect();
    kv.kv.put(&kv.claim, objects).await.unwrap();
    let keys: Vec<_> = (0..2000).map(|n| key("p", &n.to_string())).collect();
    let got = kv.kv.get(&keys).await.unwrap();
    let due: Vec<_> = (0..2000)
        .map(|n| (n < 1000).then(|| n.to_string().into_bytes()))
        .collect();
    assert_eq!(got, due);
}

pub async fn partitions_may_be_many(subject: &dyn Subject) {
    let kv = open(subject).await;
    let name = |n: u32| format!("data/{n:03}");
    for n in 0..200 {
        if n % 2 == 0 {
            kv.commit(&name(n), "a", name(n)).await.unwrap();
        } else {
            kv.put(&name(n), "a", name(n)).await.unwrap();
        }
    }
    let names: Vec<_> = (0..200).map(name).collect();
    assert_eq!(kv.partitions().await, names);
    for n in 0..100 {
        kv.reclaim(&name(n)).await.unwrap();
    }
    assert_eq!(kv.partitions().await, names[100..]);
    let again = kv.driver.open(TENANT).await.unwrap();
    assert_eq!(partitions(&*again).await, names[100..]);
    let keys: Vec<_> = names[100..].iter().map(|name| key(name, "a")).collect();
    let got = kv.kv.get(&keys).await.unwrap();
    let due: Vec<_> = (100..200).map(|n| Some(name(n).into_bytes())).collect();
    assert_eq!(got, due);
}
