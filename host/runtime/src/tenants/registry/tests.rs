//! Tenants of small guests on a driver in memory: opened once, evicted, opened again, purged.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod forget;
mod others;
mod overrides;
mod reach;

use std::time::Instant;

use larder_core::quotas;
use larder_store::{Driver as _, MemoryDriver};

use super::*;
use crate::plugin::{self, Component, Host, LoadChecks, Source};
use crate::tenants::Presence;
use crate::test_support::guest::{Guest, ONE_SERVICE_IF_WRITTEN, OTHER, TRAP_ON_X};
use crate::test_support::{GuestFile, batch, runtime};

mod reload;
mod room;

const HOUR: Duration = Duration::from_hours(1);

struct Registry {
    tenants: Arc<Tenants>,
    kv: Arc<MemoryDriver>,
}

fn options() -> Options {
    Options {
        enabled: true,
        known: Vec::new(),
        default: None,
        max_tenants: 3,
        // Tests evict by hand.
        idle_timeout: 24 * HOUR,
        max_open: 1000,
        open_memory: 4 << 30,
    }
}

fn name(text: &str) -> TenantName {
    text.parse().unwrap()
}

/// Loads the component as the server does: it is also opened on an empty store.
async fn load(guest: &Guest, kv: &Arc<MemoryDriver>) -> Result<Arc<Component>, plugin::Error> {
    let file = GuestFile::new(&guest.build());
    let settings = file.settings(plugin::Limits::default());
    Component::load(&host(kv), settings, LoadChecks::Open).await
}

async fn component(guest: &Guest, kv: &Arc<MemoryDriver>) -> Arc<Component> {
    load(guest, kv).await.unwrap()
}

fn limits() -> quotas::Limits {
    quotas::Limits {
        spans_per_second: None,
        concurrent_queries: 64,
        query_queue_bytes: 1 << 20,
        kv_quota: None,
    }
}

fn host(kv: &Arc<MemoryDriver>) -> Host {
    Host {
        runtime: runtime(),
        kv: Arc::clone(kv) as Arc<dyn kv::Driver>,
        metrics: Arc::new(Metrics::new()),
        observers: None,
    }
}

fn of_all(component: Arc<Component>) -> LoadedConfig {
    LoadedConfig::of_all(component, limits())
}

async fn start_with(guest: Guest, options: Options) -> Registry {
    let kv = Arc::new(MemoryDriver::new());
    let component = component(&guest, &kv).await;
    let tenants = Tenants::start(of_all(component), options).await.unwrap();
    Registry { tenants, kv }
}

async fn start(guest: Guest) -> Registry {
    start_with(guest, options()).await
}

fn counting() -> Guest {
    Guest::new()
        .with("write", TRAP_ON_X)
        .with("services", ONE_SERVICE_IF_WRITTEN)
}

impl Registry {
    async fn open(&self, tenant: &str) -> Result<Arc<dyn Storage>, storage::Error> {
        self.tenants.open(Some(&name(tenant))).await
    }

    async fn presence(&self, tenant: &str) -> Presence {
        let all = self.tenants.list().await.unwrap();
        let of = all.into_iter().find(|status| status.name == tenant);
        of.unwrap().state
    }

    async fn write(&self, tenant: &str) {
        let storage = self.open(tenant).await.unwrap();
        let batch = batch(1, b"spans");
        storage.write(batch).await.unwrap();
    }

    async fn services(&self, tenant: &str) -> usize {
        let storage = self.open(tenant).await.unwrap();
        storage.services().await.unwrap().len()
    }
}

#[tokio::test]
async fn a_tenant_is_opened_once_however_many_call_at_a_time() {
    let registry = start(Guest::new()).await;
    assert!(registry.tenants.get(Some(&name("a"))).is_none());
    let calls = (0..20).map(|_| registry.open("a"));
    let opened = futures_util::future::join_all(calls).await;
    assert!(opened.iter().all(Result::is_ok));
    assert!(registry.tenants.get(Some(&name("a"))).is_some());
    // The memory driver counts claims: one opening took one.
    let kv = registry.kv.open("a").await.unwrap();
    assert_eq!(kv.claim("local").await.unwrap().epoch, 2);
}

#[tokio::test]
async fn a_plugin_that_refuses_to_open_is_not_loaded() {
    let guest = Guest::new().with("open", OTHER);
    let kv = Arc::new(MemoryDriver::new());
    let refused = load(&guest, &kv).await.err().expect("it refuses to open");
    let text = refused.to_string();
    assert!(text.contains("refused to open"), "{text}");
}

#[tokio::test]
async fn a_request_without_a_tenant_gets_no_storage_while_tenancy_is_on() {
    let registry = start(Guest::new()).await;
    registry.open("default").await.unwrap();
    assert!(registry.tenants.get(None).is_none());
    let refused = registry.tenants.open(None).await.err().unwrap();
    assert_eq!(refused.kind(), ErrorKind::Internal);
    let refused = registry.tenants.quotas(None).err().unwrap();
    assert_eq!(refused.kind(), ErrorKind::Internal);
}

#[tokio::test]
async fn without_tenancy_there_is_one_tenant_and_it_is_never_evicted() {
    let off = Options {
        enabled: false,
        ..options()
    };
    let registry = start_with(Guest::new().replicated(), off).await;
    assert!(registry.tenants.get(None).is_some());
    assert!(*registry.tenants.ready().borrow());
    assert_eq!(registry.presence("default").await, Presence::Open);
    assert!(registry.tenants.named(None).await.is_ok());
}

