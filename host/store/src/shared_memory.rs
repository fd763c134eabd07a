//! Several hosts over one store in memory, for tests of what hosts do with a store that they share.
//!
//! A test says which hosts are alive, and can hold back the answers to one of them, as if its process stood still at that moment.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;

use super::{
    Change, Claim, Driver, Error, HostStatus, Key, MemoryDriver, Namespace, Object, Page, Quotas,
    Scan, TenantUsage,
};

/// A store in memory that hosts share.
#[derive(Default)]
pub struct SharedMemory {
    driver: MemoryDriver,
    hosts: Mutex<Vec<Arc<Host>>>,
    /// Of each tenant's namespace, which is the last one opened.
    namespaces: tokio::sync::Mutex<HashMap<String, Arc<Stored>>>,
}

/// The driver of one of the hosts.
pub struct MemoryHost {
    store: Arc<SharedMemory>,
    host: Arc<Host>,
}

struct Host {
    writer: String,
    address: String,
    is_alive: Mutex<bool>,
    /// True while answers are held back.
    is_held: watch::Sender<bool>,
    /// Answers that are held back.
    held_answers: watch::Sender<usize>,
}

/// A namespace, for all hosts.
struct Stored {
    inner: Arc<dyn Namespace>,
    writers: Mutex<Writers>,
}

#[derive(Default)]
struct Writers {
    /// The host that claimed an id last.
    holders: HashMap<String, Arc<Host>>,
    numbers: HashMap<String, u16>,
}

struct HostNamespace {
    store: Arc<SharedMemory>,
    host: Arc<Host>,
    stored: Arc<Stored>,
}

// === impl SharedMemory ===

impl SharedMemory {
    /// An empty store without hosts.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Adds a host that is alive. Another one may have the same writer id, as that of a copied disk has.
    pub fn host(self: &Arc<Self>, writer: &str) -> Arc<MemoryHost> {
        let mut hosts = self.hosts.lock();
        let host = Arc::new(Host {
            writer: writer.to_owned(),
            address: format!("host-{}", hosts.len()),
            is_alive: Mutex::new(true),
            is_held: watch::Sender::new(false),
            held_answers: watch::Sender::new(0),
        });
        hosts.push(Arc::clone(&host));
        drop(hosts);
        Arc::new(MemoryHost {
            store: Arc::clone(self),
            host,
        })
    }

    /// True if a host that is alive has this id, or the keeper's beside it, as its own.
    fn is_someone_s(&self, writer: &str) -> bool {
        let hosts = self.hosts.lock();
        hosts
            .iter()
            .any(|host| host.owns(writer) && host.is_alive())
    }
}

// === impl MemoryHost ===

impl MemoryHost {
    /// Says whether the others see signs of life of this host.
    pub fn set_alive(&self, is_alive: bool) {
        *self.host.is_alive.lock() = is_alive;
    }

    /// Where its operators reach it.
    pub fn address(&self) -> &str {
        &self.host.address
    }

    /// Holds back the answers to this host about keys and values from now on, or lets go of them.
    pub fn hold_answers(&self, is_held: bool) {
        self.host.is_held.send_replace(is_held);
    }

    /// Returns once an answer is held back.
    pub async fn answer_is_held(&self) {
        let mut held = self.host.held_answers.subscribe();
        // The sender is in `self`.
        drop(held.wait_for(|held| *held > 0).await);
    }

    /// The namespace of a tenant for this host.
    async fn namespace(&self, tenant: &str, inner: Arc<dyn Namespace>) -> Arc<dyn Namespace> {
        let mut namespaces = self.store.namespaces.lock().await;
        let known = namespaces.get(tenant);
        let known = known.filter(|known| Arc::ptr_eq(&known.inner, &inner));
        let stored = known.cloned().unwrap_or_else(|| {
            Arc::new(Stored {
                inner,
                writers: Mutex::default(),
            })
        });
        namespaces.insert(tenant.to_owned(), Arc::clone(&stored));
        Arc::new(HostNamespace {
            store: Arc::clone(&self.store),
            host: Arc::clone(&self.host),
            stored,
        })
    }
}

