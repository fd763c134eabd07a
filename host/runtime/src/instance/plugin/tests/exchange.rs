//! Replacing the component or its settings at run time: no call fails, no data is lost, and a component that cannot run changes nothing.

use std::sync::atomic::{AtomicBool, Ordering};

use larder_store::{Driver as _, MemoryDriver};

use super::*;
use crate::instance::Exchanged;
use crate::sandbox::Grants;
use crate::test_support::guest::{KV, OK};

/// The version, over that of the guests.
const SECOND: &str = r#"(data (i32.const 2064) "2.0")"#;
/// The name, over that of the guests.
const RENAMED: &str = r#"(data (i32.const 2048) "other")"#;
/// `write`, of a guest that dies of anything.
const TRAP: &str = "(unreachable)";

/// A component that tenants are opened with, its file and its store.
struct Bench {
    file: GuestFile,
    kv: Arc<MemoryDriver>,
    component: Arc<Component>,
    limits: Limits,
}

fn first() -> Guest {
    let guest = Guest::new().replicated().and(KV);
    guest
        .with("write", "(call $write)")
        .with("services", "(call $find)")
}

fn second() -> Guest {
    first().and(SECOND)
}

// === impl Bench ===

impl Bench {
    async fn new(guest: &Guest) -> Self {
        Self::with(guest, limits()).await
    }

    async fn with(guest: &Guest, limits: Limits) -> Self {
        let file = GuestFile::new(&guest.build());
        let kv = Arc::new(MemoryDriver::new());
        let settings = file.settings(limits.clone());
        let driver = Arc::clone(&kv) as Arc<dyn kv::Driver>;
        let host = Host {
            runtime: runtime(),
            kv: driver,
            metrics: Arc::new(Metrics::new()),
            observers: None,
        };
        let component = Component::load(&host, settings, LoadChecks::Describe).await;
        Self {
            file,
            kv,
            component: component.unwrap(),
            limits,
        }
    }

    async fn tenant(&self) -> Arc<Plugin> {
        self.component.open("a").await.unwrap()
    }

    fn settings(&self) -> PluginConfig {
        self.file.settings(self.limits.clone())
    }

    /// As an operator does it: another file under the same name.
    async fn reloaded(&self, guest: &Guest) -> Arc<Component> {
        self.file.replace(&guest.build());
        self.component
            .reload(self.settings(), LoadChecks::Describe)
            .await
            .unwrap()
    }

    /// The number of claims of the tenant's namespace, including this one.
    async fn claims(&self) -> u64 {
        let namespace = self.kv.open("a").await.unwrap();
        namespace.claim("local").await.unwrap().epoch
    }
}

#[tokio::test]
async fn writer_and_readers_are_new_and_what_was_written_is_there() {
    let bench = Bench::new(&first()).await;
    let tenant = bench.tenant().await;
    tenant.write(batch(1, b"spans")).await.unwrap();
    let next = bench.reloaded(&second().with("operations", TRAP)).await;
    assert_eq!(tenant.exchange(&next).await.unwrap(), Exchanged::Replaced);
    let status = tenant.status();
    assert_eq!((&*status.version, status.restarts), ("2.0", 0));
    assert_eq!(services(&tenant).await, ["guest"]);
    storage(&tenant).operations("x").await.unwrap_err();
    tenant.write(batch(2, b"spans")).await.unwrap();
    assert!(*tenant.ready().borrow());
}

#[tokio::test]
async fn writes_and_reads_go_on_during_an_exchange() {
    let bench = Bench::new(&first()).await;
    let tenant = bench.tenant().await;
    tenant.write(batch(1, b"spans")).await.unwrap();
    let components = [
        bench.reloaded(&second()).await,
        bench.reloaded(&first()).await,
    ];
    let done = Arc::new(AtomicBool::new(false));
    let load: Vec<_> = (0..4_u128)
        .map(|client| {
            let (tenant, done) = (Arc::clone(&tenant), Arc::clone(&done));
            tokio::spawn(async move {
                let mut calls = 0_u128;
                while !done.load(Ordering::Relaxed) {
                    tenant
                        .write(batch(client << 32 | calls, b"spans"))
                        .await
                        .unwrap();
                    let storage = storage(&tenant);
                    assert_eq!(storage.services().await.unwrap(), ["guest"]);
                    assert_eq!(storage.services().await.unwrap(), ["guest"]);
                    calls += 1;
                }
                calls
            })
        })
        .collect();
    for round in 0..20 {
        let exchanged = tenant.exchange(&components[round % 2]).await.unwrap();
        assert_eq!(exchanged, Exchanged::Replaced);
        tokio::task::yield_now().await;
    }
    done.store(true, Ordering::Relaxed);
    for client in load {
        client.await.unwrap();
    }
    assert_eq!(tenant.status().restarts, 0);
}

