//! Ordered key-value storage behind the `kv` import of the plugin contract. It outlives the plugin's instances.
//!
//! The trait [`Driver`] can be implemented by an embedded LSM tree and by a cluster database: write-once objects, small atomic commits
//! inside one partition that are fenced by the writer's epoch, scans inside one partition, and lazy reclaim. Architecture invariants:
//! nothing here depends on wasm, and no other crate depends on lsm-tree.

#![forbid(unsafe_code)]

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
pub mod copy;
pub mod embedded;
mod error;
mod memory;
mod mirror;
pub mod object_cache;
mod overlay;
mod quotas;
#[cfg(any(test, feature = "testing"))]
mod shared_memory;
mod snapshot;
#[cfg(any(test, feature = "conformance"))]
mod test_support;
pub mod value;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

pub use error::Error;
pub use larder_core::telemetry::{
    KvStatistics as Statistics, STATEMENT_BOUNDS, StatementStatistics,
};
pub use memory::MemoryDriver;
pub use mirror::mirror;
pub use object_cache::ObjectCache;
pub use overlay::OverlayDriver;
pub use quotas::{Growth, Quotas, check as check_quota};
#[cfg(any(test, feature = "testing"))]
pub use shared_memory::{MemoryHost, SharedMemory};
pub use snapshot::{
    Amount, Made, RestoreError, Restored, SnapshotError, SnapshotName, SnapshotRequest, is_within,
    restore,
};

/// The largest object and the largest value (`kv.put` in `wit/storage.wit`), in bytes.
pub const MAX_OBJECT_BYTES: usize = 5 * 1024 * 1024;
/// Maximum size of one commit (`kv.commit`), keys and values together, in bytes.
pub const MAX_COMMIT_BYTES: usize = 256 * 1024;
/// Names of partitions, and ids of writers, that begin with this are the host's own. No plugin can use them, and none sees them.
pub const HOST_PREFIX: &str = "_host/";

/// Storage of the namespaces of all tenants.
#[async_trait::async_trait]
pub trait Driver: Send + Sync + 'static {
    /// The driver's name in the configuration.
    fn name(&self) -> &'static str;

    /// Returns `true` if stored data survives a restart of the process.
    fn is_durable(&self) -> bool;

    /// The writer id of this host. It is unique among all hosts that share the store, and stays the same after a restart.
    fn writer_id(&self) -> String;

    /// Opens the tenant's current namespace. It stays the same until [`Driver::renew`].
    async fn open(&self, tenant: &str) -> Result<Arc<dyn Namespace>, Error>;

    /// Replaces the tenant's namespace by a new, empty one (a purge). Writers of the old one are fenced before this returns; its data is
    /// reclaimed in the background.
    async fn renew(&self, tenant: &str) -> Result<Arc<dyn Namespace>, Error>;

    /// Removes the tenant's namespace, if it has one. The tenant is not listed by [`Driver::tenants`] until the next [`Driver::open`].
    /// Writers are fenced before this returns; the data is reclaimed in the background.
    async fn forget(&self, tenant: &str) -> Result<(), Error>;

    /// The tenants that have a namespace, in any order.
    async fn tenants(&self) -> Result<Vec<TenantUsage>, Error>;

    /// Replaces the quotas of all tenants, from the next write on. Applies to open namespaces too.
    fn set_quotas(&self, quotas: Quotas);

    /// Refuses objects from now on while the disk has fewer free bytes than this. Does nothing for a driver without a disk.
    fn set_min_free(&self, _bytes: u64) {}

    /// Brings everything to disk before the process ends, also what was acknowledged before it was on disk, and ends the driver's work in
    /// the background. What is written after it may be lost.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the disk fails.
    async fn close(&self) -> Result<(), Error> {
        Ok(())
    }

    /// Returns `false` while writes are refused because the disk is full.
    fn has_room(&self) -> bool {
        true
    }

    /// True if other hosts may use the same store at the same time. What one of them does is then seen by the calls that say so.
    fn is_shared(&self) -> bool {
        false
    }

    /// Every host that has used the store lately, this one among them. Empty for a driver that is not shared.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the store cannot be reached.
    async fn hosts(&self) -> Result<Vec<HostStatus>, Error> {
        Ok(Vec::new())
    }

    /// What is stored under each writer id, in all tenants together. Empty for a driver that is not shared.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the store cannot be reached.
    async fn writers(&self) -> Result<Vec<WriterStatus>, Error> {
        Ok(Vec::new())
    }

    /// Tells the hosts that share the store that the host with this writer id does not come back, so that its id can be adopted at once.
    ///
    /// # Errors
    /// [`Error::Held`] if that host is alive, [`Error::Other`] for a driver that is not shared.
    async fn dismiss(&self, _writer: &str) -> Result<(), Error> {
        Err(Error::Other(format!(
            "`kv.driver` is `{}`, which no other host shares: there is no host that could be dismissed",
            self.name()
        )))
    }

    /// Whether the store takes writes and answers reads now, as far as this host has last seen. Cheap: no call to the store.
    fn reach(&self) -> Reach {
        Reach::default()
    }

    /// Statistics over all tenants.
    fn statistics(&self) -> Statistics {
        Statistics::default()
    }

    /// What each statement that the driver sends has cost since the start. Empty for a driver whose store is in this process.
    fn statements(&self) -> Vec<StatementStatistics> {
        Vec::new()
    }

    /// Copies the whole store, as it stands at one moment during the call, into a new folder. Writes go on meanwhile. A write that was
    /// synced before the call is in the copy.
    ///
    /// # Errors
    /// [`SnapshotError`]. No folder of that name has been made then.
    async fn snapshot(&self, _request: SnapshotRequest) -> Result<Made, SnapshotError> {
        Err(SnapshotError::NothingOnDisk(format!(
            "`kv.driver` is `{}`, which keeps everything in memory",
            self.name()
        )))
    }
}