#[tokio::test]
async fn tenants_share_nothing() {
    let registry = start(counting()).await;
    registry.write("a").await;
    assert_eq!(registry.services("a").await, 1);
    assert_eq!(registry.services("b").await, 0);
}

#[tokio::test]
async fn one_tenant_too_many_is_refused_with_the_setting() {
    let registry = start(Guest::new()).await;
    for tenant in ["a", "b", "c"] {
        registry.open(tenant).await.unwrap();
    }
    let refused = registry.open("d").await.err().unwrap();
    assert_eq!(refused.kind(), ErrorKind::ResourceExhausted);
    assert_eq!(refused.setting(), Some("tenancy.max_tenants"));
    assert!(refused.to_string().contains("tenancy.max_tenants"));
    assert!(registry.open("c").await.is_ok());
}

#[tokio::test]
async fn an_idle_tenant_is_evicted_and_its_next_call_opens_it_again() {
    let registry = start(Guest::new().replicated()).await;
    drop(registry.open("a").await.unwrap());
    let tenants = &registry.tenants;
    assert_eq!(tenants.evict_idle(Instant::now(), HOUR).await, 0);
    assert_eq!(tenants.evict_idle(Instant::now() + HOUR, HOUR).await, 1);
    assert_eq!(registry.presence("a").await, Presence::Away);
    assert!(tenants.get(Some(&name("a"))).is_none());
    assert_eq!(registry.services("a").await, 0);
    assert_eq!(registry.presence("a").await, Presence::Open);
}

#[tokio::test]
async fn a_tenant_in_use_is_not_evicted() {
    let registry = start(Guest::new().replicated()).await;
    let in_use = registry.open("a").await.unwrap();
    let (tenants, later) = (&registry.tenants, Instant::now() + HOUR);
    assert_eq!(tenants.evict_idle(later, HOUR).await, 0);
    drop(in_use);
    assert_eq!(tenants.evict_idle(later, HOUR).await, 0, "it was in use");
    assert_eq!(tenants.evict_idle(later + HOUR, HOUR).await, 1);
}

#[tokio::test]
async fn a_tenant_whose_data_is_in_its_memory_is_never_evicted() {
    let registry = start(counting()).await;
    registry.write("a").await;
    let later = Instant::now() + HOUR;
    assert_eq!(registry.tenants.evict_idle(later, HOUR).await, 0);
    assert_eq!(registry.services("a").await, 1);
}

#[tokio::test]
async fn a_purge_of_one_leaves_the_others_and_a_purge_of_all_leaves_none() {
    let registry = start(counting()).await;
    for tenant in ["a", "b"] {
        registry.write(tenant).await;
    }
    registry.tenants.purge("a").await.unwrap();
    assert_eq!(registry.services("a").await, 0);
    assert_eq!(registry.services("b").await, 1);
    registry.write("a").await;
    registry.tenants.purge_all().await.unwrap();
    assert_eq!(registry.services("a").await, 0);
    assert_eq!(registry.services("b").await, 0);
    let unknown = registry.tenants.purge("unknown").await.unwrap_err();
    assert!(matches!(unknown, Error::Unknown { .. }), "{unknown}");
}

#[tokio::test]
async fn a_purge_reaches_evicted_tenants_and_those_never_opened() {
    let kv = Arc::new(MemoryDriver::new());
    let old = kv.open("old").await.unwrap();
    let claim = old.claim("local").await.unwrap();
    let registry = Registry {
        tenants: Tenants::start(
            of_all(component(&Guest::new().replicated(), &kv).await),
            options(),
        )
        .await
        .unwrap(),
        kv,
    };
    assert_eq!(registry.presence("old").await, Presence::Away);
    registry.tenants.purge_all().await.unwrap();
    let fenced = old.commit(&claim, "p", Vec::new()).await;
    assert_eq!(fenced, Err(kv::Error::Fenced));
}

#[tokio::test]
async fn levels_are_those_of_all_open_tenants() {
    let registry = start(Guest::new().replicated()).await;
    let metrics = Metrics::new();
    let open = async |count: usize| {
        registry.tenants.measure(&metrics).await;
        let (text, line) = (metrics.encode(), format!("larder_tenants_open {count}"));
        assert!(text.lines().any(|told| told == line), "{text}");
        let line = format!("larder_plugin_ready {count}");
        assert!(text.lines().any(|told| told == line), "{text}");
    };
    open(0).await;
    registry.open("a").await.unwrap();
    registry.open("b").await.unwrap();
    open(2).await;
    let later = Instant::now() + HOUR;
    registry.tenants.evict_idle(later, HOUR).await;
    open(0).await;
}

#[tokio::test]
async fn after_a_shutdown_no_tenant_is_opened() {
    let registry = start(Guest::new()).await;
    registry.open("a").await.unwrap();
    registry.tenants.shutdown().await;
    for tenant in ["a", "b"] {
        let refused = registry.open(tenant).await.err().unwrap();
        assert_eq!(refused.kind(), ErrorKind::Unavailable);
    }
    assert!(!*registry.tenants.ready().borrow());
}