#[async_trait::async_trait]
impl Driver for MemoryHost {
    fn name(&self) -> &'static str {
        "shared-memory"
    }

    fn is_durable(&self) -> bool {
        false
    }

    fn writer_id(&self) -> String {
        self.host.writer.clone()
    }

    async fn open(&self, tenant: &str) -> Result<Arc<dyn Namespace>, Error> {
        let inner = self.store.driver.open(tenant).await?;
        Ok(self.namespace(tenant, inner).await)
    }

    async fn renew(&self, tenant: &str) -> Result<Arc<dyn Namespace>, Error> {
        let inner = self.store.driver.renew(tenant).await?;
        Ok(self.namespace(tenant, inner).await)
    }

    async fn forget(&self, tenant: &str) -> Result<(), Error> {
        self.store.driver.forget(tenant).await
    }

    async fn tenants(&self) -> Result<Vec<TenantUsage>, Error> {
        self.store.driver.tenants().await
    }

    fn set_quotas(&self, quotas: Quotas) {
        self.store.driver.set_quotas(quotas);
    }

    fn is_shared(&self) -> bool {
        true
    }

    async fn hosts(&self) -> Result<Vec<HostStatus>, Error> {
        let hosts = self.store.hosts.lock();
        let status = |host: &Arc<Host>| HostStatus {
            writer: host.writer.clone(),
            address: host.address.clone(),
            version: String::new(),
            silent: if host.is_alive() {
                Duration::ZERO
            } else {
                Duration::MAX
            },
            is_this: Arc::ptr_eq(host, &self.host),
        };
        Ok(hosts.iter().map(status).collect())
    }
}

// === impl Host ===

impl Host {
    fn is_alive(&self) -> bool {
        *self.is_alive.lock()
    }

    /// True if the id, or the keeper's beside it, is the host's own.
    fn owns(&self, writer: &str) -> bool {
        writer.rsplit('/').next() == Some(&*self.writer)
    }

    /// Gives the host an answer, once it is not held back.
    async fn answer<T>(&self, answer: Result<T, Error>) -> Result<T, Error> {
        let mut is_held = self.is_held.subscribe();
        if !*is_held.borrow() {
            return answer;
        }
        self.held_answers.send_modify(|held| *held += 1);
        // The sender is in `self`.
        drop(is_held.wait_for(|is_held| !is_held).await);
        self.held_answers.send_modify(|held| *held -= 1);
        answer
    }
}

// === impl HostNamespace ===

impl HostNamespace {
    fn inner(&self) -> &dyn Namespace {
        &*self.stored.inner
    }

    /// Has this host be the one that claimed the id last.
    async fn take(&self, writer: &str) -> Result<Claim, Error> {
        if !self.inner().is_current().await? {
            return Err(Error::Fenced);
        }
        let claim = self.inner().claim(writer).await?;
        let mut writers = self.stored.writers.lock();
        let holder = Arc::clone(&self.host);
        writers.holders.insert(writer.to_owned(), holder);
        let next = u16::try_from(writers.numbers.len() + 1).unwrap_or(u16::MAX);
        let number = *writers.numbers.entry(writer.to_owned()).or_insert(next);
        Ok(Claim { number, ..claim })
    }

    /// The host that claimed the id last, if that is another one that is alive.
    fn other_holder(&self, writer: &str) -> Option<Arc<Host>> {
        let writers = self.stored.writers.lock();
        let holder = writers.holders.get(writer)?;
        let is_other = !Arc::ptr_eq(holder, &self.host) && holder.is_alive();
        is_other.then(|| Arc::clone(holder))
    }
}

#[async_trait::async_trait]
impl Namespace for HostNamespace {
    async fn claim(&self, writer: &str) -> Result<Claim, Error> {
        if let Some(other) = self.other_holder(writer)
            && other.owns(writer)
        {
            return Err(Error::Held(format!(
                "the id `{writer}` is in use by {}, which is alive; this is {}",
                other.address, self.host.address
            )));
        }
        self.take(writer).await
    }

    async fn adopt(&self, writer: &str) -> Result<Option<Claim>, Error> {
        let is_known = self.inner().writers().await?.iter().any(|it| it == writer);
        if !is_known || self.store.is_someone_s(writer) || self.other_holder(writer).is_some() {
            return Ok(None);
        }
        self.take(writer).await.map(Some)
    }

