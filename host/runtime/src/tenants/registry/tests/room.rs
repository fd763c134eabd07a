//! The bounds of open tenants: the one that was called least recently is evicted for another.

use std::sync::Weak;

use larder_model::storage::{Batch, Keep, Observer, Observers, Statistics, StorageSource};

use super::*;
use crate::sandbox::{Runtime, RuntimeConfig};

/// An observer that holds a GiB of each tenant.
struct Heavy;

#[async_trait::async_trait]
impl Observers for Heavy {
    async fn open(
        &self,
        _: &str,
        _: Arc<dyn Keep>,
        _: Weak<dyn StorageSource>,
    ) -> Arc<dyn Observer> {
        Arc::new(Self)
    }
}

#[async_trait::async_trait]
impl Observer for Heavy {
    async fn before_write(&self, _: u64, _: &[&Batch]) -> Result<(), storage::Error> {
        Ok(())
    }

    fn after_write(&self) {}

    fn counted(&self, _: u64, _: &Statistics) {}

    async fn forget(&self, _: Arc<dyn Keep>) -> Result<(), storage::Error> {
        Ok(())
    }

    async fn close(&self) {}

    fn memory(&self) -> u64 {
        1 << 30
    }
}

fn many() -> Options {
    Options {
        max_tenants: 100,
        ..options()
    }
}

/// Like [`start_with`], with at most `max_instances` instances at a time.
async fn start_within(max_instances: u64, guest: Guest, options: Options) -> Registry {
    let kv = Arc::new(MemoryDriver::new());
    let config = RuntimeConfig {
        max_instances: Some(max_instances),
        ..RuntimeConfig::default()
    };
    let host = Host {
        runtime: Runtime::new(&config).unwrap(),
        ..host(&kv)
    };
    let file = GuestFile::new(&guest.build());
    let settings = file.settings(plugin::Limits::default());
    let component = Component::load(&host, settings, LoadChecks::Open).await;
    let tenants = Tenants::start(of_all(component.unwrap()), options).await;
    let tenants = tenants.unwrap();
    Registry { tenants, kv }
}

async fn open_ones(registry: &Registry) -> Vec<String> {
    let all = registry.tenants.list().await.unwrap();
    let open = all.into_iter().filter(|it| it.state == Presence::Open);
    open.map(|it| it.name).collect()
}

#[tokio::test]
async fn the_number_of_open_tenants_is_bounded_and_all_are_served() {
    let few = Options {
        max_open: 2,
        ..many()
    };
    let registry = start_with(Guest::new().replicated(), few).await;
    for tenant in ["a", "b", "a", "c", "d"] {
        registry.services(tenant).await;
    }
    assert_eq!(open_ones(&registry).await, ["c", "d"]);
    registry.services("c").await;
    registry.services("a").await;
    assert_eq!(open_ones(&registry).await, ["a", "c"]);
}

#[tokio::test]
async fn a_tenant_in_use_keeps_its_place() {
    let few = Options {
        max_open: 2,
        ..many()
    };
    let registry = start_with(Guest::new().replicated(), few).await;
    let in_use = registry.open("a").await.unwrap();
    for tenant in ["b", "c", "d"] {
        registry.services(tenant).await;
    }
    assert_eq!(open_ones(&registry).await, ["a", "d"]);
    drop(in_use);
}

#[tokio::test]
async fn many_that_are_opened_at_a_time_are_all_served_within_the_bounds() {
    let few = Options {
        max_open: 3,
        ..many()
    };
    let registry = start_with(Guest::new().replicated(), few).await;
    let names: Vec<String> = (0..24).map(|number| format!("t{number}")).collect();
    let calls = names.iter().map(|tenant| registry.services(tenant));
    futures_util::future::join_all(calls).await;
    assert!(open_ones(&registry).await.len() <= 3);
}

#[tokio::test]
async fn the_memory_of_open_tenants_is_bounded() {
    let little = Options {
        open_memory: 1,
        ..many()
    };
    let registry = start_with(Guest::new().replicated(), little).await;
    for tenant in ["a", "b", "c"] {
        registry.services(tenant).await;
        assert_eq!(open_ones(&registry).await, [tenant]);
    }
    let _in_use = registry.open("c").await.unwrap();
    let refused = registry.open("d").await.err().unwrap();
    assert_eq!(refused.kind(), ErrorKind::ResourceExhausted);
    assert_eq!(refused.setting(), Some("tenancy.open_memory"));
}

#[tokio::test]
async fn what_the_host_holds_of_open_tenants_counts_as_their_memory() {
    for (is_observed, open) in [(false, &["a", "b"][..]), (true, &["b"])] {
        let kv = Arc::new(MemoryDriver::new());
        let host = Host {
            observers: is_observed.then(|| Arc::new(Heavy) as Arc<dyn Observers>),
            ..host(&kv)
        };
        let file = GuestFile::new(&Guest::new().replicated().build());
        let settings = file.settings(plugin::Limits::default());
        let component = Component::load(&host, settings, LoadChecks::Open).await;
        let options = Options {
            open_memory: 1 << 30,
            ..many()
        };
        let tenants = Tenants::start(of_all(component.unwrap()), options).await;
        let registry = Registry {
            tenants: tenants.unwrap(),
            kv,
        };
        for tenant in ["a", "b"] {
            registry.services(tenant).await;
        }
        assert_eq!(open_ones(&registry).await, open);
    }
}

/// Of eight instances, six may be writers. Each tenant that is read has a reader as well, for which another tenant is evicted.
#[tokio::test]
async fn instances_are_bounded_and_all_tenants_are_served() {
    let registry = start_within(8, Guest::new().replicated(), many()).await;
    let names: Vec<String> = (0..12).map(|number| format!("t{number:02}")).collect();
    for tenant in &names {
        drop(registry.open(tenant).await.unwrap());
    }
    assert_eq!(open_ones(&registry).await, names[6..]);
    for tenant in names.iter().chain(&names) {
        registry.services(tenant).await;
        assert!(open_ones(&registry).await.contains(tenant));
    }
    assert!(open_ones(&registry).await.len() <= 4);
}

#[tokio::test]
async fn a_call_without_an_instance_is_told_the_limit() {
    let registry = start_within(4, Guest::new().replicated(), many()).await;
    let mut in_use = Vec::new();
    for tenant in ["a", "b", "c"] {
        in_use.push(registry.open(tenant).await.unwrap());
    }
    let refused = registry.open("d").await.err().unwrap();
    assert_eq!(refused.kind(), ErrorKind::ResourceExhausted);
    assert!(
        refused.to_string().contains("vm.max_map_count"),
        "{refused}"
    );
    // The rest is for readers of those that are open.
    assert!(in_use[0].services().await.is_ok());
    let refused = in_use[1].services().await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ResourceExhausted);
    assert!(
        refused.to_string().contains("vm.max_map_count"),
        "{refused}"
    );
    in_use.clear();
    registry.services("d").await;
}

#[tokio::test]
async fn a_reload_changes_the_number() {
    let registry = start_with(Guest::new().replicated(), many()).await;
    for tenant in ["a", "b", "c", "d"] {
        registry.services(tenant).await;
    }
    let few = Options {
        max_open: 2,
        ..many()
    };
    registry.tenants.set_options(few);
    registry.services("e").await;
    assert_eq!(open_ones(&registry).await, ["d", "e"]);
}
