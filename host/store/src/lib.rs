//! Ordered storage that outlives a plugin's instance: what stands behind the contract's `kv` import.
//!
//! One trait, [`Driver`], that an embedded LSM and a cluster database can both satisfy: write-once objects, small atomic commits
//! inside ONE partition that are fenced by the writer's epoch, scans inside one partition, lazy reclaim. Architecture invariants:
//! nothing here knows wasm, and no other crate knows lsm-tree.

#![forbid(unsafe_code)]

pub mod embedded;
mod error;
mod memory;
mod mirror;
mod quotas;
#[cfg(test)]
mod test_support;

use std::sync::Arc;

pub use error::Error;
pub use larder_core::telemetry::KvStatistics as Statistics;
pub use memory::MemoryDriver;
pub use mirror::mirror;
pub use quotas::Quotas;

/// The largest object and the largest value (`kv.put` in `wit/storage.wit`), in bytes.
pub const MAX_OBJECT_BYTES: usize = 5 * 1024 * 1024;
/// The most that one commit may carry, keys and values together (`kv.commit`), in bytes.
pub const MAX_COMMIT_BYTES: usize = 256 * 1024;

/// What keeps the namespaces of all tenants.
#[async_trait::async_trait]
pub trait Driver: Send + Sync + 'static {
    /// The word that the configuration uses.
    fn name(&self) -> &'static str;

    /// Whether what is stored is still there after a restart of the process.
    fn is_durable(&self) -> bool;

    /// The id under which this host writes: unique among all hosts that share the store, and the same after a restart.
    fn writer_id(&self) -> String;

    /// The tenant's current namespace; the same one until [`Driver::renew`].
    async fn open(&self, tenant: &str) -> Result<Arc<dyn Namespace>, Error>;

    /// Gives the tenant a new, empty namespace (a purge). Writers of the old one are fenced before this returns; what it held is
    /// reclaimed behind.
    async fn renew(&self, tenant: &str) -> Result<Arc<dyn Namespace>, Error>;

    /// Takes the tenant's namespace away, if it has one: until the next [`Driver::open`] it is not among [`Driver::tenants`]. Writers
    /// are fenced before this returns; what it held is reclaimed behind.
    async fn forget(&self, tenant: &str) -> Result<(), Error>;

    /// Every tenant that has a namespace, in any order.
    async fn tenants(&self) -> Result<Vec<Stored>, Error>;

    /// Holds every tenant to these from the next write on, also those whose namespace is open.
    fn set_quotas(&self, quotas: Quotas);

    /// Refuses objects from now on while the disk has less free bytes than this. Nothing to do for a driver without a disk.
    fn set_min_free(&self, _bytes: u64) {}

    /// What the driver counts, of all tenants.
    fn statistics(&self) -> Statistics {
        Statistics::default()
    }
}

/// A tenant that has a namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stored {
    /// The name that [`Driver::open`] was given.
    pub tenant: String,
    /// What its namespace takes up: [`Namespace::stored_bytes`].
    pub bytes: u64,
}

/// One tenant's keys. Objects and committed entries share one order: `get` and `scan` see both.
#[async_trait::async_trait]
pub trait Namespace: Send + Sync + 'static {
    /// Takes over a writer id: whoever held it before is fenced from here on.
    async fn claim(&self, writer: &str) -> Result<Claim, Error>;

    /// Stores objects. Not atomic, and safe to repeat: an object that is there already stays as it is.
    async fn put(&self, by: &Claim, objects: Vec<Object>) -> Result<(), Error>;

    /// Applies all changes or none, in one partition; every later get and scan sees them.
    ///
    /// # Errors
    /// [`Error::Fenced`] where the claim has been taken over, [`Error::OutcomeUnknown`] where it may have happened.
    async fn commit(&self, by: &Claim, partition: &str, changes: Vec<Change>) -> Result<(), Error>;

    /// The values of these keys, in the order asked.
    async fn get(&self, keys: &[Key]) -> Result<Vec<Option<Vec<u8>>>, Error>;

    /// One page of a partition's entries.
    async fn scan(&self, partition: &str, scan: &Scan) -> Result<Page, Error>;

    /// Gives a whole partition back, lazily. Its name is never used again.
    async fn reclaim(&self, by: &Claim, partition: &str) -> Result<(), Error>;

    /// Every writer id that has ever committed here.
    async fn writers(&self) -> Result<Vec<String>, Error>;

    /// Every partition that has been written to and not reclaimed.
    async fn partitions(&self) -> Result<Vec<String>, Error>;

    /// Changes each time the driver has lost what was not yet durable, which fences every writer. Whoever writes asks before, and
    /// hands it to [`Namespace::sync`] after.
    fn generation(&self) -> u64 {
        0
    }

    /// Returns once all that was put or committed before the call is as durable as the driver promises. Calls that wait at the same
    /// time share one sync.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where it is not: the disk failed, or it has done so since `generation` was asked for and what was written
    /// then is lost.
    async fn sync(&self, generation: u64) -> Result<(), Error>;

    /// What the namespace takes up, compressed, less what has been reclaimed; in bytes.
    fn stored_bytes(&self) -> u64;
}

/// The right to write under one id, until somebody else claims it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The writer's id.
    pub writer: String,
    /// Which claim of that id this is; an earlier one is fenced.
    pub epoch: u64,
}

/// Where a value stands: `sort` orders the keys of a partition, byte by byte.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// The unit of atomicity, of scans and of reclaim.
    pub partition: String,
    /// The place inside the partition.
    pub sort: Vec<u8>,
}

/// A value that is written once and never changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Where it stands.
    pub key: Key,
    /// At most [`MAX_OBJECT_BYTES`].
    pub value: Vec<u8>,
}

/// One step of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Sets the value at this place.
    Put(Entry),
    /// Removes what stands at this place, if anything does.
    Delete(Vec<u8>),
}

/// A key inside a partition, and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The place inside the partition.
    pub sort: Vec<u8>,
    /// The value.
    pub value: Vec<u8>,
}

/// What a scan asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scan {
    /// The first place, included.
    pub start: Vec<u8>,
    /// The last place, excluded; none means to the end.
    pub end: Option<Vec<u8>>,
    /// From the last to the first.
    pub descending: bool,
    /// The most entries on the page; at least one is given where there is one.
    pub max_entries: u32,
    /// About the most bytes on the page, keys and values together.
    pub max_bytes: u32,
}

/// One page of a scan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// In the order of the scan.
    pub entries: Vec<Entry>,
    /// Whether the range holds more beyond the last entry.
    pub more: bool,
}
