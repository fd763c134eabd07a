#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod shared;

use super::*;

/// One tenant's store, which outlives the places in it.
struct Store {
    driver: Arc<dyn Driver>,
    namespace: Arc<dyn Namespace>,
}

impl Store {
    async fn new() -> Self {
        Self::of(Arc::new(MemoryDriver::new())).await
    }

    async fn of(driver: Arc<dyn Driver>) -> Self {
        let namespace = driver.open("t").await.unwrap();
        Self { driver, namespace }
    }

    /// An instance of the plugin is opened, which nobody observes.
    async fn open_unobserved(&self) -> u64 {
        let writer = self.driver.writer_id();
        self.namespace.claim(&writer).await.unwrap().epoch
    }

    /// The tenant is opened by a new process.
    async fn open(&self, plugin: &str) -> NamespaceKeep {
        let namespace = Arc::clone(&self.namespace);
        let keep = NamespaceKeep::new(namespace, &*self.driver, plugin.into());
        keep.claim(self.open_unobserved().await).await.unwrap();
        keep
    }
}

fn put(key: &[u8], value: &[u8]) -> KeepChange {
    KeepChange::Put(key.to_vec(), value.to_vec())
}

async fn fill(keep: &NamespaceKeep) {
    fill_group(keep, "g").await;
}

/// A name that was given back cannot be used again, so each state has names of its own.
async fn fill_group(keep: &NamespaceKeep, group: &str) {
    keep.put(group, vec![(b"n".to_vec(), b"value".to_vec())])
        .await
        .unwrap();
    keep.commit(vec![put(b"a", b"1"), put(b"b", b"2")])
        .await
        .unwrap();
}

async fn keys(keep: &NamespaceKeep) -> Vec<Vec<u8>> {
    let (entries, more) = keep.scan(b"").await.unwrap();
    assert!(!more);
    entries.into_iter().map(|(key, _)| key).collect()
}

#[tokio::test]
async fn what_was_kept_is_there_after_a_restart_of_the_instance_and_of_the_process() {
    let store = Store::new().await;
    let keep = store.open("kv").await;
    fill(&keep).await;
    let generation = keep.generation();
    keep.claim(store.open_unobserved().await).await.unwrap();
    assert_eq!(keep.generation(), generation);
    keep.commit(vec![KeepChange::Delete(b"a".to_vec())])
        .await
        .unwrap();
    let next = store.open("kv").await;
    assert_eq!(keys(&next).await, [b"b"]);
    assert_eq!(next.groups().await.unwrap(), ["g"]);
    let got = next.get("g", &[b"n".to_vec(), b"x".to_vec()]).await;
    assert_eq!(got.unwrap(), [Some(b"value".to_vec()), None]);
    // The earlier process is fenced.
    let fenced = keep.commit(vec![put(b"c", b"3")]).await.unwrap_err();
    assert_eq!(fenced.kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn nothing_is_left_of_it_once_an_instance_was_not_observed() {
    let store = Store::new().await;
    fill(&store.open("kv").await).await;
    store.open_unobserved().await;
    let keep = store.open("kv").await;
    assert!(keys(&keep).await.is_empty() && keep.groups().await.unwrap().is_empty());
    // The new state is one that can be kept.
    fill_group(&keep, "h").await;
    assert_eq!(keys(&store.open("kv").await).await, [b"a", b"b"]);
}

#[tokio::test]
async fn nothing_is_left_of_it_once_another_plugin_was_observed() {
    let store = Store::new().await;
    fill(&store.open("kv").await).await;
    let other = store.open("a/b").await;
    assert!(keys(&other).await.is_empty() && other.groups().await.unwrap().is_empty());
    fill_group(&other, "h").await;
    assert!(keys(&store.open("kv").await).await.is_empty());
}

#[tokio::test]
async fn a_writer_that_was_not_followed_begins_a_new_generation() {
    let store = Store::new().await;
    let keep = store.open("kv").await;
    fill(&keep).await;
    let generation = keep.generation();
    store.open_unobserved().await;
    keep.claim(store.open_unobserved().await).await.unwrap();
    assert_ne!(keep.generation(), generation);
    assert!(keys(&keep).await.is_empty());
}

#[tokio::test]
async fn a_group_that_was_given_back_is_not_listed_and_its_name_is_refused() {
    let store = Store::new().await;
    let keep = store.open("kv").await;
    fill(&keep).await;
    keep.reclaim("g").await.unwrap();
    assert!(keep.groups().await.unwrap().is_empty());
    let values = vec![(b"n".to_vec(), Vec::new())];
    assert!(keep.put("g", values).await.is_err());
    assert_eq!(keys(&keep).await, [b"a", b"b"]);
}

#[tokio::test]
async fn nothing_is_kept_before_the_first_claim() {
    let store = Store::new().await;
    let namespace = Arc::clone(&store.namespace);
    let keep = NamespaceKeep::new(namespace, &*store.driver, "kv".into());
    let refused = keep.commit(vec![put(b"a", b"1")]).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn what_is_forgotten_is_derived_anew() {
    let store = Store::new().await;
    let forgotten = forget(&*store.namespace, &*store.driver).await;
    assert!(!forgotten.unwrap(), "nothing was kept");
    fill(&store.open("kv").await).await;
    let claim = store.namespace.claim("w").await.unwrap();
    let plugin_s = Change::Put(Entry {
        sort: b"k".to_vec(),
        value: Vec::new(),
    });
    let committed = store.namespace.commit(&claim, "p", vec![plugin_s]).await;
    committed.unwrap();
    assert!(forget(&*store.namespace, &*store.driver).await.unwrap());
    assert_eq!(store.namespace.partitions().await.unwrap(), ["p"]);
    assert!(keys(&store.open("kv").await).await.is_empty());
}

#[tokio::test]
async fn a_place_in_memory_is_empty_and_takes_everything() {
    let keep = in_memory().await.unwrap();
    assert!(!keep.is_durable());
    keep.commit(vec![put(b"a", b"1")]).await.unwrap();
    let (entries, _) = keep.scan(b"").await.unwrap();
    assert_eq!(entries, [(b"a".to_vec(), b"1".to_vec())]);
}
