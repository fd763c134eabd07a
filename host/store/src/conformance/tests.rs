//! The suite on two hosts that share a store in memory: so the cases about several hosts are tried out here too.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;

use super::*;
use crate::test_support::all;
use crate::{
    Change, Claim, Error, HostStatus, Key, MemoryDriver, Namespace, Object, Page, Quotas, Scan,
    TenantUsage,
};

const HOSTS: [&str; 2] = ["host a", "host b"];

struct TwoHosts {
    store: Arc<MemoryDriver>,
    known: Arc<Mutex<Known>>,
}

/// What the hosts share beside the data.
#[derive(Default)]
struct Known {
    numbers: HashMap<String, u16>,
    /// The writer and the bytes of each partition of each tenant.
    partitions: HashMap<(String, String), (String, u64)>,
}

struct Host {
    id: &'static str,
    store: Arc<MemoryDriver>,
    known: Arc<Mutex<Known>>,
}

struct OnHost {
    id: &'static str,
    tenant: String,
    inner: Arc<dyn Namespace>,
    known: Arc<Mutex<Known>>,
}

async fn setup() -> TwoHosts {
    TwoHosts {
        store: Arc::default(),
        known: Arc::default(),
    }
}

crate::driver_tests!(setup);

// === impl TwoHosts ===

impl TwoHosts {
    fn host(&self, id: &'static str) -> Arc<dyn Driver> {
        Arc::new(Host {
            id,
            store: Arc::clone(&self.store),
            known: Arc::clone(&self.known),
        })
    }
}

#[async_trait::async_trait]
impl Subject for TwoHosts {
    async fn driver(&self) -> Arc<dyn Driver> {
        self.host(HOSTS[0])
    }

    async fn second(&self) -> Option<Arc<dyn Driver>> {
        Some(self.host(HOSTS[1]))
    }
}

// === impl Host ===

impl Host {
    fn wrap(&self, tenant: &str, inner: Arc<dyn Namespace>) -> Arc<dyn Namespace> {
        Arc::new(OnHost {
            id: self.id,
            tenant: tenant.to_owned(),
            inner,
            known: Arc::clone(&self.known),
        })
    }

    fn drop_partitions(&self, tenant: &str) {
        let mut known = self.known.lock();
        known.partitions.retain(|(of, _), _| of != tenant);
    }
}

#[async_trait::async_trait]
impl Driver for Host {
    fn name(&self) -> &'static str {
        "two hosts"
    }

    fn is_durable(&self) -> bool {
        false
    }

    fn writer_id(&self) -> String {
        self.id.to_owned()
    }

    async fn open(&self, tenant: &str) -> Result<Arc<dyn Namespace>, Error> {
        Ok(self.wrap(tenant, self.store.open(tenant).await?))
    }

    async fn renew(&self, tenant: &str) -> Result<Arc<dyn Namespace>, Error> {
        let new = self.store.renew(tenant).await?;
        self.drop_partitions(tenant);
        Ok(self.wrap(tenant, new))
    }

    async fn forget(&self, tenant: &str) -> Result<(), Error> {
        self.store.forget(tenant).await?;
        self.drop_partitions(tenant);
        Ok(())
    }

    async fn tenants(&self) -> Result<Vec<TenantUsage>, Error> {
        self.store.tenants().await
    }

    fn set_quotas(&self, quotas: Quotas) {
        self.store.set_quotas(quotas);
    }

    fn is_shared(&self) -> bool {
        true
    }

    async fn hosts(&self) -> Result<Vec<HostStatus>, Error> {
        let hosts = HOSTS.map(|id| HostStatus {
            writer: id.to_owned(),
            address: "here".to_owned(),
            version: String::new(),
            silent: Duration::ZERO,
            is_this: id == self.id,
        });
        Ok(hosts.into())
    }
}

// === impl OnHost ===

impl OnHost {
    /// Notes who has written to a partition, and how much. The suite keeps to one writer.
    async fn note(&self, by: &Claim, partition: &str) -> Result<(), Error> {
        let page = self.inner.scan(partition, &all()).await?;
        let sizes = page.entries.iter().map(|it| it.sort.len() + it.value.len());
        let bytes = sizes.sum::<usize>() as u64;
        let mut known = self.known.lock();
        let place = (self.tenant.clone(), partition.to_owned());
        let before = known.partitions.insert(place, (by.writer.clone(), bytes));
        if let Some((before, _)) = before {
            assert_eq!(before, by.writer, "`{partition}` has two writers");
        }
        Ok(())
    }
}

#[async_trait::async_trait]
impl Namespace for OnHost {
    async fn claim(&self, writer: &str) -> Result<Claim, Error> {
        if HOSTS.contains(&writer) && writer != self.id {
            return Err(Error::Held(format!("`{writer}` is alive")));
        }
        let claim = self.inner.claim(writer).await?;
        let mut known = self.known.lock();
        let next = u16::try_from(known.numbers.len() + 1).unwrap();
        let number = *known.numbers.entry(writer.to_owned()).or_insert(next);
        Ok(Claim { number, ..claim })
    }

    async fn retire(&self, by: &Claim) -> Result<(), Error> {
        self.inner.retire(by).await
    }

    async fn is_current(&self) -> Result<bool, Error> {
        self.inner.is_current().await
    }

    async fn put(&self, by: &Claim, objects: Vec<Object>) -> Result<(), Error> {
        let names: Vec<_> = objects.iter().map(|it| it.key.partition.clone()).collect();
        self.inner.put(by, objects).await?;
        for name in names {
            self.note(by, &name).await?;
        }
        Ok(())
    }

    async fn commit(&self, by: &Claim, partition: &str, changes: Vec<Change>) -> Result<(), Error> {
        self.inner.commit(by, partition, changes).await?;
        self.note(by, partition).await
    }

    async fn get(&self, keys: &[Key]) -> Result<Vec<Option<Vec<u8>>>, Error> {
        self.inner.get(keys).await
    }

    async fn scan(&self, partition: &str, scan: &Scan) -> Result<Page, Error> {
        self.inner.scan(partition, scan).await
    }

    async fn reclaim(&self, by: &Claim, partition: &str) -> Result<(), Error> {
        self.inner.reclaim(by, partition).await?;
        let place = (self.tenant.clone(), partition.to_owned());
        self.known.lock().partitions.remove(&place);
        Ok(())
    }

    async fn writers(&self) -> Result<Vec<String>, Error> {
        self.inner.writers().await
    }

    async fn partitions(&self) -> Result<Vec<String>, Error> {
        self.inner.partitions().await
    }

    async fn sync(&self, generation: u64) -> Result<(), Error> {
        self.inner.sync(generation).await
    }

    fn stored_bytes(&self) -> u64 {
        self.inner.stored_bytes()
    }

    fn writer_bytes(&self, writer: &str) -> u64 {
        let known = self.known.lock();
        let own = known
            .partitions
            .iter()
            .filter(|((tenant, _), (by, _))| *tenant == self.tenant && by == writer);
        own.map(|(_, (_, bytes))| bytes).sum()
    }

    fn host_bytes(&self) -> u64 {
        self.inner.host_bytes()
    }
}
