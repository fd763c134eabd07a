//! Several hosts over one store.

use std::collections::BTreeMap;

use larder_store::{Quotas, TenantUsage};

use super::*;

/// A host's driver of a store that others share.
struct Host {
    store: Arc<MemoryDriver>,
    id: &'static str,
}

#[async_trait::async_trait]
impl Driver for Host {
    fn name(&self) -> &'static str {
        "shared"
    }

    fn is_durable(&self) -> bool {
        true
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn writer_id(&self) -> String {
        self.id.to_owned()
    }

    async fn open(&self, tenant: &str) -> Result<Arc<dyn Namespace>, kv::Error> {
        self.store.open(tenant).await
    }

    async fn renew(&self, tenant: &str) -> Result<Arc<dyn Namespace>, kv::Error> {
        self.store.renew(tenant).await
    }

    async fn forget(&self, tenant: &str) -> Result<(), kv::Error> {
        self.store.forget(tenant).await
    }

    async fn tenants(&self) -> Result<Vec<TenantUsage>, kv::Error> {
        self.store.tenants().await
    }

    fn set_quotas(&self, quotas: Quotas) {
        self.store.set_quotas(quotas);
    }
}

impl Store {
    /// This store, as the plugin of a host writes to it.
    async fn write(&self) {
        let writer = self.driver.writer_id();
        let claim = self.namespace.claim(&writer).await.unwrap();
        let entry = Change::Put(Entry {
            sort: b"k".to_vec(),
            value: Vec::new(),
        });
        let partition = format!("data/{writer}");
        let committed = self.namespace.commit(&claim, &partition, vec![entry]);
        committed.await.unwrap();
    }
}

/// Two hosts over one store, neither of which has written.
async fn two() -> (Store, Store) {
    let store = Arc::new(MemoryDriver::new());
    let host = |id| {
        let store = Arc::clone(&store);
        Store::of(Arc::new(Host { store, id }))
    };
    (host("h1").await, host("h/2").await)
}

/// The values that the states of all hosts have of a key, by hosts.
async fn values(keep: &NamespaceKeep, key: &[u8]) -> BTreeMap<String, Option<Vec<u8>>> {
    let hosts = keep.hosts(&[b"none".to_vec(), key.to_vec()]).await.unwrap();
    let values = hosts.into_iter().map(|host| {
        let [none, value] = host.values.try_into().unwrap();
        assert_eq!(none, None);
        (host.host, value)
    });
    values.collect()
}

fn found(values: &[(&str, Option<&[u8]>)]) -> BTreeMap<String, Option<Vec<u8>>> {
    let values = values.iter();
    values
        .map(|(host, value)| ((*host).to_owned(), value.map(<[u8]>::to_vec)))
        .collect()
}

#[tokio::test]
async fn each_host_has_a_place_of_its_own_and_none_gives_back_another_s() {
    let (one, two) = two().await;
    let (first, second) = (one.open("kv").await, two.open("kv").await);
    fill(&first).await;
    fill(&second).await;
    assert!(first.is_shared() && first.is_whole().await && second.is_whole().await);
    assert_eq!(first.groups().await.unwrap(), ["g"]);
    // Another start, another plugin, and what a repair gives back.
    let first = one.open("kv").await;
    assert_eq!(keys(&first).await, [b"a", b"b"]);
    assert!(first.is_whole().await);
    let other = one.open("a/b").await;
    assert!(keys(&other).await.is_empty() && !other.is_whole().await);
    assert!(forget(&*one.namespace, &*one.driver).await.unwrap());
    assert!(!forget(&*one.namespace, &*one.driver).await.unwrap());
    let again = one.open("kv").await;
    assert!(keys(&again).await.is_empty() && !again.is_whole().await);
    second.commit(vec![put(b"c", b"3")]).await.unwrap();
    assert_eq!(keys(&second).await, [b"a", b"b", b"c"]);
    assert_eq!(second.groups().await.unwrap(), ["g"]);
    assert_eq!(keys(&two.open("kv").await).await, [b"a", b"b", b"c"]);
}