#[tokio::test]
async fn one_that_cannot_be_opened_leaves_what_ran_before() {
    let bench = Bench::new(&first()).await;
    let tenant = bench.tenant().await;
    for (open, reason) in [(OTHER, "refused to open: other: no"), (TRAP, "a trap")] {
        let next = bench.reloaded(&second().with("open", open)).await;
        let error = tenant.exchange(&next).await.unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
        tenant.write(batch(1, b"spans")).await.unwrap();
        assert_eq!(services(&tenant).await, ["guest"]);
        assert_eq!(
            (&*tenant.status().version, tenant.status().restarts),
            ("1.0", 0)
        );
    }
}

/// Neither a page's `resume` nor a fragment's handle goes from one component to another.
#[tokio::test]
async fn a_query_goes_on_asking_what_it_began_with() {
    let bench = Bench::new(&first().with("services", ONE_SERVICE)).await;
    let tenant = bench.tenant().await;
    let fresh = storage(&tenant);
    let under_way = storage(&tenant);
    assert_eq!(under_way.services().await.unwrap(), ["guest"]);
    let next = bench.reloaded(&second().with("services", OK)).await;
    tenant.exchange(&next).await.unwrap();
    for began in [under_way, fresh] {
        assert_eq!(began.services().await.unwrap(), ["guest"]);
    }
    let begins = storage(&tenant);
    assert!(begins.services().await.unwrap().is_empty());
}

#[tokio::test]
async fn readers_of_what_ran_before_forget_with_the_others() {
    let bench = Bench::new(&first()).await;
    let tenant = bench.tenant().await;
    tenant.write(batch(1, b"spans")).await.unwrap();
    let under_way = storage(&tenant);
    assert_eq!(under_way.services().await.unwrap(), ["guest"]);
    let next = bench.reloaded(&second()).await;
    tenant.exchange(&next).await.unwrap();
    tenant.purge().await.unwrap();
    assert!(under_way.services().await.unwrap().is_empty());
}

#[tokio::test]
async fn the_instances_of_what_ran_before_go_with_the_last_query() {
    let bench = Bench::new(&first()).await;
    let tenant = bench.tenant().await;
    let writer = tenant.status().memory_used;
    let under_way = storage(&tenant);
    under_way.services().await.unwrap();
    let next = bench.reloaded(&second()).await;
    tenant.exchange(&next).await.unwrap();
    assert_eq!(tenant.status().memory_used, 2 * writer, "and a reader");
    drop(under_way);
    assert_eq!(tenant.status().memory_used, writer);
}

/// What is taken away does not stay because the plugin refuses to start without it.
#[tokio::test]
async fn a_grant_that_is_taken_away_is_gone_even_if_the_plugin_does_not_start_then() {
    let mut bench = Bench::new(&first()).await;
    let with_clock = PluginConfig {
        grants: Grants {
            clock: true,
            ..Grants::default()
        },
        ..bench.settings()
    };
    let granted = bench.component.reload(with_clock, LoadChecks::Describe);
    bench.component = granted.await.unwrap();
    let tenant = bench.tenant().await;
    let next = bench.reloaded(&second().with("open", OTHER)).await;
    tenant.exchange(&next).await.unwrap_err();
    assert_eq!(tenant.component().config().grants, Grants::default());
    assert!(!*tenant.ready().borrow());
    let mended = bench.reloaded(&second()).await;
    assert_eq!(tenant.exchange(&mended).await.unwrap(), Exchanged::Replaced);
    tenant.write(batch(1, b"spans")).await.unwrap();
}

#[tokio::test]
async fn an_unchanged_component_is_not_replaced() {
    let bench = Bench::new(&first()).await;
    let tenant = bench.tenant().await;
    let same = bench.reloaded(&first()).await;
    assert_eq!(tenant.exchange(&same).await.unwrap(), Exchanged::Unchanged);
    assert_eq!(bench.claims().await, 2, "only the first writer was opened");
}

#[tokio::test]
async fn a_changed_setting_needs_no_new_compilation_but_new_instances() {
    let bench = Bench::new(&first()).await;
    let tenant = bench.tenant().await;
    let settings = PluginConfig {
        settings: vec![("colour".into(), "blue".into())],
        ..bench.settings()
    };
    let next = bench
        .component
        .reload(settings, LoadChecks::Describe)
        .await
        .unwrap();
    assert_eq!(tenant.exchange(&next).await.unwrap(), Exchanged::Replaced);
    assert_eq!(bench.claims().await, 3);
}

#[tokio::test]
async fn limits_of_the_queue_cost_no_instance() {
    let bench = Bench::new(&first()).await;
    let tenant = bench.tenant().await;
    tenant.set_queue(0, 1 << 20);
    let full = tenant.write(batch(1, b"spans")).await.unwrap_err();
    assert_eq!(full.setting(), Some("limits.queue_depth"));
    let full = storage(&tenant).services().await.unwrap_err();
    assert_eq!(full.setting(), Some("limits.queue_depth"));
    tenant.set_queue(1, 1 << 20);
    tenant.write(batch(1, b"spans")).await.unwrap();
    assert_eq!(services(&tenant).await, ["guest"]);
    assert_eq!(bench.claims().await, 2);
}

