//! Another plugin and other tenants while some are open, some evicted, and one whose plugin cannot be replaced.

use super::*;
use crate::test_support::guest::KV;

/// The version, over that of the guests.
const SECOND: &str = r#"(data (i32.const 2064) "2.0")"#;
const THIRD: &str = r#"(data (i32.const 2064) "3.0")"#;

fn guest() -> Guest {
    let guest = Guest::new().replicated().and(KV);
    guest
        .with("write", "(call $write)")
        .with("services", "(call $find)")
}

/// A guest that refuses to open a store with data.
fn refuses_data() -> Guest {
    guest().and(SECOND).with(
        "open",
        "(select (i32.const 6144) (i32.const 4096) (i32.eq (call $find) (i32.const 5120)))",
    )
}

impl Registry {
    async fn reload(&self, guest: &Guest) -> Result<crate::tenants::Reloaded, LoadError> {
        let next = load(guest, &self.kv).await;
        let next = next.map_err(|source| LoadError::new(None, source))?;
        self.tenants.reload(of_all(next)).await
    }

    async fn version(&self, tenant: &str) -> Option<String> {
        let all = self.tenants.list().await.unwrap();
        let of = all.into_iter().find(|status| status.name == tenant);
        Some(of.unwrap().plugin?.version)
    }
}

#[tokio::test]
async fn a_reload_replaces_open_tenants_and_applies_to_evicted_ones() {
    let registry = start(guest()).await;
    for tenant in ["a", "b"] {
        registry.write(tenant).await;
    }
    let later = Instant::now() + HOUR;
    registry.tenants.evict_idle(later, HOUR).await;
    registry.open("b").await.unwrap();
    let taken = registry.reload(&guest().and(SECOND)).await.unwrap();
    assert_eq!(taken.replaced, [name("b")]);
    assert!(taken.failed.is_empty(), "{taken:?}");
    assert_eq!(registry.version("b").await.as_deref(), Some("2.0"));
    assert_eq!(registry.presence("a").await, Presence::Away);
    assert_eq!(registry.services("a").await, 1);
    assert_eq!(registry.version("a").await.as_deref(), Some("2.0"));
    assert_eq!(registry.tenants.status().version, "2.0");
}

#[tokio::test]
async fn a_failed_exchange_keeps_the_old_plugin_across_eviction_until_one_succeeds() {
    let registry = start(guest()).await;
    registry.write("full").await;
    registry.open("empty").await.unwrap();
    let next = component(&refuses_data(), &registry.kv).await;
    let again = next.with(next.config().clone());
    let taken = registry.tenants.reload(of_all(next)).await.unwrap();
    assert_eq!(taken.replaced, [name("empty")]);
    assert_eq!(taken.failed.len(), 1);
    assert_eq!(taken.failed[0].tenant, name("full"));
    let reason = &taken.failed[0].reason;
    assert!(reason.contains("refused to open"), "{reason}");
    assert_eq!(registry.services("full").await, 1);

    let later = Instant::now() + HOUR;
    assert_eq!(registry.tenants.evict_idle(later, HOUR).await, 2);
    let again = registry.tenants.reload(of_all(again)).await.unwrap();
    assert_eq!(again, crate::tenants::Reloaded::default());
    assert_eq!(registry.services("full").await, 1);
    assert_eq!(registry.version("full").await.as_deref(), Some("1.0"));

    let taken = registry.reload(&guest().and(THIRD)).await.unwrap();
    assert_eq!(taken.replaced, [name("full")]);
    assert_eq!(registry.version("full").await.as_deref(), Some("3.0"));
}

#[tokio::test]
async fn without_tenancy_a_plugin_that_cannot_be_replaced_refuses_the_reload() {
    let off = Options {
        enabled: false,
        ..options()
    };
    let registry = start_with(guest(), off).await;
    let storage = registry.tenants.get(None).unwrap();
    storage.write(batch(1, b"spans")).await.unwrap();
    let before = registry.tenants.default_component();
    registry.reload(&refuses_data()).await.unwrap_err();
    assert!(Arc::ptr_eq(&before, &registry.tenants.default_component()));
    assert_eq!(registry.version("default").await.as_deref(), Some("1.0"));
    assert_eq!(registry.tenants.status().version, "1.0");
    let storage = registry.tenants.get(None).unwrap();
    assert_eq!(storage.services().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_plugin_that_does_not_open_on_an_empty_store_changes_no_tenant() {
    let registry = start(guest()).await;
    registry.write("a").await;
    let broken = guest().and(SECOND).with("open", OTHER);
    registry.reload(&broken).await.unwrap_err();
    assert_eq!(registry.version("a").await.as_deref(), Some("1.0"));
    let kv = registry.kv.open("a").await.unwrap();
    assert_eq!(
        kv.claim("local").await.unwrap().epoch,
        2,
        "it was opened once"
    );
}

#[tokio::test]
async fn a_new_list_adds_tenants_and_evicts_removed_ones() {
    let listed = |names: &[&str]| Options {
        known: names.iter().copied().map(name).collect(),
        ..options()
    };
    let registry = start_with(guest(), listed(&["a", "b"])).await;
    for tenant in ["a", "b"] {
        registry.write(tenant).await;
    }
    registry.tenants.set(listed(&["b", "c"])).await;
    assert_eq!(registry.presence("a").await, Presence::Away);
    assert_eq!(registry.presence("b").await, Presence::Open);
    assert_eq!(registry.presence("c").await, Presence::Away);
    assert_eq!(registry.services("a").await, 1, "what it stored is there");
}
