//! The embedded driver: fjall's LSM tree for keys and small values, one file per partition for objects, and a journal for both.
//!
//! | in the data folder | contents |
//! |---|---|
//! | `LOCK` | locked by the process that uses the folder |
//! | `WRITER` | the writer id of this host, created at the first start |
//! | `tree/` | fjall's tables: values of commits, and positions of objects (`record.rs`, `value.rs`) |
//! | `objects/` | a file for each partition with objects, removed when the partition is reclaimed (`objects.rs`) |
//! | `journal/` | changes that are not yet in the tables; empty at rest (`journal.rs`) |
//!
//! Tables never change. An object file that has another name, in a snapshot or as one, is not changed either: its partition gets a copy
//! before the next object is put there (`sharing.rs`, `snapshot.rs`).
//!
//! A folder with missing parts is refused without being changed, and not treated as a new store (`survey.rs`).
//!
//! The driver uses fjall's tree (`lsm-tree`) but not its database. The driver's own journal can be opened after any crash, is empty at
//! rest (fjall's keeps up to 64 MiB), does not block commits while it syncs, and does not contain the objects, which are most of the bytes.

mod bytes;
mod claims;
mod durable;
mod faults;
mod folder;
mod journal;
mod live;
mod namespace;
mod objects;
mod open;
mod read;
mod record;
mod repair;
mod shared;
mod sharing;
mod snapshot;
mod space;
mod store;
mod survey;
#[cfg(test)]
mod tests;
mod upkeep;
mod value;
mod write;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use parking_lot::Mutex;

pub use self::faults::Faults;
pub use self::read::{CheckSummary, Damage};
pub use self::repair::SetAside;
pub use self::space::Probe;
pub use self::store::Orphan;

use crate::mirror;
use larder_core::fair::Scheduler;

use self::folder::WriterFile;
use self::namespace::EmbeddedNamespace;
use self::open::Access;
use self::shared::Shared;
use self::space::Space;
use self::survey::{FolderState, survey};
use self::upkeep::Upkeep;
use super::{
    Driver, Error, Made, Namespace, Quotas, SnapshotError, SnapshotRequest, Statistics, TenantUsage,
};

/// Time for which a reclaimed partition stays readable: longer than the longest query.
const LINGER: Duration = Duration::from_mins(1);

/// Time at which writes are acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// After they have been synced to disk.
    Sync,
    /// At once. They are synced to disk at this interval, and a crash loses the writes since the last sync.
    Periodic(Duration),
}

/// Options for opening the driver.
#[derive(Clone, Debug)]
pub struct Options {
    /// The data folder; created if it does not exist.
    pub dir: PathBuf,
    /// Time at which writes are acknowledged.
    pub durability: Durability,
    /// Limits of the bytes that each tenant may store.
    pub quotas: Quotas,
    /// Objects are refused while the disk has fewer free bytes than this.
    pub min_free: u64,
    /// The most files that are kept open: tables of the tree, and files of objects. At least 8.
    pub open_files: usize,
    /// Shares the time for compressing writes among tenants.
    pub scheduler: Arc<Scheduler>,
}

/// Driver that stores its data in a folder of the local disk.
pub struct EmbeddedDriver {
    /// Dropped first, because it uses the store. `None` if the store is read-only or closed.
    upkeep: Mutex<Option<Upkeep>>,
    shared: Arc<Shared>,
    writer: String,
    /// True if the file of the writer id is damaged.
    damaged_writer_id: bool,
    /// `None` if the store is read-only and has no lock file.
    _lock: Option<folder::Lock>,
}

// === impl EmbeddedDriver ===

impl EmbeddedDriver {
    /// Opens the store in a folder. Blocks, for about a second for tens of millions of spans.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the folder is in use or the disk fails, [`Error::DataLoss`] if the store is damaged or incomplete,
    /// [`Error::Other`] if a newer version wrote it. The last two do not change the store.
    pub fn open(options: Options) -> Result<Self, Error> {
        let probe = probe(&options);
        Self::open_with(options, probe, Faults::default())
    }

    /// Like [`EmbeddedDriver::open`], with another probe of free space and injected faults.
    ///
    /// # Errors
    /// As [`EmbeddedDriver::open`].
    pub fn open_with(options: Options, probe: Probe, faults: Faults) -> Result<Self, Error> {
        let dir = options.dir.clone();
        let lock = folder::lock(&dir)?;
        folder::read_writer_id(&dir)?;
        let space = Space::new(probe, options.min_free);
        let shared = Shared::open(options, Access::Write { last_synced: None }, space, faults)?;
        let shared = Arc::new(shared);
        let writer = folder::writer_id(&dir)?;
        let upkeep = Upkeep::start(Arc::clone(&shared)).map_err(|error| {
            Error::Unavailable(format!("no thread for the upkeep of kv: {error}"))
        })?;
        Ok(Self {
            upkeep: Mutex::new(Some(upkeep)),
            shared,
            writer,
            damaged_writer_id: false,
            _lock: Some(lock),
        })
    }

    /// Opens the store in a folder without changing it; all writes are refused. `scratch` is another folder, in which links to the
    /// tree's files are created. It has to exist as long as the driver. Returns `None` if nothing was ever stored.
    ///
    /// # Errors
    /// As [`EmbeddedDriver::open`]; [`Error::Unavailable`] also if `scratch` cannot be used.
    pub fn open_read_only(options: Options, scratch: &Path) -> Result<Option<Self>, Error> {
        Self::open_to_read(options, scratch, false)
    }