#[tokio::test]
async fn an_exclusive_plugin_keeps_what_it_holds() {
    let guest = || {
        Guest::new()
            .with("write", TRAP_ON_X)
            .with("services", ONE_SERVICE_IF_WRITTEN)
    };
    let bench = Bench::new(&guest()).await;
    let tenant = bench.tenant().await;
    tenant.write(batch(1, b"spans")).await.unwrap();
    let next = bench.reloaded(&guest().and(SECOND)).await;
    let error = tenant.exchange(&next).await.unwrap_err();
    assert!(matches!(error, Error::NeedsRestart { .. }), "{error}");
    assert!(error.to_string().contains("loses all"), "{error}");
    assert!(error.to_string().contains("restart the server"), "{error}");
    assert_eq!(services(&tenant).await, ["guest"]);
    assert_eq!(tenant.status().version, "1.0");
}

#[tokio::test]
async fn a_plugin_of_another_kind_or_name_does_not_take_its_place() {
    let bench = Bench::new(&first()).await;
    let tenant = bench.tenant().await;
    for (next, reason) in [
        (Guest::new(), "see nothing of what is stored"),
        (first().and(RENAMED), "`other` is another plugin"),
    ] {
        let next = bench.reloaded(&next).await;
        let error = tenant.exchange(&next).await.unwrap_err();
        assert!(matches!(error, Error::NeedsRestart { .. }), "{error}");
        assert!(error.to_string().contains(reason), "{error}");
    }
    assert_eq!(bench.claims().await, 2, "no instance was opened");
}

#[tokio::test]
async fn a_poisonous_batch_is_tried_again_with_a_new_component() {
    let bench = Bench::new(&first().with("write", TRAP)).await;
    let tenant = bench.tenant().await;
    loop {
        until_ready(&tenant).await;
        let error = tenant.write(batch(1, b"spans")).await.unwrap_err();
        if error.kind() == ErrorKind::Poison {
            break;
        }
    }
    let next = bench.reloaded(&second()).await;
    tenant.exchange(&next).await.unwrap();
    tenant.write(batch(1, b"spans")).await.unwrap();
}

/// Without waiting for the time of its next start, which is an hour away.
#[tokio::test]
async fn a_plugin_that_is_down_is_mended_at_once() {
    let limits = Limits {
        restart_delay: Duration::from_hours(1),
        ..limits()
    };
    let bench = Bench::with(&first().with("write", TRAP), limits).await;
    let tenant = bench.tenant().await;
    while tenant.status().state == State::Ready {
        drop(tenant.write(batch(1, b"spans")).await);
        tokio::task::yield_now().await;
    }
    let next = bench.reloaded(&second()).await;
    tenant.exchange(&next).await.unwrap();
    tenant.write(batch(1, b"spans")).await.unwrap();
    assert_eq!(tenant.status().state, State::Ready);
}

#[tokio::test]
async fn a_file_that_is_no_plugin_is_told_and_nothing_is_opened() {
    let bench = Bench::new(&first()).await;
    for bytes in [&b"\0asm\x0d\0\x01\0half"[..], b"", b"no wasm"] {
        bench.file.replace(bytes);
        let reloaded = bench
            .component
            .reload(bench.settings(), LoadChecks::Describe)
            .await;
        let error = reloaded.err().unwrap();
        assert!(matches!(error, Error::Load { .. }), "{error}");
    }
    std::fs::remove_file(bench.file.path()).unwrap();
    let reloaded = bench
        .component
        .reload(bench.settings(), LoadChecks::Describe)
        .await;
    let error = reloaded.err().unwrap();
    assert!(matches!(error, Error::Read { .. }), "{error}");
}

#[tokio::test]
async fn after_a_shutdown_nothing_is_exchanged() {
    let bench = Bench::new(&first()).await;
    let tenant = bench.tenant().await;
    let next = bench.reloaded(&second()).await;
    tenant.shutdown().await;
    let error = tenant.exchange(&next).await.unwrap_err();
    assert!(matches!(error, Error::Stopping { .. }), "{error}");
}

#[tokio::test]
async fn readers_that_failed_before_the_exchange_say_nothing_of_those_after_it() {
    let slow = Limits {
        restart_delay: Duration::from_hours(1),
        ..limits()
    };
    let bench = Bench::with(&first().with("operations", TRAP), slow).await;
    let tenant = bench.tenant().await;
    let before = storage(&tenant);
    for _ in 0..2 {
        before.operations("x").await.unwrap_err();
    }
    assert!(!*tenant.ready().borrow());
    let next = bench.reloaded(&second()).await;
    tenant.exchange(&next).await.unwrap();
    assert_eq!(tenant.status().state, State::Ready);
    assert!(*tenant.ready().borrow());
    before.operations("x").await.unwrap_err();
    assert_eq!(tenant.status().state, State::Ready);

    let next = bench.reloaded(&first().with("operations", TRAP)).await;
    tenant.exchange(&next).await.unwrap();
    let under_way = storage(&tenant);
    under_way.operations("x").await.unwrap_err();
    let next = bench.reloaded(&second()).await;
    tenant.exchange(&next).await.unwrap();
    under_way.operations("x").await.unwrap_err();
    assert_eq!(
        tenant.status().state,
        State::Ready,
        "they are no longer its"
    );
}
