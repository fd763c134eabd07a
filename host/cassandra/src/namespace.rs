//! A tenant's namespace, as this process knows it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use larder_store::{Change, Claim, Error, Key, Namespace, Object, Page, Scan, Stored};
use parking_lot::{Mutex, RwLock};

use crate::db::{Db, rows};
use crate::places::{Facts, Registered};
use crate::seats::SeatLock;
use crate::statements::Name;
use crate::usage::Usage;

/// Total bytes of values up to which they are compressed, or decompressed, on the async thread.
const MAX_INLINE_BYTES: usize = 64 << 10;

/// See the module.
pub(crate) struct Space {
    pub(crate) db: Arc<Db>,
    pub(crate) ns: i64,
    pub(crate) tenant: String,
    purged: AtomicBool,
    /// The claims of this process.
    pub(crate) claims: Mutex<HashMap<String, Known>>,
    /// Locked while an id is claimed.
    pub(crate) claiming: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
    /// What is known of partitions. Only what stays true is kept: that something is there.
    pub(crate) facts: RwLock<HashMap<String, Facts>>,
    /// Bytes that are about to be put into partitions that are not there yet.
    pub(crate) expected: Mutex<HashMap<String, u64>>,
    /// When this process saw that a partition was reclaimed.
    pub(crate) reclaimed: Mutex<HashMap<String, Instant>>,
    /// What the claims of this process have been entered with, by writer and partition.
    pub(crate) registered: Mutex<HashMap<(String, String), Registered>>,
    pub(crate) seats: Mutex<HashMap<(String, String), SeatLock>>,
    pub(crate) usage: Mutex<Usage>,
}

/// A claim of this process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    pub(crate) epoch: u64,
    /// Another claim has been seen.
    pub(crate) lost: bool,
}

/// The number of an epoch in Cassandra.
pub(crate) fn epoch(by: &Claim) -> i64 {
    i64::try_from(by.epoch).unwrap_or(i64::MAX)
}

/// Runs the (de)compression of this many bytes where it keeps nobody waiting.
pub(crate) async fn compute<T: Send + 'static>(
    bytes: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Error> {
    if bytes <= MAX_INLINE_BYTES {
        return Ok(work());
    }
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Error::Unavailable(format!("a call of kv ended early: {error}")))
}

// === impl Space ===

impl Space {
    pub(crate) fn new(db: Arc<Db>, tenant: &str, ns: i64) -> Self {
        Self {
            db,
            ns,
            tenant: tenant.to_owned(),
            purged: AtomicBool::new(false),
            claims: Mutex::default(),
            claiming: Mutex::default(),
            facts: RwLock::default(),
            expected: Mutex::default(),
            reclaimed: Mutex::default(),
            registered: Mutex::default(),
            seats: Mutex::default(),
            usage: Mutex::default(),
        }
    }

    /// The number of the namespace in the cache.
    pub(crate) fn cache_number(&self) -> u64 {
        self.ns.unsigned_abs()
    }

    /// Makes the namespace empty for this process. Its number is never used again.
    pub(crate) fn purge(&self) {
        if !self.purged.swap(true, Ordering::SeqCst) {
            self.db.cache.forget(self.cache_number());
        }
    }

    pub(crate) fn is_purged(&self) -> bool {
        self.purged.load(Ordering::SeqCst)
    }

    /// Refuses a claim of which this process knows that it is fenced.
    pub(crate) fn check(&self, by: &Claim) -> Result<(), Error> {
        let known = self.claims.lock().get(&by.writer).copied();
        let is_lost = known
            .is_some_and(|known| known.epoch > by.epoch || (known.lost && known.epoch == by.epoch));
        if is_lost || self.is_purged() {
            return Err(Error::Fenced);
        }
        Ok(())
    }

    /// Notes that a claim of this process is fenced.
    pub(crate) fn lose(&self, writer: &str, epoch: u64) {
        let mut claims = self.claims.lock();
        if let Some(known) = claims.get_mut(writer)
            && known.epoch == epoch
            && !known.lost
        {
            known.lost = true;
            drop(claims);
            self.usage.lock().disown(writer);
        }
    }

