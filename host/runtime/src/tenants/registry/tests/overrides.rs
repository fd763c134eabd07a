//! Tenants that get another plugin than the others, and decisions that are exchanged.

use std::collections::BTreeMap;

use super::*;
use crate::plugin::PluginConfig;
use crate::tenants::{ComponentFiles, Config, Reloaded, TenantConfig};
use crate::test_support::guest::OTHER;

/// A registry, and where its plugins lie.
struct Larder {
    registry: Registry,
    folder: tempfile::TempDir,
}

impl Larder {
    async fn start(config: impl FnOnce(&tempfile::TempDir) -> Config) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let kv = Arc::new(MemoryDriver::new());
        let config = config(&folder).load(&host(&kv)).await.unwrap();
        let tenants = Tenants::start(config, options()).await.unwrap();
        Self {
            registry: Registry { tenants, kv },
            folder,
        }
    }

    async fn reload(&self, config: Config) -> Result<Reloaded, LoadError> {
        let loaded = self.registry.tenants.load(config, ComponentFiles::Reread);
        self.registry.tenants.reload(loaded.await?).await
    }

    fn quotas(&self, tenant: &str) -> Arc<Quotas> {
        self.registry.tenants.quotas(Some(&name(tenant))).unwrap()
    }
}

/// A tenant's configuration, with this guest.
fn tenant(folder: &tempfile::TempDir, guest: &Guest) -> TenantConfig {
    let bytes = guest.build();
    let file = format!("{:x}.wasm", xxhash_rust::xxh3::xxh3_64(&bytes));
    let path = folder.path().join(file);
    std::fs::write(&path, bytes).unwrap();
    TenantConfig {
        plugin: PluginConfig {
            source: Source::File(path),
            settings: Vec::new(),
            limits: plugin::Limits::default(),
            grants: plugin::Grants::default(),
        },
        quotas: limits(),
    }
}

fn config<const N: usize>(default: TenantConfig, overrides: [(&str, TenantConfig); N]) -> Config {
    let overrides = overrides.map(|(tenant, config)| (name(tenant), config));
    Config {
        default,
        overrides: BTreeMap::from(overrides),
    }
}

#[tokio::test]
async fn an_exclusive_plugin_of_one_stays_where_a_replicated_one_of_another_is_evicted() {
    let larder = Larder::start(|folder| {
        let exclusive = tenant(folder, &counting());
        config(
            tenant(folder, &Guest::new().replicated()),
            [("a", exclusive)],
        )
    })
    .await;
    let registry = &larder.registry;
    registry.write("a").await;
    drop(registry.open("b").await.unwrap());
    let later = Instant::now() + HOUR;
    assert_eq!(registry.tenants.evict_idle(later, HOUR).await, 1);
    assert_eq!(registry.presence("b").await, Presence::Away);
    assert_eq!(registry.presence("a").await, Presence::Open);
    assert_eq!(registry.services("a").await, 1);
}

#[tokio::test]
async fn tenants_with_the_same_settings_share_a_component_and_others_have_their_own() {
    let larder = Larder::start(|folder| {
        let same = tenant(folder, &counting());
        let mut other = same.clone();
        other.plugin.limits.memory = 2 << 20;
        config(same.clone(), [("a", same), ("b", other)])
    })
    .await;
    let current = &larder.registry.tenants.current;
    let of = |tenant: &str| current.of(tenant).plugin;
    assert!(Arc::ptr_eq(&of("a"), &of("unlisted")));
    assert!(!Arc::ptr_eq(&of("a"), &of("b")));
    larder.registry.open("b").await.unwrap();
    let all = larder.registry.tenants.list().await.unwrap();
    let told = all.iter().find(|status| status.name == "b").unwrap();
    assert_eq!(told.plugin.as_ref().unwrap().memory_limit, 2 << 20);
    assert_eq!(told.limits.memory, 2 << 20);
}

