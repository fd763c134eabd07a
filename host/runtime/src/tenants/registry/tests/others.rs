//! Tenants of several hosts that share a store: each knows those that others have made, and keeps up only what it has written itself.

use larder_core::observers::Forgotten;
use larder_model::storage::Observers;
use larder_store::{MemoryHost, SharedMemory};

use super::*;
use crate::test_support::guest::KV;

fn guest() -> Guest {
    let guest = Guest::new().replicated().and(KV);
    guest
        .with("write", "(call $write)")
        .with("services", "(call $find)")
}

async fn start_on(driver: &Arc<MemoryHost>) -> Arc<Tenants> {
    start_observed(driver, None).await
}

async fn start_observed(
    driver: &Arc<MemoryHost>,
    observers: Option<Arc<dyn Observers>>,
) -> Arc<Tenants> {
    let file = GuestFile::new(&guest().build());
    let host = Host {
        runtime: runtime(),
        kv: Arc::clone(driver) as Arc<dyn kv::Driver>,
        metrics: Arc::new(Metrics::new()),
        observers,
    };
    let settings = file.settings(plugin::Limits::default());
    let component = Component::load(&host, settings, LoadChecks::Describe).await;
    let tenants = Tenants::start(of_all(component.unwrap()), options()).await;
    tenants.unwrap()
}

async fn open(tenants: &Tenants, tenant: &str) -> Arc<dyn Storage> {
    tenants.open(Some(&name(tenant))).await.unwrap()
}

async fn write(tenants: &Tenants, tenant: &str) {
    let storage = open(tenants, tenant).await;
    storage.write(batch(1, b"spans")).await.unwrap();
}

async fn names(tenants: &Tenants) -> Vec<String> {
    let all = tenants.list().await.unwrap();
    all.into_iter().map(|status| status.name).collect()
}

async fn is_open(tenants: &Tenants, tenant: &str) -> bool {
    let all = tenants.list().await.unwrap();
    let of = all.into_iter().find(|status| status.name == tenant);
    of.unwrap().state == Presence::Open
}

#[tokio::test]
async fn a_tenant_that_another_host_has_made_is_known() {
    let store = SharedMemory::new();
    let on_a = start_on(&store.host("a")).await;
    let on_b = start_on(&store.host("b")).await;
    write(&on_a, "t").await;
    write(&on_a, "u").await;
    assert!(on_b.named(Some("t")).await.is_ok());
    assert_eq!(names(&on_b).await, ["t", "u"]);
    assert_eq!(on_b.name_of(Some("u")).await.unwrap(), name("u"));
    let unknown = on_b.named(Some("v")).await.err().unwrap();
    assert!(matches!(unknown, Error::Unknown { .. }), "{unknown}");
}

#[tokio::test]
async fn a_tenant_that_another_host_has_made_is_purged() {
    let store = SharedMemory::new();
    let on_a = start_on(&store.host("a")).await;
    let on_b = start_on(&store.host("b")).await;
    for tenant in ["t", "u"] {
        write(&on_a, tenant).await;
    }
    let began = open(&on_a, "t").await;
    assert_eq!(began.services().await.unwrap(), ["guest"]);
    on_b.purge("t").await.unwrap();
    assert_eq!(names(&on_b).await, ["u"]);
    assert!(!began.still_current().await.unwrap());
    assert!(began.services().await.unwrap().is_empty());
    drop(began);
    on_b.purge_all().await.unwrap();
    assert!(
        open(&on_a, "u").await.services().await.unwrap().is_empty(),
        "it is purged as well"
    );
}

#[tokio::test]
async fn a_tenant_that_another_host_has_removed_is_no_longer_known() {
    let store = SharedMemory::new();
    let on_a = start_on(&store.host("a")).await;
    let on_b = start_on(&store.host("b")).await;
    for tenant in ["t", "u", "v"] {
        write(&on_a, tenant).await;
    }
    let later = Instant::now() + HOUR;
    assert_eq!(on_a.evict_idle(later, HOUR).await, 3);
    for tenant in ["t", "u"] {
        on_b.purge(tenant).await.unwrap();
    }
    assert_eq!(names(&on_a).await, ["v"]);
    // There is room for others.
    write(&on_a, "w").await;
    write(&on_a, "t").await;
    assert_eq!(names(&on_b).await, ["t", "v", "w"]);
}

#[tokio::test]
async fn upkeep_opens_the_tenants_that_this_host_has_written_to() {
    let store = SharedMemory::new();
    let (a, b) = (store.host("a"), store.host("b"));
    let (on_a, on_b) = (start_on(&a).await, start_on(&b).await);
    write(&on_a, "t").await;
    write(&on_b, "u").await;
    let later = Instant::now() + HOUR;
    for tenants in [&on_a, &on_b] {
        assert_eq!(tenants.evict_idle(later, HOUR).await, 1);
        assert_eq!(names(tenants).await, ["t", "u"]);
        tenants.open_for_upkeep(later + HOUR).await;
    }
    assert!(is_open(&on_a, "t").await && !is_open(&on_a, "u").await);
    assert!(!is_open(&on_b, "t").await && is_open(&on_b, "u").await);
    let namespace = kv::Driver::open(&*a, "t").await.unwrap();
    let claim = namespace.claim("b").await.unwrap();
    assert_eq!(claim.epoch, 1, "the other host has claimed no id there");
}

/// Neither is its plugin opened, nor an id of this host claimed.
#[tokio::test]
async fn what_a_dead_host_has_written_to_a_closed_tenant_is_adopted() {
    let store = SharedMemory::new();
    let (a, b) = (store.host("a"), store.host("b"));
    let (on_a, on_b) = (start_on(&a).await, start_on(&b).await);
    write(&on_a, "t").await;
    assert_eq!(names(&on_b).await, ["t"]);
    let later = Instant::now() + HOUR;
    let epoch = async || {
        let namespace = kv::Driver::open(&*b, "t").await.unwrap();
        let claim = namespace.adopt("a").await.unwrap();
        claim.map(|claim| claim.epoch)
    };
    on_b.open_for_upkeep(later).await;
    assert_eq!(epoch().await, None, "its host is alive");
    a.set_alive(false);
    on_b.open_for_upkeep(later).await;
    assert_eq!(epoch().await, Some(2), "it was looked at just now");
    on_b.open_for_upkeep(later + HOUR).await;
    assert_eq!(epoch().await, Some(4));
    assert!(!is_open(&on_b, "t").await);
}

/// An observer has to be told of its upkeep, and an open tenant has one.
#[tokio::test]
async fn a_tenant_that_a_dead_host_has_written_to_is_opened_where_it_is_observed() {
    let store = SharedMemory::new();
    let (a, b) = (store.host("a"), store.host("b"));
    let on_a = start_on(&a).await;
    let on_b = start_observed(&b, Some(Arc::new(Forgotten))).await;
    write(&on_a, "t").await;
    assert_eq!(names(&on_b).await, ["t"]);
    let later = Instant::now() + HOUR;
    on_b.open_for_upkeep(later).await;
    assert!(!is_open(&on_b, "t").await, "its host is alive");
    a.set_alive(false);
    on_b.open_for_upkeep(later + HOUR).await;
    assert!(is_open(&on_b, "t").await);
}
