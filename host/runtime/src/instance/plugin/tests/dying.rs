//! A plugin that is killed by its deadline in a call of `kv`: once before that has had its effect, and once after.

use std::sync::atomic::{AtomicI64, Ordering};

use larder_store::embedded::{EmbeddedDriver, Faults};
use larder_store::{Change, Claim, Driver, Key, Namespace, Object, Page, Scan};
use tempfile::TempDir;

use super::durable::{Ledger, driver, open_kv, runtime};
use super::*;

/// When a call that changes something is to hang.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Moment {
    Before,
    After,
}

/// Passes so many calls that change something; the next one never comes back.
struct Trigger {
    left: AtomicI64,
    moment: Moment,
}

struct Hanging {
    inner: EmbeddedDriver,
    trigger: Arc<Trigger>,
}

struct HangingNamespace {
    inner: Arc<dyn Namespace>,
    trigger: Arc<Trigger>,
}

// === impl Trigger ===

impl Trigger {
    /// Around a call that changes something.
    async fn around<T>(&self, call: impl Future<Output = T>) -> T {
        let hangs = self.left.fetch_sub(1, Ordering::SeqCst) == 0;
        if hangs && self.moment == Moment::Before {
            std::future::pending::<()>().await;
        }
        let done = call.await;
        if hangs {
            std::future::pending::<()>().await;
        }
        done
    }

    fn is_spent(&self) -> bool {
        self.left.load(Ordering::SeqCst) < 0
    }
}

// === impl Hanging ===

impl Hanging {
    fn around(&self, inner: Arc<dyn Namespace>) -> Arc<dyn Namespace> {
        Arc::new(HangingNamespace {
            inner,
            trigger: Arc::clone(&self.trigger),
        })
    }
}

#[async_trait::async_trait]
impl Driver for Hanging {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn is_durable(&self) -> bool {
        self.inner.is_durable()
    }

    fn writer_id(&self) -> String {
        self.inner.writer_id()
    }

    async fn open(&self, tenant: &str) -> Result<Arc<dyn Namespace>, kv::Error> {
        Ok(self.around(self.inner.open(tenant).await?))
    }

    async fn renew(&self, tenant: &str) -> Result<Arc<dyn Namespace>, kv::Error> {
        Ok(self.around(self.inner.renew(tenant).await?))
    }

    async fn forget(&self, tenant: &str) -> Result<(), kv::Error> {
        self.inner.forget(tenant).await
    }

    async fn tenants(&self) -> Result<Vec<kv::TenantUsage>, kv::Error> {
        self.inner.tenants().await
    }

    fn set_quotas(&self, quotas: kv::Quotas) {
        self.inner.set_quotas(quotas);
    }
}

#[async_trait::async_trait]
impl Namespace for HangingNamespace {
    async fn claim(&self, writer: &str) -> Result<Claim, kv::Error> {
        self.inner.claim(writer).await
    }

    async fn retire(&self, by: &Claim) -> Result<(), kv::Error> {
        self.inner.retire(by).await
    }

    async fn is_current(&self) -> Result<bool, kv::Error> {
        self.inner.is_current().await
    }

    async fn put(&self, by: &Claim, objects: Vec<Object>) -> Result<(), kv::Error> {
        self.trigger.around(self.inner.put(by, objects)).await
    }

    async fn commit(
        &self,
        by: &Claim,
        partition: &str,
        changes: Vec<Change>,
    ) -> Result<(), kv::Error> {
        let call = self.inner.commit(by, partition, changes);
        self.trigger.around(call).await
    }

    async fn get(&self, keys: &[Key]) -> Result<Vec<Option<Vec<u8>>>, kv::Error> {
        self.inner.get(keys).await
    }

    async fn scan(&self, partition: &str, scan: &Scan) -> Result<Page, kv::Error> {
        self.inner.scan(partition, scan).await
    }

    async fn reclaim(&self, by: &Claim, partition: &str) -> Result<(), kv::Error> {
        self.trigger.around(self.inner.reclaim(by, partition)).await
    }

    async fn writers(&self) -> Result<Vec<String>, kv::Error> {
        self.inner.writers().await
    }

    async fn partitions(&self) -> Result<Vec<String>, kv::Error> {
        self.inner.partitions().await
    }

    fn generation(&self) -> u64 {
        self.inner.generation()
    }

    async fn sync(&self, generation: u64) -> Result<(), kv::Error> {
        self.inner.sync(generation).await
    }

    fn stored_bytes(&self) -> u64 {
        self.inner.stored_bytes()
    }

    fn host_bytes(&self) -> u64 {
        self.inner.host_bytes()
    }
}

/// Kills the plugin in its first call that changes something, then in its second, and so on, until there is none left to kill it in.
async fn survives(moment: Moment) {
    let (runtime, dir) = (runtime(), TempDir::new().unwrap());
    let mut ledger = Ledger::default();
    let limits = Limits {
        call_timeout: Duration::from_secs(1),
        ..limits()
    };
    let (mut call, mut killed) = (0, true);
    while killed {
        let trigger = Arc::new(Trigger {
            // Not while it is opened for the first time, which would keep the server from starting.
            left: AtomicI64::new(i64::MAX),
            moment,
        });
        let driver = Hanging {
            inner: driver(dir.path(), &Faults::default()),
            trigger: Arc::clone(&trigger),
        };
        let tenant = open_kv(&runtime, Arc::new(driver), limits.clone()).await;
        ledger.verify(&tenant).await;
        trigger.left.store(call, Ordering::SeqCst);
        let mut tries = 0;
        for _ in 0..4 {
            tries += ledger.store(&tenant).await;
        }
        killed = trigger.is_spent();
        assert_eq!(tries > 4, killed, "call {call}: {tries} tries");
        ledger.verify(&tenant).await;
        tenant.shutdown().await;
        call += 1;
    }
    assert!(call > 6, "only {call} calls of kv in four writes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadline_before_a_call_of_kv_takes_effect_loses_nothing() {
    survives(Moment::Before).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadline_after_a_call_of_kv_took_effect_loses_nothing() {
    survives(Moment::After).await;
}