#[tokio::test]
async fn an_override_whose_plugin_refuses_to_open_is_told_with_its_tenant() {
    let folder = tempfile::tempdir().unwrap();
    let refuses = tenant(&folder, &Guest::new().with("open", OTHER));
    let larder = Larder::start(|folder| config(tenant(folder, &Guest::new()), [])).await;
    let fine = tenant(&larder.folder, &Guest::new());
    let refused = larder.reload(config(fine, [("acme", refuses)])).await;
    let refused = refused.unwrap_err();
    let text = refused.to_string();
    assert!(text.contains("`tenancy.overrides.acme`"), "{text}");
    assert!(refused.source.to_string().contains("refused to open"));
}

#[tokio::test]
async fn quotas_that_are_exchanged_hold_at_once_for_tenants_that_are_open() {
    let larder = Larder::start(|folder| config(tenant(folder, &counting()), [])).await;
    let registry = &larder.registry;
    registry.write("a").await;
    let (a, now) = (larder.quotas("a"), Instant::now());
    a.take_spans(1_000_000, now).unwrap();

    let all = tenant(&larder.folder, &counting());
    let mut own = all.clone();
    own.quotas.spans_per_second = Some(1);
    own.quotas.kv_quota = Some(0);
    own.plugin.limits.queue_depth = 0;
    larder
        .reload(config(all.clone(), [("a", own)]))
        .await
        .unwrap();
    a.take_spans(1_000_000, now).unwrap();
    assert!(a.take_spans(1, now).is_err());
    larder.quotas("b").take_spans(1_000_000, now).unwrap();
    larder.quotas("b").take_spans(1, now).unwrap();

    let storage = registry.open("a").await.unwrap();
    let refused = storage.write(batch(1, b"spans")).await.unwrap_err();
    assert_eq!(refused.setting(), Some("limits.queue_depth"));
    registry.write("b").await;

    let kv = registry.kv.open("a").await.unwrap();
    let claim = kv.claim("w").await.unwrap();
    let object = || {
        let (partition, sort) = ("p".to_owned(), b"s".to_vec());
        let key = kv::Key { partition, sort };
        vec![kv::Object {
            key,
            value: vec![1],
        }]
    };
    let refused = kv.put(&claim, object()).await;
    assert!(matches!(refused, Err(kv::Error::QuotaExceeded(_))));

    larder.reload(config(all, [])).await.unwrap();
    a.take_spans(1, now).unwrap();
    registry.write("a").await;
    kv.put(&claim, object()).await.unwrap();
}

#[tokio::test]
async fn a_plugin_that_is_exchanged_runs_in_who_is_open_and_in_who_is_opened_next() {
    let larder =
        Larder::start(|folder| config(tenant(folder, &Guest::new().replicated()), [])).await;
    let registry = &larder.registry;
    drop(registry.open("a").await.unwrap());
    let mut smaller = tenant(&larder.folder, &Guest::new().replicated());
    smaller.plugin.limits.memory = 2 << 20;
    larder.reload(config(smaller, [])).await.unwrap();
    let memory = async || {
        let all = registry.tenants.list().await.unwrap();
        let open = all.into_iter().find_map(|status| status.plugin);
        open.unwrap().memory_limit
    };
    assert_eq!(memory().await, 2 << 20, "what is open");
    let later = Instant::now() + HOUR;
    assert_eq!(registry.tenants.evict_idle(later, HOUR).await, 1);
    registry.open("a").await.unwrap();
    assert_eq!(memory().await, 2 << 20);
}

/// The guest opens only in an instance that was asked to describe itself.
#[tokio::test]
async fn a_changed_component_is_described_and_tried_out_by_one_instance() {
    let larder = Larder::start(|folder| config(tenant(folder, &Guest::new()), [])).await;
    let described = Guest::new()
        .and("(global $described (mut i32) (i32.const 0))")
        .with(
            "describe",
            "(global.set $described (i32.const 1)) (i32.const 1024)",
        )
        .with(
            "open",
            "(select (i32.const 4096) (i32.const 6144) (global.get $described))",
        );
    let next = tenant(&larder.folder, &described);
    larder.reload(config(next.clone(), [])).await.unwrap();
    let mut changed = next;
    changed.plugin.limits.memory = 2 << 20;
    let refused = larder.reload(config(changed, [])).await.unwrap_err();
    assert!(refused.source.to_string().contains("refused to open"));
}