    async fn retire(&self, by: &Claim) -> Result<(), Error> {
        self.inner().retire(by).await?;
        self.stored.writers.lock().holders.remove(&by.writer);
        Ok(())
    }

    async fn is_current(&self) -> Result<bool, Error> {
        self.inner().is_current().await
    }

    async fn put(&self, by: &Claim, objects: Vec<Object>) -> Result<(), Error> {
        self.host.answer(self.inner().put(by, objects).await).await
    }

    async fn commit(&self, by: &Claim, partition: &str, changes: Vec<Change>) -> Result<(), Error> {
        self.host
            .answer(self.inner().commit(by, partition, changes).await)
            .await
    }

    async fn get(&self, keys: &[Key]) -> Result<Vec<Option<Vec<u8>>>, Error> {
        self.host.answer(self.inner().get(keys).await).await
    }

    async fn scan(&self, partition: &str, scan: &Scan) -> Result<Page, Error> {
        self.host
            .answer(self.inner().scan(partition, scan).await)
            .await
    }

    async fn reclaim(&self, by: &Claim, partition: &str) -> Result<(), Error> {
        self.host
            .answer(self.inner().reclaim(by, partition).await)
            .await
    }

    async fn writers(&self) -> Result<Vec<String>, Error> {
        self.inner().writers().await
    }

    async fn partitions(&self) -> Result<Vec<String>, Error> {
        self.inner().partitions().await
    }

    async fn sync(&self, generation: u64) -> Result<(), Error> {
        self.host.answer(self.inner().sync(generation).await).await
    }

    fn stored_bytes(&self) -> u64 {
        self.inner().stored_bytes()
    }

    fn host_bytes(&self) -> u64 {
        self.inner().host_bytes()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::Entry;

    async fn commit(namespace: &dyn Namespace, claim: &Claim) -> Result<(), Error> {
        let entry = Change::Put(Entry {
            sort: b"k".to_vec(),
            value: b"v".to_vec(),
        });
        namespace.commit(claim, "p", vec![entry]).await
    }

    #[tokio::test]
    async fn an_id_is_held_while_its_host_is_alive_and_adopted_once_it_is_dead() {
        let store = SharedMemory::new();
        let (a, copy, b) = (store.host("a"), store.host("a"), store.host("b"));
        let (on_a, on_copy) = (a.open("t").await.unwrap(), copy.open("t").await.unwrap());
        let on_b = b.open("t").await.unwrap();
        let claim = on_a.claim("a").await.unwrap();
        assert_eq!(on_b.adopt("a").await, Ok(None), "nothing is committed");
        commit(&*on_a, &claim).await.unwrap();
        let held = on_copy.claim("a").await.unwrap_err();
        assert!(
            matches!(&held, Error::Held(text) if text.contains(a.address()) && text.contains(copy.address()))
        );
        assert_eq!(on_b.adopt("a").await, Ok(None), "its host is alive");
        a.set_alive(false);
        copy.set_alive(false);
        let adopted = on_b.adopt("a").await.unwrap().unwrap();
        assert_eq!(adopted.number, claim.number);
        assert_eq!(commit(&*on_a, &claim).await, Err(Error::Fenced));
        commit(&*on_b, &adopted).await.unwrap();
        a.set_alive(true);
        let claim = on_a.claim("a").await.unwrap();
        assert_eq!(commit(&*on_b, &adopted).await, Err(Error::Fenced));
        on_a.retire(&claim).await.unwrap();
        assert!(on_b.writers().await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_purge_by_one_host_is_seen_by_the_others() {
        let store = SharedMemory::new();
        let (a, b) = (store.host("a"), store.host("b"));
        let on_b = b.open("t").await.unwrap();
        let claim = on_b.claim("b").await.unwrap();
        let new = a.renew("t").await.unwrap();
        assert_eq!(on_b.is_current().await, Ok(false));
        assert_eq!(new.is_current().await, Ok(true));
        assert_eq!(commit(&*on_b, &claim).await, Err(Error::Fenced));
        assert_eq!(on_b.claim("b").await, Err(Error::Fenced));
        let again = b.open("t").await.unwrap();
        let claim = again.claim("b").await.unwrap();
        commit(&*again, &claim).await.unwrap();
        assert_eq!(new.writers().await.unwrap(), ["b"]);
    }
}
