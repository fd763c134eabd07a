//! Tenants that get another plugin than the others, and decisions that are exchanged.

use std::collections::BTreeMap;

use super::*;
use crate::plugin::Settings;
use crate::plugin::test_guest::OTHER;
use crate::tenancy::{Components, Plan, Taken, Wanted, Workshop};

/// A registry, and where its plugins lie.
struct Larder {
    registry: Registry,
    folder: tempfile::TempDir,
}

impl Larder {
    async fn start(plan: impl FnOnce(&tempfile::TempDir) -> Plan) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let kv = Arc::new(MemoryDriver::new());
        let workshop = Workshop {
            runtime: test_runtime(),
            kv: Arc::clone(&kv) as Arc<dyn kv::Driver>,
            metrics: Arc::new(Metrics::new()),
        };
        let blueprints = Blueprints::load(plan(&folder), &workshop).await.unwrap();
        let tenants = Tenants::start(blueprints, options()).await.unwrap();
        Self {
            registry: Registry { tenants, kv },
            folder,
        }
    }

    async fn exchange(&self, plan: Plan) -> Result<Taken, Unusable> {
        let redrawn = self.registry.tenants.redrawn(plan, Components::Again);
        self.registry.tenants.reload(redrawn.await?).await
    }

    fn quotas(&self, tenant: &str) -> Arc<Quotas> {
        self.registry.tenants.quotas(Some(&name(tenant))).unwrap()
    }
}

/// A tenant's part of a plan, with this guest.
fn wanted(folder: &tempfile::TempDir, guest: &Guest) -> Wanted {
    let bytes = guest.build();
    let file = format!("{:x}.wasm", xxhash_rust::xxh3::xxh3_64(&bytes));
    let path = folder.path().join(file);
    std::fs::write(&path, bytes).unwrap();
    Wanted {
        plugin: Settings {
            source: Source::File(path),
            settings: Vec::new(),
            limits: plugin::Limits::default(),
        },
        limits: limits(),
    }
}

fn plan<const N: usize>(default: Wanted, own: [(&str, Wanted); N]) -> Plan {
    let own = own.map(|(tenant, wanted)| (name(tenant), wanted));
    Plan {
        default,
        own: BTreeMap::from(own),
    }
}

#[tokio::test]
async fn an_exclusive_plugin_of_one_stays_where_a_replicated_one_of_another_is_put_away() {
    let larder = Larder::start(|folder| {
        let exclusive = wanted(folder, &counting());
        plan(
            wanted(folder, &Guest::new().replicated()),
            [("a", exclusive)],
        )
    })
    .await;
    let registry = &larder.registry;
    registry.write("a").await;
    drop(registry.open("b").await.unwrap());
    let later = Instant::now() + HOUR;
    assert_eq!(registry.tenants.put_away_idle(later, HOUR).await, 1);
    assert_eq!(registry.presence("b").await, Presence::Away);
    assert_eq!(registry.presence("a").await, Presence::Open);
    assert_eq!(registry.services("a").await, 1);
}

#[tokio::test]
async fn tenants_with_the_same_settings_share_an_opener_and_others_have_their_own() {
    let larder = Larder::start(|folder| {
        let same = wanted(folder, &counting());
        let mut other = same.clone();
        other.plugin.limits.memory = 2 << 20;
        plan(same.clone(), [("a", same), ("b", other)])
    })
    .await;
    let decided = &larder.registry.tenants.decided;
    let of = |tenant: &str| Arc::clone(&decided.of(tenant).opener);
    assert!(Arc::ptr_eq(&of("a"), &of("nobody")));
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
    let refuses = wanted(&folder, &Guest::new().with("open", OTHER));
    let larder = Larder::start(|folder| plan(wanted(folder, &Guest::new()), [])).await;
    let fine = wanted(&larder.folder, &Guest::new());
    let refused = larder.exchange(plan(fine, [("acme", refuses)])).await;
    let refused = refused.unwrap_err();
    let text = refused.to_string();
    assert!(text.contains("`tenancy.overrides.acme`"), "{text}");
    assert!(refused.source.to_string().contains("refused to open"));
}

#[tokio::test]
async fn quotas_that_are_exchanged_hold_at_once_for_tenants_that_are_open() {
    let larder = Larder::start(|folder| plan(wanted(folder, &counting()), [])).await;
    let registry = &larder.registry;
    registry.write("a").await;
    let (a, now) = (larder.quotas("a"), Instant::now());
    a.take_spans(1_000_000, now).unwrap();

    let all = wanted(&larder.folder, &counting());
    let mut own = all.clone();
    own.limits.spans_per_second = Some(1);
    own.limits.kv_quota = Some(0);
    own.plugin.limits.queue_depth = 0;
    larder
        .exchange(plan(all.clone(), [("a", own)]))
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

    larder.exchange(plan(all, [])).await.unwrap();
    a.take_spans(1, now).unwrap();
    registry.write("a").await;
    kv.put(&claim, object()).await.unwrap();
}

#[tokio::test]
async fn a_plugin_that_is_exchanged_runs_in_who_is_open_and_in_who_is_opened_next() {
    let larder = Larder::start(|folder| plan(wanted(folder, &Guest::new().replicated()), [])).await;
    let registry = &larder.registry;
    drop(registry.open("a").await.unwrap());
    let mut smaller = wanted(&larder.folder, &Guest::new().replicated());
    smaller.plugin.limits.memory = 2 << 20;
    larder.exchange(plan(smaller, [])).await.unwrap();
    let memory = async || {
        let all = registry.tenants.list().await.unwrap();
        let open = all.into_iter().find_map(|status| status.plugin);
        open.unwrap().memory_limit
    };
    assert_eq!(memory().await, 2 << 20, "what is open");
    let later = Instant::now() + HOUR;
    assert_eq!(registry.tenants.put_away_idle(later, HOUR).await, 1);
    registry.open("a").await.unwrap();
    assert_eq!(memory().await, 2 << 20);
}
