//! Tenants with small hostile guests: what fails is answered, and what comes next is served.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::time::Duration;

use larder_model::storage::ErrorKind;

use super::*;
use crate::component::{Limits, State};
use crate::sandbox::RuntimeConfig;
use crate::test_support::guest::{
    Guest, NAMELESS_SERVICE, ONE_SERVICE, ONE_SERVICE_IF_WRITTEN, OTHER, SPIN, TRAP_ON_X,
};
use crate::test_support::{GuestFile, batch, runtime};

mod ahead;
mod clock;
mod durable;
mod dying;
mod exchange;
mod failures;
mod kv_backed;
mod observed;
mod reading;
mod refreshing;
mod shared;
mod startup;
mod turns;
mod versions;

struct Opened {
    tenant: Arc<Plugin>,
    metrics: Arc<Metrics>,
}

fn limits() -> Limits {
    Limits {
        memory: 16 << 20,
        call_timeout: Duration::from_secs(20),
        readers: 2,
        // Upkeep only where a test is about it.
        maintain_every: Duration::from_hours(1),
        ..Limits::default()
    }
}

async fn try_open(component: &[u8], limits: Limits) -> Result<Opened, Error> {
    try_open_on(&RuntimeConfig::default(), component, limits).await
}

async fn try_open_on(
    config: &RuntimeConfig,
    component: &[u8],
    limits: Limits,
) -> Result<Opened, Error> {
    let file = GuestFile::new(component);
    let runtime = Runtime::new(config).unwrap();
    let settings = PluginConfig {
        settings: vec![("colour".into(), "red".into())],
        ..file.settings(limits)
    };
    let metrics = Arc::new(Metrics::new());
    let kv = Arc::new(kv::MemoryDriver::new());
    let tenant = Plugin::open(&runtime, settings, kv, Arc::clone(&metrics)).await?;
    Ok(Opened { tenant, metrics })
}

async fn open_with(guest: Guest, limits: Limits) -> Opened {
    try_open(&guest.build(), limits).await.unwrap()
}

async fn open(guest: Guest) -> Opened {
    open_with(guest, limits()).await
}

/// The storage of a request that begins now.
fn storage(tenant: &Arc<Plugin>) -> Arc<dyn Storage> {
    Arc::clone(tenant).pinned()
}

async fn services(tenant: &Arc<Plugin>) -> Vec<String> {
    storage(tenant).services().await.unwrap()
}

/// Returns once the plugin takes calls again.
async fn until_ready(tenant: &Plugin) {
    tenant.ready().wait_for(|ready| *ready).await.unwrap();
}

#[tokio::test]
async fn a_plugin_is_opened_described_and_called() {
    let guest = Guest::new().with("services", ONE_SERVICE);
    let Opened { tenant, .. } = open(guest).await;
    assert_eq!(services(&tenant).await, ["guest"]);
    tenant.write(batch(1, b"spans")).await.unwrap();
    assert!(
        storage(&tenant)
            .operations("guest")
            .await
            .unwrap()
            .is_empty()
    );

    let status = tenant.status();
    assert_eq!((&*status.name, &*status.version), ("guest", "1.0"));
    assert_eq!(status.state, State::Ready);
    assert_eq!(status.instancing, Instancing::Exclusive);
    assert_eq!(status.hash.len(), 32);
    assert!(
        status
            .imports
            .contains(&"larder:storage/kv@0.2.0".to_owned())
    );
    assert!(status.memory_used >= 2 * 65536);
    assert_eq!(status.restarts, 0);
}

#[tokio::test]
async fn a_plugin_that_refuses_its_settings_is_not_opened() {
    let guest = Guest::new().with("open", OTHER);
    let error = try_open(&guest.build(), limits()).await.err().unwrap();
    assert_eq!(
        error.to_string(),
        "the plugin `guest` refused to open: other: no"
    );
}

#[tokio::test]
async fn a_plugin_that_traps_at_its_start_is_not_opened() {
    let guest = Guest::new().with("open", "(unreachable)");
    let error = try_open(&guest.build(), limits()).await.err().unwrap();
    let text = error.to_string();
    assert!(
        text.contains("`guest` failed while it was started: a trap"),
        "{text}"
    );
}

#[tokio::test]
async fn a_purge_forgets_and_what_follows_it_is_kept() {
    let guest = Guest::new()
        .with("write", TRAP_ON_X)
        .with("services", ONE_SERVICE_IF_WRITTEN);
    let Opened { tenant, .. } = open(guest).await;
    tenant.write(batch(1, b"spans")).await.unwrap();
    assert_eq!(services(&tenant).await, ["guest"]);
    tenant.purge().await.unwrap();
    assert!(services(&tenant).await.is_empty());
    tenant.write(batch(1, b"spans")).await.unwrap();
    assert_eq!(services(&tenant).await, ["guest"]);
    assert_eq!(tenant.status().restarts, 0, "a purge is no failure");
}

#[tokio::test]
async fn a_shutdown_writes_what_waits_and_refuses_what_follows() {
    let Opened { tenant, .. } = open(Guest::new()).await;
    let ready = tenant.ready();
    let mut writes: Vec<_> = (0..100)
        .map(|id| Box::pin(tenant.write(batch(id, b"spans"))))
        .collect();
    for write in &mut writes {
        assert!(futures_util::poll!(write.as_mut()).is_pending());
    }
    tenant.shutdown().await;
    for write in writes {
        write.await.unwrap();
    }
    let error = tenant.write(batch(1, b"late")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let error = storage(&tenant).services().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(!*ready.borrow());
    assert_eq!(tenant.status().state, State::Stopped);
    tenant.shutdown().await;
}

#[tokio::test]
async fn upkeep_goes_on_while_there_is_more_to_do_and_counts_are_shown() {
    // Says true, true, false; the counters say how often it was asked.
    let guest = Guest::new()
        .with(
            "maintain",
            "(global.set $writes (i32.add (global.get $writes) (i32.const 1)))
             (i32.store8 (i32.const 7172) (i32.lt_u (global.get $writes) (i32.const 3)))
             (i32.const 7168)",
        )
        .with(
            "statistics",
            "(i64.store (i32.const 7200) (i64.extend_i32_u (global.get $writes))) (i32.const 7200)",
        );
    let Opened { tenant, metrics } = open(guest).await;
    while tenant.status().statistics.traces < 3 {
        tokio::task::yield_now().await;
    }
    for _ in 0..100 {
        storage(&tenant).services().await.unwrap();
    }
    assert_eq!(tenant.status().statistics.traces, 3);
    assert!(!metrics.encode().is_empty());
}

#[tokio::test]
async fn a_read_whose_caller_has_gone_is_not_asked() {
    let guest = Guest::new().with(
        "services",
        "(global.set $writes (i32.add (global.get $writes) (i32.const 1)))
         (select (i32.const 5120) (i32.const 4096) (i32.ge_u (global.get $writes) (i32.const 3)))",
    );
    let Opened { tenant, .. } = open(guest).await;
    assert!(services(&tenant).await.is_empty());
    let Readers::Writer(slot) = &tenant.readers else {
        panic!("an exclusive plugin has one instance");
    };
    let held = slot.lock().await;
    for _ in 0..10 {
        // Polled once, so that the question waits, and dropped.
        let storage = storage(&tenant);
        let mut asked = Box::pin(storage.services());
        assert!(futures_util::poll!(asked.as_mut()).is_pending());
    }
    drop(held);
    assert!(
        services(&tenant).await.is_empty(),
        "the second call that was made"
    );
    assert_eq!(services(&tenant).await, ["guest"]);
}
