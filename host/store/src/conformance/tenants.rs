//! Tenants, their purges, and their list.

use super::Subject;
use super::fixture::{
    Opened, TENANT, assert_fenced, entry, eventually, get, noise, open, partitions,
};
use crate::test_support::{all, put};
use crate::{Driver, Page};

async fn listed(driver: &dyn Driver) -> Vec<String> {
    let tenants = driver.tenants().await.unwrap().into_iter();
    let mut names: Vec<String> = tenants.map(|it| it.tenant).collect();
    names.sort();
    names
}

pub async fn tenants_do_not_see_each_other(subject: &dyn Subject) {
    let kv = open(subject).await;
    let other = kv.driver.open("other").await.unwrap();
    let claim = other.claim(&kv.claim.writer).await.unwrap();
    kv.commit("p", "a", "own").await.unwrap();
    kv.put("own", "o", "own").await.unwrap();
    assert_eq!(get(&*other, "p", "a").await, None);
    assert_eq!(other.scan("p", &all()).await.unwrap(), Page::default());
    assert!(partitions(&*other).await.is_empty());
    assert!(other.writers().await.unwrap().is_empty());

    let changes = vec![put("a", "other's")];
    other.commit(&claim, "p", changes).await.unwrap();
    // A claim, a reclaim and a purge concern one of them.
    let again = other.claim(&kv.claim.writer).await.unwrap();
    other.reclaim(&again, "p").await.unwrap();
    kv.commit("p", "b", "own").await.unwrap();
    kv.driver.renew("other").await.unwrap();
    kv.driver.forget("other").await.unwrap();
    kv.commit("p", "c", "own").await.unwrap();
    let page = kv.kv.scan("p", &all()).await.unwrap();
    let due = [b"a", b"b", b"c"].map(|sort| entry(sort, b"own"));
    assert_eq!(page.entries, due);
    assert_eq!(kv.partitions().await, ["own", "p"]);
}

pub async fn a_tenant_opened_twice_is_one_namespace(subject: &dyn Subject) {
    let kv = open(subject).await;
    let again = kv.driver.open(TENANT).await.unwrap();
    kv.commit("p", "a", "1").await.unwrap();
    assert_eq!(get(&*again, "p", "a").await, Some(b"1".to_vec()));
    // The claim is the namespace's, and not the handle's.
    let changes = vec![put("b", "2")];
    again.commit(&kv.claim, "p", changes).await.unwrap();
    assert_eq!(kv.get("p", "b").await, Some(b"2".to_vec()));
    let claim = again.claim(&kv.claim.writer).await.unwrap();
    assert_fenced(&kv.commit("p", "c", "late").await);
    again.reclaim(&claim, "p").await.unwrap();
    assert!(kv.partitions().await.is_empty());
    assert_eq!(listed(&*kv.driver).await, [TENANT]);
}

pub async fn a_renewed_namespace_is_empty_and_fences_the_old_one(subject: &dyn Subject) {
    let old = open(subject).await;
    old.commit("p", "a", "1").await.unwrap();
    old.put("p", "o", noise(5000, 1)).await.unwrap();
    old.commit("gone", "a", "1").await.unwrap();
    old.reclaim("gone").await.unwrap();

    let new = old.driver.renew(TENANT).await.unwrap();
    assert_fenced(&old.commit("p", "b", "late").await);
    assert_fenced(&old.commit("new", "b", "late").await);
    assert_fenced(&old.reclaim("p").await);
    assert!(partitions(&*new).await.is_empty());
    assert!(new.writers().await.unwrap().is_empty());
    assert_eq!(get(&*new, "p", "a").await, None);
    assert_eq!(new.scan("p", &all()).await.unwrap(), Page::default());
    assert_eq!((new.stored_bytes(), new.host_bytes()), (0, 0));
    assert_eq!(listed(&*old.driver).await, [TENANT]);

    // All names and keys can be used in the new one.
    let new = Opened::with(old.driver.clone()).await;
    for partition in ["p", "gone"] {
        new.commit(partition, "a", "2").await.unwrap();
        new.put(partition, "o", "2").await.unwrap();
        assert_eq!(new.get(partition, "a").await, Some(b"2".to_vec()));
        assert_eq!(new.get(partition, "o").await, Some(b"2".to_vec()));
    }
    assert_eq!(new.partitions().await, ["gone", "p"]);
    assert_eq!(new.writers().await, std::slice::from_ref(&new.claim.writer));
    assert_fenced(&old.commit("p", "b", "late").await);
    assert_eq!(new.get("p", "b").await, None);
}