    /// Opens the store to read it. `any_writer_id` takes one whose file is damaged.
    fn open_to_read(
        options: Options,
        scratch: &Path,
        any_writer_id: bool,
    ) -> Result<Option<Self>, Error> {
        let dir = options.dir.clone();
        let lock = folder::lock_shared(&dir)?;
        if survey(&dir)? == FolderState::New {
            return Ok(None);
        }
        let file = folder::read_writer_file(&dir)?;
        if file == WriterFile::Damaged && !any_writer_id {
            return Err(folder::damaged_writer_file(&dir));
        }
        let tree = scratch.join("tree");
        mirror(&dir.join("tree"), &tree).map_err(|error| {
            Error::Unavailable(format!(
                "cannot make links in `{}` to the files in `{}`: {error}",
                scratch.display(),
                dir.display()
            ))
        })?;
        let space = Space::new(probe(&options), 0);
        let access = Access::Read { tree: &tree };
        let shared = Shared::open(options, access, space, Faults::default())?;
        let (writer, damaged_writer_id) = writer::id_to_read(&shared, file)?;
        Ok(Some(Self {
            upkeep: Mutex::new(None),
            shared: Arc::new(shared),
            writer,
            damaged_writer_id,
            _lock: lock,
        }))
    }

    /// True if another process has the store in a folder open to write it.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if that cannot be found out.
    pub fn is_in_use(dir: &Path) -> Result<bool, Error> {
        folder::is_locked(dir)
    }

    /// Files and partitions without a record, as found when the store was opened. A crash leaves none, so they mean that records are lost.
    pub fn orphans(&self) -> Vec<Orphan> {
        self.shared.store().state().orphans.clone()
    }

    /// Reads every value of every tenant, and calls `found` for each damaged one. Blocks while it reads.
    pub fn check(&self, found: &mut dyn FnMut(Damage)) -> CheckSummary {
        self.shared.check(found)
    }

    async fn namespace(&self, tenant: &str, renew: bool) -> Result<Arc<dyn Namespace>, Error> {
        let (shared, name) = (Arc::clone(&self.shared), tenant.to_owned());
        let number = namespace::blocking(move || shared.namespace(&name, renew)).await?;
        Ok(Arc::new(EmbeddedNamespace::new(
            Arc::clone(&self.shared),
            number,
            tenant,
        )))
    }
}

#[async_trait::async_trait]
impl Driver for EmbeddedDriver {
    fn name(&self) -> &'static str {
        "embedded"
    }

    fn is_durable(&self) -> bool {
        true
    }

    fn writer_id(&self) -> String {
        self.writer.clone()
    }

    async fn open(&self, tenant: &str) -> Result<Arc<dyn Namespace>, Error> {
        self.namespace(tenant, false).await
    }

    async fn renew(&self, tenant: &str) -> Result<Arc<dyn Namespace>, Error> {
        self.namespace(tenant, true).await
    }

    async fn forget(&self, tenant: &str) -> Result<(), Error> {
        let (shared, name) = (Arc::clone(&self.shared), tenant.to_owned());
        namespace::blocking(move || shared.forget(&name)).await
    }

    async fn tenants(&self) -> Result<Vec<TenantUsage>, Error> {
        Ok(self.shared.tenants())
    }

    fn set_quotas(&self, quotas: Quotas) {
        self.shared.set_quotas(quotas);
    }

    fn set_min_free(&self, bytes: u64) {
        self.shared.space.set_min_free(bytes);
    }

    async fn close(&self) -> Result<(), Error> {
        let upkeep = self.upkeep.lock().take();
        let Some(mut upkeep) = upkeep else {
            return Ok(());
        };
        namespace::blocking(move || upkeep.stop()).await
    }

    fn has_room(&self) -> bool {
        self.shared.space.has_room()
    }

    fn statistics(&self) -> Statistics {
        let shared = &self.shared;
        let micros = shared.syncs.micros.load(Ordering::Relaxed);
        Statistics {
            stored_bytes: shared.store().state().stored_bytes(),
            free_bytes: Some(shared.space.free.load(Ordering::Relaxed))
                .filter(|free| *free != u64::MAX),
            refused_for_space: shared.space.refused.load(Ordering::Relaxed),
            syncs: shared.syncs.count.load(Ordering::Relaxed),
            sync_time: Duration::from_micros(micros),
            damaged: shared.damage.load(Ordering::Relaxed),
        }
    }

    async fn snapshot(&self, request: SnapshotRequest) -> Result<Made, SnapshotError> {
        let shared = Arc::clone(&self.shared);
        let making = tokio::task::spawn_blocking(move || shared.snapshot(&request));
        making.await.unwrap_or_else(|error| {
            let text = format!("the snapshot ended early: {error}");
            Err(Error::Unavailable(text).into())
        })
    }
}

/// Returns a probe of the free bytes on the disk of the data folder.
fn probe(options: &Options) -> Probe {
    let dir = options.dir.clone();
    Box::new(move || {
        let system = rustix::fs::statvfs(&dir)?;
        Ok(system.f_bavail.saturating_mul(system.f_frsize))
    })
}