#[tokio::test]
async fn what_each_host_has_committed_is_read_by_all() {
    let (one, two) = two().await;
    let (first, second) = (one.open("kv").await, two.open("kv").await);
    assert!(values(&first, b"a").await.is_empty(), "nobody has written");
    one.write().await;
    assert_eq!(values(&second, b"a").await, found(&[("h1", None)]));
    fill(&first).await;
    let expected = found(&[("h1", Some(b"1"))]);
    assert_eq!(values(&first, b"a").await, expected);
    assert_eq!(values(&second, b"a").await, expected);
    second.commit(vec![put(b"a", b"9")]).await.unwrap();
    two.write().await;
    let expected = found(&[("h1", Some(b"1")), ("h/2", Some(b"9"))]);
    assert_eq!(values(&first, b"a").await, expected);
    assert_eq!(values(&second, b"a").await, expected);
    let hosts = first.hosts(&[]).await.unwrap();
    let state = hosts.iter().find(|it| it.host == "h1").unwrap();
    assert!(state.is_whole);
    let name = state.state.as_deref().unwrap();
    let (entries, more) = second.scan_host(name, b"b").await.unwrap();
    assert_eq!(entries, [(b"b".to_vec(), b"2".to_vec())]);
    assert!(!more);
    let (entries, _) = second.scan_host(name, b"").await.unwrap();
    assert_eq!(
        entries.len(),
        2,
        "what the host keeps for itself is not told"
    );
}

#[tokio::test]
async fn a_state_that_took_the_place_of_another_is_read_at_once() {
    let (one, two) = two().await;
    let (first, second) = (one.open("kv").await, two.open("kv").await);
    one.write().await;
    fill(&first).await;
    assert_eq!(values(&second, b"a").await, found(&[("h1", Some(b"1"))]));
    one.open("a/b").await;
    let hosts = second.hosts(&[b"a".to_vec()]).await.unwrap();
    assert_eq!(hosts.len(), 1);
    assert_eq!((&hosts[0].state, hosts[0].is_whole), (&None, false));
    // Another reader sees the same without having seen the state before.
    assert_eq!(
        two.open("kv").await.hosts(&[b"a".to_vec()]).await.unwrap(),
        hosts
    );
}

#[tokio::test]
async fn a_host_that_nobody_has_observed_has_no_state() {
    let (one, two) = two().await;
    let second = two.open("kv").await;
    two.write().await;
    assert_eq!(values(&second, b"a").await, found(&[("h/2", None)]));
    one.write().await;
    let hosts = second.hosts(&[]).await.unwrap();
    let of_one = hosts.iter().find(|it| it.host == "h1").unwrap();
    assert_eq!(of_one.state, None);
    let first = one.open("kv").await;
    assert!(!first.is_whole().await, "it has written before");
}

#[tokio::test]
async fn the_claims_of_who_adopts_the_data_leave_a_state_as_it_is() {
    let (one, two) = two().await;
    let keep = one.open("kv").await;
    fill(&keep).await;
    two.namespace.claim("h1").await.unwrap();
    let generation = keep.generation();
    keep.claim(one.open_unobserved().await).await.unwrap();
    assert_eq!(keep.generation(), generation);
    assert_eq!(keys(&keep).await, [b"a", b"b"]);
    assert_eq!(keys(&one.open("kv").await).await, [b"a", b"b"]);
}

#[tokio::test]
async fn a_state_that_another_process_has_changed_is_one_of_a_new_generation() {
    let (one, _) = two().await;
    let keep = one.open("kv").await;
    fill(&keep).await;
    assert!(!keep.fence().is_met());
    let other = one.open("kv").await;
    other.commit(vec![put(b"c", b"3")]).await.unwrap();
    let refused = keep.commit(vec![put(b"a", b"9")]).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    assert!(keep.fence().is_met());
    let generation = keep.generation();
    keep.claim(one.open_unobserved().await).await.unwrap();
    assert!(!keep.fence().is_met());
    assert_ne!(keep.generation(), generation);
    assert_eq!(keys(&keep).await, [b"a", b"b", b"c"]);
}

#[tokio::test]
async fn nothing_is_told_of_a_namespace_that_was_purged() {
    let (one, two) = two().await;
    let (first, second) = (one.open("kv").await, two.open("kv").await);
    fill(&first).await;
    one.write().await;
    let new = one.driver.renew("t").await.unwrap();
    let refused = second.hosts(&[]).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    // The host claims its own id before any instance is opened.
    let fresh = NamespaceKeep::new(new, &*one.driver, "kv".into());
    fresh.claim(0).await.unwrap();
    fresh.claim(1).await.unwrap();
    assert!(fresh.is_whole().await && fresh.hosts(&[]).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_host_knows_whether_it_had_written_before_its_place_was_opened() {
    let (h1, h2) = two().await;
    h2.write().await;
    let first = h1.open("p").await;
    assert!(!first.had_written());
    h1.write().await;
    // Its id is claimed again by the same process, as for an instance that takes the place of another.
    first.claim(h1.open_unobserved().await).await.unwrap();
    assert!(!first.had_written());
    assert!(h1.open("p").await.had_written());
}
