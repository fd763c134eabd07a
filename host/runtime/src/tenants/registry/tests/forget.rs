//! A purge removes the tenant's slot and makes room for another, unless the name is configured or in use.

use super::*;

async fn names(registry: &Registry) -> Vec<String> {
    let all = registry.tenants.list().await.unwrap();
    all.into_iter().map(|status| status.name).collect()
}

async fn stored(registry: &Registry) -> Vec<String> {
    let all = registry.kv.tenants().await.unwrap();
    let mut names: Vec<String> = all.into_iter().map(|stored| stored.tenant).collect();
    names.sort();
    names
}

async fn makes_room(guest: Guest) {
    let registry = start(guest).await;
    for tenant in ["a", "b", "c"] {
        registry.open(tenant).await.unwrap();
    }
    registry.tenants.purge("b").await.unwrap();
    assert_eq!(names(&registry).await, ["a", "c"]);
    assert_eq!(stored(&registry).await, ["a", "c"]);
    registry.write("d").await;
    assert_eq!(names(&registry).await, ["a", "c", "d"]);
    let refused = registry.open("b").await.err().unwrap();
    assert_eq!(refused.setting(), Some("tenancy.max_tenants"));
}

#[tokio::test]
async fn a_purged_tenant_makes_room_for_another() {
    makes_room(counting()).await;
    makes_room(Guest::new().replicated()).await;
}

#[tokio::test]
async fn an_evicted_tenant_makes_room_and_so_does_a_purge_of_all() {
    let registry = start(Guest::new().replicated()).await;
    for tenant in ["a", "b", "c"] {
        registry.open(tenant).await.unwrap();
    }
    let later = Instant::now() + HOUR;
    assert_eq!(registry.tenants.evict_idle(later, HOUR).await, 3);
    registry.tenants.purge("a").await.unwrap();
    assert_eq!(names(&registry).await, ["b", "c"]);
    registry.open("c").await.unwrap();
    registry.tenants.purge_all().await.unwrap();
    assert!(names(&registry).await.is_empty());
    assert!(stored(&registry).await.is_empty());
    for tenant in ["d", "e", "f"] {
        registry.write(tenant).await;
    }
}

#[tokio::test]
async fn configured_tenants_survive_a_purge() {
    let known = Options {
        known: vec![name("a")],
        ..options()
    };
    let registry = start_with(counting(), known).await;
    for tenant in ["a", "b"] {
        registry.write(tenant).await;
    }
    registry.tenants.purge_all().await.unwrap();
    assert_eq!(names(&registry).await, ["a"]);
    assert_eq!(registry.services("a").await, 0);

    let off = Options {
        enabled: false,
        ..options()
    };
    let registry = start_with(counting(), off).await;
    registry.tenants.purge_all().await.unwrap();
    assert_eq!(names(&registry).await, ["default"]);
    assert!(registry.tenants.get(None).is_some());
}

#[tokio::test]
async fn a_name_stays_while_somebody_uses_it() {
    let registry = start(counting()).await;
    let in_use = registry.open("a").await.unwrap();
    registry.tenants.purge("a").await.unwrap();
    assert_eq!(names(&registry).await, ["a"]);
    in_use.write(batch(1, b"spans")).await.unwrap();
    assert_eq!(in_use.services().await.unwrap().len(), 1);
    drop(in_use);
    registry.tenants.purge("a").await.unwrap();
    assert!(names(&registry).await.is_empty());
}

/// It holds a slot that was removed, and gets the new one.
#[tokio::test]
async fn a_caller_with_a_removed_slot_is_served_by_the_new_one() {
    let registry = start(counting()).await;
    registry.write("a").await;
    let tenants = &registry.tenants;
    let before = tenants.slot(&name("a")).unwrap();
    tenants.purge("a").await.unwrap();
    assert!(tenants.enter(&before).await.unwrap().is_none());
    registry.write("a").await;
    assert!(tenants.enter(&before).await.unwrap().is_none());
    assert_eq!(registry.services("a").await, 1);
}

