//! The bundled kv plugin on a disk that fails, and killed in every call that changes something: what was acknowledged is there, what
//! was not is refused as UNAVAILABLE, and the tenant goes on by itself.

use std::path::Path;

use larder_model::storage::{Part, TraceId, Wanted};
use larder_store::Driver;
use larder_store::embedded::{Durability, EmbeddedDriver, Faults, Options};
use tempfile::TempDir;

use super::*;
use crate::sandbox::Grants;

/// The number of times that each write was tried and acknowledged, by number.
#[derive(Default)]
pub(super) struct Ledger(Vec<(u64, u64)>);

/// Bytes of another content and length for each number: in the entry, in blocks, in several blocks, in an entry of its own.
fn otlp(number: usize) -> Vec<u8> {
    let length = [30, 30_000, 200_000, 3000][number % 4];
    let mut state = number as u64 + 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..length).map(|_| next()).collect()
}

// === impl Ledger ===

impl Ledger {
    async fn send(&mut self, tenant: &Arc<Plugin>, number: usize) -> Result<(), ErrorKind> {
        self.0[number].0 += 1;
        let written = tenant.write(batch(number as u128 + 1, &otlp(number))).await;
        written.map_err(|error| error.kind())?;
        self.0[number].1 += 1;
        Ok(())
    }

    /// Writes something new, again and again until it is acknowledged; gives how often that was.
    pub(super) async fn store(&mut self, tenant: &Arc<Plugin>) -> u64 {
        let number = self.0.len();
        self.0.push((0, 0));
        let mut tries = 1;
        while let Err(refused) = self.send(tenant, number).await {
            assert_eq!(refused, ErrorKind::Unavailable, "write {number}");
            until_ready(tenant).await;
            tokio::task::yield_now().await;
            tries += 1;
        }
        tries
    }

    /// Everything is there as often as it was acknowledged, or more often where it was tried again.
    pub(super) async fn verify(&self, tenant: &Arc<Plugin>) {
        let mut found = vec![0_u64; self.0.len()];
        let wanted = (1..=self.0.len()).map(|id| TraceId(id as u128)).collect();
        let wanted = Wanted::Traces(wanted);
        let storage = storage(tenant);
        let mut resume = None;
        loop {
            let page = storage.read(&wanted, Part::Otlp, resume.as_deref(), 1 << 20);
            let page = page.await.unwrap();
            for piece in page.pieces {
                let number = usize::try_from(piece.trace_id.0).unwrap() - 1;
                assert_eq!(piece.bytes, otlp(number), "write {number}");
                found[number] += 1;
            }
            resume = page.resume;
            if resume.is_none() {
                break;
            }
        }
        for (number, (times, (tries, acknowledged))) in found.iter().zip(&self.0).enumerate() {
            assert!(
                (acknowledged..=tries).contains(&times),
                "write {number} is there {times} times: {tries} tries, {acknowledged} acknowledged"
            );
        }
    }
}

/// A driver whose disk has room, and fails when it is told to.
pub(super) fn driver(dir: &Path, faults: &Faults) -> EmbeddedDriver {
    let options = Options {
        dir: dir.to_owned(),
        durability: Durability::Sync,
        quotas: kv::Quotas::default(),
        min_free: 0,
        open_files: 384,
        scheduler: Arc::default(),
    };
    EmbeddedDriver::open_with(options, Box::new(|| Ok(u64::MAX - 1)), faults.clone()).unwrap()
}

pub(super) fn runtime() -> Runtime {
    Runtime::new(&RuntimeConfig::default()).unwrap()
}

/// The bundled plugin, which may start again soon whatever it did.
pub(super) async fn open_kv(
    runtime: &Runtime,
    driver: Arc<dyn Driver>,
    limits: Limits,
) -> Arc<Plugin> {
    let settings = PluginConfig {
        source: "kv".parse().unwrap(),
        settings: Vec::new(),
        limits: Limits {
            memory: 1 << 30,
            restart_delay: Duration::from_millis(10),
            ..limits
        },
        grants: Grants::default(),
    };
    let metrics = Arc::new(Metrics::new());
    Plugin::open(runtime, settings, driver, metrics)
        .await
        .unwrap()
}

/// Each of the next few writes or syncs of the disk fails once, and then two in a row.
async fn survives(fail: impl Fn(&Faults, u32, u32)) {
    let (runtime, dir) = (runtime(), TempDir::new().unwrap());
    let mut ledger = Ledger::default();
    let faults = Faults::default();
    let tenant = open_kv(&runtime, Arc::new(driver(dir.path(), &faults)), limits()).await;
    let mut failed = 0;
    for (pass, times) in [(0, 1), (1, 1), (2, 1), (3, 1), (0, 2), (1, 2)] {
        fail(&faults, pass, times);
        for _ in 0..4 {
            failed += ledger.store(&tenant).await - 1;
        }
        fail(&faults, 0, 0);
        ledger.verify(&tenant).await;
    }
    assert!(failed >= 6, "{failed} writes were refused");
    tenant.shutdown().await;
    drop(tenant);

    let tenant = open_kv(&runtime, Arc::new(driver(dir.path(), &faults)), limits()).await;
    ledger.verify(&tenant).await;
    tenant.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_sync_loses_nothing_that_was_acknowledged() {
    survives(Faults::fail_syncs).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_write_loses_nothing_that_was_acknowledged() {
    survives(Faults::fail_writes).await;
}