/// A host that uses a shared store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostStatus {
    /// Its [`Driver::writer_id`].
    pub writer: String,
    /// Where its operators reach it, for people: host name and process.
    pub address: String,
    /// Its release.
    pub version: String,
    /// Time since its last sign of life.
    pub silent: Duration,
    /// True for the host that answers.
    pub is_this: bool,
}

/// What is stored under a writer id of a shared store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriterStatus {
    /// The id.
    pub writer: String,
    /// The tenants in which something is stored under it.
    pub tenants: u64,
    /// Compressed bytes, in one copy, as hosts have told them last.
    pub bytes: u64,
    /// Where the hosts are reached that have adopted it in a tenant, for people. None while its own host does its upkeep.
    pub kept_up_by: BTreeSet<String>,
}

/// What of a store can be reached. Everything by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// Why writes fail; `None` while they succeed.
    pub writes: Option<String>,
    /// Why reads fail; `None` while they succeed.
    pub reads: Option<String>,
}

/// A tenant that has a namespace, and the size of that namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TenantUsage {
    /// Name of the tenant, as given to [`Driver::open`].
    pub tenant: String,
    /// [`Namespace::stored_bytes`] of its namespace.
    pub bytes: u64,
}

/// Keys and values of one tenant. Objects and committed entries share one key space: `get` and `scan` see both.
#[async_trait::async_trait]
pub trait Namespace: Send + Sync + 'static {
    /// Claims a writer id. An earlier claim of the same id is fenced before this returns: it commits nothing from then on.
    ///
    /// # Errors
    /// [`Error::Held`] if another host that is alive has the id as its own; the claim of a host that has adopted it is taken over.
    async fn claim(&self, writer: &str) -> Result<Claim, Error>;

    /// Claims the id of a host that is dead, for upkeep alone. `None` while its host is alive, or another one has adopted it, or nothing
    /// was ever committed under the id. Always `None` for a driver that is not shared.
    async fn adopt(&self, _writer: &str) -> Result<Option<Claim>, Error> {
        Ok(None)
    }

    /// Claims an id for a copy of what was written under it elsewhere, where it has this number. A driver that assigns no numbers leaves
    /// them to the data.
    ///
    /// # Errors
    /// As of [`Namespace::claim`]; [`Error::Other`] if the id has another number here, or another id has this one.
    async fn claim_numbered(&self, writer: &str, _number: u16) -> Result<Claim, Error> {
        self.claim(writer).await
    }

    /// The [`Claim::number`] of an id under which something was committed. Nothing is claimed.
    async fn number(&self, writer: &str) -> Result<u16, Error> {
        Ok(local_number(writer))
    }

    /// Takes a writer id, to which nothing that is stored refers any more, out of [`Namespace::writers`]. Its claim is fenced.
    async fn retire(&self, by: &Claim) -> Result<(), Error>;

    /// True if this is the tenant's namespace still: false from the moment on at which [`Driver::renew`] or [`Driver::forget`], on any
    /// host, has returned.
    async fn is_current(&self) -> Result<bool, Error>;

    /// Stores objects. Not atomic, and idempotent: an object that already exists is not changed.
    async fn put(&self, by: &Claim, objects: Vec<Object>) -> Result<(), Error>;

    /// Applies all changes or none, in one partition. Every later get and scan sees them.
    ///
    /// # Errors
    /// [`Error::Fenced`] if the writer id has been claimed again, [`Error::OutcomeUnknown`] if the changes may have been applied.
    async fn commit(&self, by: &Claim, partition: &str, changes: Vec<Change>) -> Result<(), Error>;

    /// The values of these keys, in the order of the keys.
    async fn get(&self, keys: &[Key]) -> Result<Vec<Option<Vec<u8>>>, Error>;

    /// One page of a partition's entries.
    async fn scan(&self, partition: &str, scan: &Scan) -> Result<Page, Error>;

    /// As [`Namespace::scan`], without what is not of this kind. For a copy, which stores each value in the way in which it was stored; no
    /// plugin can tell the two apart.
    ///
    /// # Errors
    /// [`Error::Other`] for a driver that cannot tell them apart either, from which nothing can be copied.
    async fn scan_stored(
        &self,
        partition: &str,
        _kind: Stored,
        _scan: &Scan,
    ) -> Result<Page, Error> {
        Err(Error::Other(format!(
            "partition `{partition}` cannot be copied: this driver does not know how its values were stored"
        )))
    }

    /// The stored bytes of a partition, if the driver counts them.
    fn partition_bytes(&self, _partition: &str) -> Option<u64> {
        None
    }

    /// Tells how many bytes are about to be put into a partition that is not there yet, for a driver that lays partitions out by their size.
    fn expect_bytes(&self, _partition: &str, _bytes: u64) {}

    /// Removes a whole partition, lazily. Its name can never be used again.
    async fn reclaim(&self, by: &Claim, partition: &str) -> Result<(), Error>;

    /// The writer ids that have ever committed here, without retired ones.
    async fn writers(&self) -> Result<Vec<String>, Error>;

    /// The partitions that have been written to and not reclaimed.
    async fn partitions(&self) -> Result<Vec<String>, Error>;

    /// Number that changes each time the driver has lost writes that were not yet durable, which fences every writer. A caller reads it
    /// before it writes, and passes it to [`Namespace::sync`] afterwards.
    fn generation(&self) -> u64 {
        0
    }

    /// Returns once all earlier puts and commits are as durable as the driver promises. Calls that wait at the same time share one sync.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the disk fails, or has failed since `generation` was read: the writes since then are lost.
    async fn sync(&self, generation: u64) -> Result<(), Error>;

    /// Compressed size of the namespace in bytes, without reclaimed partitions.
    fn stored_bytes(&self) -> u64;

    /// The part of [`Namespace::stored_bytes`] that this writer has put and committed. A driver that is not shared may count everything
    /// that is not the host's own.
    fn writer_bytes(&self, _writer: &str) -> u64 {
        self.stored_bytes().saturating_sub(self.host_bytes())
    }

    /// The part of [`Namespace::stored_bytes`] that is in the host's own partitions, whose names begin with [`HOST_PREFIX`].
    fn host_bytes(&self) -> u64;
}

