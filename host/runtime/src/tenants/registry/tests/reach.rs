//! Readiness on a store that other machines keep.

use std::sync::Mutex;

use async_trait::async_trait;
use larder_store::{Driver, HostStatus, Namespace, Quotas as KvQuotas, Reach, TenantUsage};

use super::*;
use crate::tenants::StoreStatus;

/// A driver in memory that says of itself what a test sets.
#[derive(Default)]
struct Remote {
    inner: MemoryDriver,
    reach: Mutex<Reach>,
}

#[async_trait]
impl Driver for Remote {
    fn name(&self) -> &'static str {
        "remote"
    }

    fn is_durable(&self) -> bool {
        true
    }

    fn writer_id(&self) -> String {
        self.inner.writer_id()
    }

    async fn open(&self, tenant: &str) -> Result<Arc<dyn Namespace>, kv::Error> {
        self.inner.open(tenant).await
    }

    async fn renew(&self, tenant: &str) -> Result<Arc<dyn Namespace>, kv::Error> {
        self.inner.renew(tenant).await
    }

    async fn forget(&self, tenant: &str) -> Result<(), kv::Error> {
        self.inner.forget(tenant).await
    }

    async fn tenants(&self) -> Result<Vec<TenantUsage>, kv::Error> {
        self.inner.tenants().await
    }

    fn set_quotas(&self, quotas: KvQuotas) {
        self.inner.set_quotas(quotas);
    }

    fn is_shared(&self) -> bool {
        true
    }

    async fn hosts(&self) -> Result<Vec<HostStatus>, kv::Error> {
        Ok(vec![host("b", false), host("a", true)])
    }

    fn reach(&self) -> Reach {
        self.reach.lock().unwrap().clone()
    }
}

fn host(writer: &str, is_this: bool) -> HostStatus {
    HostStatus {
        writer: writer.to_owned(),
        address: format!("{writer}.example"),
        version: "1".to_owned(),
        silent: Duration::from_secs(1),
        is_this,
    }
}

async fn start_on(guest: Guest, options: Options) -> (Arc<Tenants>, Arc<Remote>) {
    let remote = Arc::new(Remote::default());
    let file = GuestFile::new(&guest.build());
    let settings = file.settings(plugin::Limits::default());
    let host = Host {
        kv: Arc::clone(&remote) as Arc<dyn Driver>,
        ..host_of_tests()
    };
    let component = Component::load(&host, settings, LoadChecks::Open).await;
    let tenants = Tenants::start(of_all(component.unwrap()), options).await;
    (tenants.unwrap(), remote)
}

fn host_of_tests() -> Host {
    super::host(&Arc::new(MemoryDriver::new()))
}

fn no_writes() -> Reach {
    Reach {
        writes: Some("no quorum".to_owned()),
        reads: None,
    }
}

/// With tenants too: a store that is not reached stops all of them.
#[tokio::test]
async fn health_follows_what_is_reached_of_the_store() {
    for enabled in [true, false] {
        let options = Options {
            enabled,
            ..options()
        };
        let (tenants, remote) = start_on(Guest::new().replicated(), options).await;
        let mut health = tenants.health();
        assert!(*health.all.borrow() && *health.reads.borrow() && *health.writes.borrow());
        *remote.reach.lock().unwrap() = no_writes();
        health.writes.changed().await.unwrap();
        assert!(!*health.writes.borrow() && !*health.all.borrow());
        assert!(*health.reads.borrow());
        assert_eq!(tenants.reach(), no_writes());
        *remote.reach.lock().unwrap() = Reach::default();
        health.writes.changed().await.unwrap();
        assert!(*health.writes.borrow() && *health.all.borrow());
    }
}

#[tokio::test]
async fn a_plugin_that_keeps_its_data_in_memory_needs_no_store() {
    let (tenants, remote) = start_on(Guest::new(), options()).await;
    *remote.reach.lock().unwrap() = no_writes();
    assert_eq!(tenants.reach(), Reach::default());
    assert_eq!(tenants.store().await.reach, no_writes());
}

#[tokio::test]
async fn the_hosts_of_the_store_are_listed_by_their_ids() {
    let (tenants, _) = start_on(Guest::new().replicated(), options()).await;
    let expected = StoreStatus {
        driver: "remote",
        is_shared: true,
        reach: Reach::default(),
        hosts: Ok(vec![host("a", true), host("b", false)]),
        writers: Ok(Vec::new()),
    };
    assert_eq!(tenants.store().await, expected);
}