pub async fn a_forgotten_tenant_is_not_listed_and_its_namespace_is_fenced(subject: &dyn Subject) {
    let old = open(subject).await;
    old.commit("p", "a", "1").await.unwrap();
    old.driver.open("other").await.unwrap();
    old.driver.forget("never there").await.unwrap();
    for _ in 0..2 {
        old.driver.forget(TENANT).await.unwrap();
        assert_eq!(listed(&*old.driver).await, ["other"]);
        assert_fenced(&old.commit("p", "b", "late").await);
        assert_fenced(&old.reclaim("p").await);
    }
    let again = Opened::with(old.driver.clone()).await;
    assert!(again.partitions().await.is_empty());
    assert!(again.writers().await.is_empty());
    assert_eq!(listed(&*old.driver).await, ["other", TENANT]);
    again.commit("p", "c", "1").await.unwrap();
    assert_fenced(&old.commit("p", "b", "late").await);
    let page = again.kv.scan("p", &all()).await.unwrap();
    assert_eq!(page.entries, [entry(b"c", b"1")]);
}

pub async fn tenants_are_listed_with_their_bytes(subject: &dyn Subject) {
    let driver = subject.driver().await;
    assert!(driver.tenants().await.unwrap().is_empty());
    let mut open = Vec::new();
    for (n, name) in (1..).zip(["a", "b", "c"]) {
        let kv = driver.open(name).await.unwrap();
        let claim = kv.claim(&driver.writer_id()).await.unwrap();
        let changes = vec![put("a", noise(n * 1000, 1))];
        kv.commit(&claim, "p", changes).await.unwrap();
        open.push(kv);
    }
    driver.open("empty").await.unwrap();
    eventually("bytes of all tenants", async || {
        let mut usage = driver.tenants().await.unwrap();
        usage.sort();
        let found: Vec<_> = usage.iter().map(|it| it.tenant.as_str()).collect();
        assert_eq!(found, ["a", "b", "c", "empty"]);
        let stored = open.iter().map(|kv| kv.stored_bytes());
        let is_same = usage
            .iter()
            .zip(stored)
            .all(|(it, bytes)| it.bytes == bytes);
        let is_due = |n: usize| usage[n].bytes > n as u64 * 1000 + 999;
        is_same && (0..3).all(is_due) && usage[3].bytes == 0
    })
    .await;
}

pub async fn a_namespace_is_current_until_it_is_renewed_or_forgotten(subject: &dyn Subject) {
    let driver = subject.driver().await;
    let first = driver.open(TENANT).await.unwrap();
    assert!(first.is_current().await.unwrap());
    let second = driver.renew(TENANT).await.unwrap();
    assert!(!first.is_current().await.unwrap());
    assert!(second.is_current().await.unwrap());
    driver.renew("other").await.unwrap();
    driver.forget("other").await.unwrap();
    assert!(second.is_current().await.unwrap());
    driver.forget(TENANT).await.unwrap();
    assert!(!second.is_current().await.unwrap());
    let third = driver.open(TENANT).await.unwrap();
    assert!(third.is_current().await.unwrap());
    assert!(!first.is_current().await.unwrap());
    assert!(!second.is_current().await.unwrap());
}