/// A purge through a removed slot does not touch the data of the new one.
#[tokio::test]
async fn a_late_purge_does_not_touch_the_new_slot() {
    let registry = start(Guest::new().replicated()).await;
    registry.open("a").await.unwrap();
    let tenants = &registry.tenants;
    let before = tenants.slot(&name("a")).unwrap();
    tenants.purge("a").await.unwrap();
    registry.open("a").await.unwrap();
    let claim = registry.kv.open("a").await.unwrap();
    tenants.purge_slot(&before, true).await.unwrap();
    assert_eq!(names(&registry).await, ["a"]);
    let same = registry.kv.open("a").await.unwrap();
    assert!(Arc::ptr_eq(&claim, &same), "its namespace is another");
}

/// Whatever the order, no call fails, and what is written after the last purge is kept.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn calls_and_purges_at_a_time_lose_nothing_afterwards() {
    let registry = Arc::new(start(counting()).await);
    for round in 0..50 {
        let writes = (0..4).map(|_| {
            let registry = Arc::clone(&registry);
            tokio::spawn(async move { registry.write("a").await })
        });
        let mut all: Vec<_> = writes.collect();
        let purges = (0..3).map(|_| {
            let registry = Arc::clone(&registry);
            tokio::spawn(async move {
                match registry.tenants.purge("a").await {
                    Ok(()) | Err(Error::Unknown { .. }) => {}
                    Err(other) => panic!("{other}"),
                }
            })
        });
        all.extend(purges);
        for ended in futures_util::future::join_all(all).await {
            ended.unwrap();
        }
        registry.write("a").await;
        assert_eq!(registry.services("a").await, 1, "round {round}");
        assert_eq!(names(&registry).await, ["a"]);
    }
}

/// A driver that fails to renew a namespace.
struct WithoutRenewal(Arc<MemoryDriver>);

#[async_trait::async_trait]
impl kv::Driver for WithoutRenewal {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn is_durable(&self) -> bool {
        self.0.is_durable()
    }

    fn writer_id(&self) -> String {
        self.0.writer_id()
    }

    async fn open(&self, tenant: &str) -> Result<Arc<dyn kv::Namespace>, kv::Error> {
        self.0.open(tenant).await
    }

    async fn renew(&self, _: &str) -> Result<Arc<dyn kv::Namespace>, kv::Error> {
        Err(kv::Error::Fenced)
    }

    async fn forget(&self, tenant: &str) -> Result<(), kv::Error> {
        self.0.forget(tenant).await
    }

    async fn tenants(&self) -> Result<Vec<kv::TenantUsage>, kv::Error> {
        self.0.tenants().await
    }

    fn set_quotas(&self, quotas: kv::Quotas) {
        self.0.set_quotas(quotas);
    }
}

/// A new writer would need a new namespace, which this driver does not give.
#[tokio::test]
async fn a_purge_of_a_tenant_that_is_not_listed_starts_no_writer() {
    let kv = Arc::new(MemoryDriver::new());
    let file = GuestFile::new(&Guest::new().replicated().build());
    let host = Host {
        kv: Arc::new(WithoutRenewal(Arc::clone(&kv))),
        ..host(&kv)
    };
    let settings = file.settings(plugin::Limits::default());
    let component = Component::load(&host, settings, LoadChecks::Describe).await;
    let tenants = Tenants::start(of_all(component.unwrap()), options()).await;
    let registry = Registry {
        tenants: tenants.unwrap(),
        kv,
    };
    registry.open("idle").await.unwrap();
    registry
        .tenants
        .evict_idle(Instant::now() + HOUR, HOUR)
        .await;
    drop(registry.open("open").await.unwrap());
    let in_use = registry.open("busy").await.unwrap();
    for tenant in ["idle", "open"] {
        registry.tenants.purge(tenant).await.unwrap();
    }
    registry.tenants.purge("busy").await.unwrap_err();
    drop(in_use);
    assert_eq!(names(&registry).await, ["busy"]);
    assert_eq!(stored(&registry).await, ["busy"]);
}