    pub(crate) fn fenced(&self, by: &Claim) -> Error {
        self.lose(&by.writer, by.epoch);
        Error::Fenced
    }

    /// The writers of the namespace: id, epoch, and whether anything was committed under it.
    pub(crate) async fn writer_rows(&self) -> Result<Vec<(String, i64, bool)>, Error> {
        let found = self.db.run(Name::WriterList, (self.ns,)).await?;
        let found: Vec<(String, Option<i64>, Option<bool>)> = rows(found)?;
        // A row of `WriterEnd` that raced with a removal has no epoch.
        let whole = found.into_iter().filter_map(|(writer, epoch, committed)| {
            Some((writer, epoch?, committed.unwrap_or_default()))
        });
        Ok(whole.collect())
    }
}

#[async_trait::async_trait]
impl Namespace for Space {
    async fn claim(&self, writer: &str) -> Result<Claim, Error> {
        self.claim_own(writer, None).await
    }

    async fn claim_numbered(&self, writer: &str, number: u16) -> Result<Claim, Error> {
        self.claim_own(writer, Some(number)).await
    }

    async fn number(&self, writer: &str) -> Result<u16, Error> {
        self.writer_number(writer).await
    }

    async fn adopt(&self, writer: &str) -> Result<Option<Claim>, Error> {
        self.claim_dead(writer).await
    }

    async fn retire(&self, by: &Claim) -> Result<(), Error> {
        self.retire_writer(by).await
    }

    async fn is_current(&self) -> Result<bool, Error> {
        if self.is_purged() {
            return Ok(false);
        }
        let is_current = self.db.namespace_now(&self.tenant).await? == Some(self.ns);
        if !is_current {
            self.purge();
        }
        Ok(is_current)
    }

    async fn put(&self, by: &Claim, objects: Vec<Object>) -> Result<(), Error> {
        self.put_objects(by, objects).await
    }

    async fn commit(&self, by: &Claim, partition: &str, changes: Vec<Change>) -> Result<(), Error> {
        self.commit_changes(by, partition, changes).await
    }

    async fn get(&self, keys: &[Key]) -> Result<Vec<Option<Vec<u8>>>, Error> {
        self.get_values(keys).await
    }

    async fn scan(&self, partition: &str, scan: &Scan) -> Result<Page, Error> {
        self.scan_page(partition, None, scan).await
    }

    async fn scan_stored(&self, partition: &str, kind: Stored, scan: &Scan) -> Result<Page, Error> {
        self.scan_page(partition, Some(kind), scan).await
    }

    fn expect_bytes(&self, partition: &str, bytes: u64) {
        let mut expected = self.expected.lock();
        expected.insert(partition.to_owned(), bytes);
    }

    async fn reclaim(&self, by: &Claim, partition: &str) -> Result<(), Error> {
        self.reclaim_partition(by, partition).await
    }

    async fn writers(&self) -> Result<Vec<String>, Error> {
        if self.is_purged() {
            return Ok(Vec::new());
        }
        let writers = self.writer_rows().await?.into_iter();
        let writers = writers.filter_map(|(writer, _, committed)| committed.then_some(writer));
        Ok(writers.collect())
    }

    async fn partitions(&self) -> Result<Vec<String>, Error> {
        self.list_partitions().await
    }

    /// Every put and commit is at a quorum before it is acknowledged.
    async fn sync(&self, _generation: u64) -> Result<(), Error> {
        Ok(())
    }

    fn stored_bytes(&self) -> u64 {
        if self.is_purged() {
            return 0;
        }
        self.usage.lock().stored()
    }

    fn writer_bytes(&self, writer: &str) -> u64 {
        if self.is_purged() {
            return 0;
        }
        self.usage.lock().of_writer(writer)
    }

    fn host_bytes(&self) -> u64 {
        if self.is_purged() {
            return 0;
        }
        self.usage.lock().of_host()
    }
}
