//! A store of which one change fails, as a disk or a network lets it fail, or one value cannot be read back.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use larder_plugin::testing::kv::Fault;
use larder_store::{Change, Claim, Error, Key, Namespace, Object, Page, Scan};
use parking_lot::Mutex;

/// All that can happen to a change.
pub(crate) const ALL: [Fault; 4] = [
    Fault::Unavailable,
    Fault::QuotaExceeded,
    Fault::Unknown,
    Fault::Crash,
];

/// See the module.
pub(crate) struct Faulty {
    inner: Arc<dyn Namespace>,
    changes: AtomicUsize,
    /// The number of the change that fails.
    planned: Mutex<Option<(usize, Fault)>>,
    /// The value that cannot be read back, until it is replaced or deleted.
    damaged: Mutex<Option<Key>>,
}

// === impl Faulty ===

impl Faulty {
    pub(crate) fn new(inner: Arc<dyn Namespace>) -> Self {
        Self {
            inner,
            changes: AtomicUsize::new(0),
            planned: Mutex::default(),
            damaged: Mutex::default(),
        }
    }

    /// Has a change fail after so many others from now on.
    pub(crate) fn plan(&self, after: usize, fault: Fault) {
        let next = self.changes.load(Ordering::Relaxed) + after;
        *self.planned.lock() = Some((next, fault));
    }

    /// Has nothing fail any more. Returns true if something was to fail still.
    pub(crate) fn heal(&self) -> bool {
        let planned = self.planned.lock().take();
        planned.is_some_and(|(at, _)| at >= self.changes.load(Ordering::Relaxed))
    }

    /// Damages the value with this number, in the order of partitions and keys, as the host finds it: every `get` and every page of a scan
    /// that would return it fails. `None` if there are fewer values.
    pub(crate) async fn damage(&self, number: usize) -> Result<Option<Key>, Error> {
        let mut partitions = self.inner.partitions().await?;
        partitions.sort_unstable();
        let mut keys = Vec::new();
        for partition in partitions {
            let all = Scan {
                start: Vec::new(),
                end: None,
                descending: false,
                max_entries: u32::MAX,
                max_bytes: u32::MAX,
            };
            let page = self.inner.scan(&partition, &all).await?;
            keys.extend(page.entries.into_iter().map(|entry| Key {
                partition: partition.clone(),
                sort: entry.sort,
            }));
        }
        let key = keys.into_iter().nth(number);
        (*self.damaged.lock()).clone_from(&key);
        Ok(key)
    }

    /// Fails for an answer with the value that is damaged.
    fn intact(&self, mut answered: impl FnMut(&Key) -> bool) -> Result<(), Error> {
        if self.damaged.lock().as_ref().is_some_and(&mut answered) {
            let text = "a value is damaged, as the test wants it".to_owned();
            return Err(Error::DataLoss(text));
        }
        Ok(())
    }

    /// What was damaged is there no more.
    fn forget_damage(&self, gone: impl FnOnce(&Key) -> bool) {
        drop(self.damaged.lock().take_if(|key| gone(key)));
    }

    /// The fault of the change that is made now.
    fn fault(&self) -> Option<Fault> {
        let number = self.changes.fetch_add(1, Ordering::Relaxed);
        let (at, fault) = (*self.planned.lock())?;
        let is_hit = number == at || (number > at && fault == Fault::Crash);
        is_hit.then_some(fault)
    }
}

fn told(fault: Fault) -> Error {
    let text = "as the test wants it".to_owned();
    match fault {
        Fault::Unavailable | Fault::Crash => Error::Unavailable(text),
        Fault::QuotaExceeded => Error::QuotaExceeded(text),
        Fault::Unknown => Error::OutcomeUnknown(text),
    }
}

#[async_trait::async_trait]
impl Namespace for Faulty {
    async fn claim(&self, writer: &str) -> Result<Claim, Error> {
        self.inner.claim(writer).await
    }

    async fn retire(&self, by: &Claim) -> Result<(), Error> {
        self.inner.retire(by).await
    }

    async fn is_current(&self) -> Result<bool, Error> {
        self.inner.is_current().await
    }

    async fn put(&self, by: &Claim, mut objects: Vec<Object>) -> Result<(), Error> {
        let Some(fault) = self.fault() else {
            return self.inner.put(by, objects).await;
        };
        match fault {
            Fault::Unknown => self.inner.put(by, objects).await?,
            Fault::Crash => {
                objects.truncate(objects.len() / 2);
                self.inner.put(by, objects).await?;
            }
            Fault::Unavailable | Fault::QuotaExceeded => {}
        }
        Err(told(fault))
    }

    async fn commit(&self, by: &Claim, partition: &str, changes: Vec<Change>) -> Result<(), Error> {
        let Some(fault) = self.fault() else {
            let sorts = changes.iter().map(|change| match change {
                Change::Put(entry) => entry.sort.clone(),
                Change::Delete(sort) => sort.clone(),
            });
            let sorts: Vec<_> = sorts.collect();
            self.inner.commit(by, partition, changes).await?;
            self.forget_damage(|key| key.partition == partition && sorts.contains(&key.sort));
            return Ok(());
        };
        if fault == Fault::Unknown {
            self.inner.commit(by, partition, changes).await?;
        }
        Err(told(fault))
    }

    async fn get(&self, keys: &[Key]) -> Result<Vec<Option<Vec<u8>>>, Error> {
        self.intact(|key| keys.contains(key))?;
        self.inner.get(keys).await
    }

    async fn scan(&self, partition: &str, scan: &Scan) -> Result<Page, Error> {
        let page = self.inner.scan(partition, scan).await?;
        self.intact(|key| {
            key.partition == partition && page.entries.iter().any(|it| it.sort == key.sort)
        })?;
        Ok(page)
    }

    fn partition_bytes(&self, partition: &str) -> Option<u64> {
        self.inner.partition_bytes(partition)
    }

    fn expect_bytes(&self, partition: &str, bytes: u64) {
        self.inner.expect_bytes(partition, bytes);
    }

    async fn reclaim(&self, by: &Claim, partition: &str) -> Result<(), Error> {
        let Some(fault) = self.fault() else {
            self.inner.reclaim(by, partition).await?;
            self.forget_damage(|key| key.partition == partition);
            return Ok(());
        };
        if fault == Fault::Unknown {
            self.inner.reclaim(by, partition).await?;
        }
        Err(told(fault))
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
        self.inner.writer_bytes(writer)
    }

    fn host_bytes(&self) -> u64 {
        self.inner.host_bytes()
    }
}