/// The right to write under a writer id, until the id is claimed again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The writer's id.
    pub writer: String,
    /// Number of the claim of that id. Earlier claims are fenced.
    pub epoch: u64,
    /// The id's number, for names that have to be short. No other id of the namespace has it, and it never changes. Not 0.
    pub number: u16,
    /// True for writes that are no client's: those of an instance that is opened, and of maintenance, which frees space. They may use
    /// space that is kept free from clients.
    pub is_upkeep: bool,
}

/// The number of a writer id where nobody assigns numbers: a driver with one writer. It is what the `kv` plugin took before hosts gave it
/// one.
pub(crate) fn local_number(writer: &str) -> u16 {
    let [low, high, ..] = xxhash_rust::xxh3::xxh3_64(writer.as_bytes()).to_le_bytes();
    u16::from_le_bytes([low, high]).max(1)
}

/// Key of a value. The keys of a partition are ordered by the bytes of `sort`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// The partition: the unit of atomicity, of scans and of reclaim.
    pub partition: String,
    /// The sort key inside the partition.
    pub sort: Vec<u8>,
}

/// A value that is written once and never changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// The object's key.
    pub key: Key,
    /// The value, at most [`MAX_OBJECT_BYTES`].
    pub value: Vec<u8>,
}

/// One step of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Sets the value of a key.
    Put(Entry),
    /// Removes the entry with this sort key, if it exists.
    Delete(Vec<u8>),
}

/// A sort key and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The sort key inside the partition.
    pub sort: Vec<u8>,
    /// The value.
    pub value: Vec<u8>,
}

/// How a value was stored last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// By [`Namespace::put`].
    Object,
    /// By [`Namespace::commit`].
    Entry,
}

/// Range and limits of a scan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scan {
    /// The first sort key, included.
    pub start: Vec<u8>,
    /// The last sort key, excluded; `None` for the end of the partition.
    pub end: Option<Vec<u8>>,
    /// True for an order from last to first.
    pub descending: bool,
    /// Maximum number of entries on the page. A page has at least one entry if the range does.
    pub max_entries: u32,
    /// Approximate maximum bytes on the page, keys and values together.
    pub max_bytes: u32,
}

/// One page of a scan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The entries, in the order of the scan.
    pub entries: Vec<Entry>,
    /// True if the range has more entries after the last one.
    pub more: bool,
}
