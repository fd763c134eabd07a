//! The embedded driver: fjall's LSM tree for keys and small values, one file a partition for objects, and a journal for both.
//!
//! | in the data folder | what |
//! |---|---|
//! | `LOCK` | held by the one process that uses the folder |
//! | `WRITER` | the id under which this host writes, made at the first start |
//! | `tree/` | fjall's tables: the values of commits, and where objects are (`record.rs`, `value.rs`) |
//! | `objects/` | a file for each partition that has objects, removed whole when it is reclaimed (`objects.rs`) |
//! | `journal/` | what is not yet in the tables; empty at rest (`journal.rs`) |
//!
//! A folder of which a part is missing is refused as it is, and not taken for a new store (`survey.rs`).
//!
//! It stands on fjall's own tree (`lsm-tree`) and not on its database, because a journal of our own can be opened whatever its end
//! looks like after a crash, is empty at rest (fjall's keeps up to 64 MiB), does not stop commits while it syncs, and need not carry
//! the objects, which are most of the bytes.

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
mod shared;
mod space;
mod store;
mod survey;
#[cfg(test)]
mod tests;
mod upkeep;
mod value;
mod write;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

pub use self::faults::Faults;
pub use self::read::{Checked, Damage};
pub use self::space::Probe;
pub use self::store::Orphan;

use crate::mirror;
use larder_core::fair::Scheduler;

use self::namespace::FjallNamespace;
use self::open::Access;
use self::shared::Shared;
use self::space::Space;
use self::survey::{Found, survey};
use self::upkeep::Upkeep;
use super::{Driver, Error, Namespace, Quotas, Statistics, Stored};

/// How long what was reclaimed stays readable: longer than a query may last.
const LINGER: Duration = Duration::from_mins(1);

/// When writes are acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Once they are on disk.
    Sync,
    /// At once; they go to disk each time this much has passed. A crash loses what came since.
    Periodic(Duration),
}

/// What the driver is started with.
#[derive(Clone, Debug)]
pub struct Options {
    /// The data folder; made if it is not there.
    pub dir: PathBuf,
    /// When writes are acknowledged.
    pub durability: Durability,
    /// How much each tenant may store.
    pub quotas: Quotas,
    /// Objects are refused when the disk has fewer bytes free.
    pub min_free: u64,
    /// Gives tenants their turns of compressing what they write.
    pub scheduler: Arc<Scheduler>,
}

/// See the module.
pub struct EmbeddedDriver {
    /// Dropped first, as it uses the store. None where the store is only read.
    #[cfg_attr(not(test), expect(dead_code, reason = "it ends with the driver"))]
    upkeep: Option<Upkeep>,
    shared: Arc<Shared>,
    writer: String,
    /// None where there is no lock file, and the store is only read.
    _lock: Option<folder::Lock>,
}

// === impl EmbeddedDriver ===

impl EmbeddedDriver {
    /// Opens what the folder holds. Blocks: a second for tens of millions of spans.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where the folder is in use or the disk refuses, [`Error::DataLoss`] where the store is damaged or a part of
    /// it is missing, [`Error::Other`] where a newer build wrote it. The last two leave the store as it is.
    pub fn open(options: Options) -> Result<Self, Error> {
        let probe = probe(&options);
        Self::open_with(options, probe, Faults::default())
    }

    /// As [`EmbeddedDriver::open`], with another look at free space, and faults on demand.
    ///
    /// # Errors
    /// As [`EmbeddedDriver::open`].
    pub fn open_with(options: Options, probe: Probe, faults: Faults) -> Result<Self, Error> {
        let dir = options.dir.clone();
        let lock = folder::take(&dir)?;
        folder::read_writer_id(&dir)?;
        let space = Space::new(probe, options.min_free);
        let shared = Shared::open(options, Access::Write { good: None }, space, faults)?;
        let shared = Arc::new(shared);
        let writer = folder::writer_id(&dir)?;
        let upkeep = Upkeep::start(Arc::clone(&shared)).map_err(|error| {
            Error::Unavailable(format!("no thread for the upkeep of kv: {error}"))
        })?;
        Ok(Self {
            upkeep: Some(upkeep),
            shared,
            writer,
            _lock: Some(lock),
        })
    }

    /// Opens what the folder holds without changing anything there: all calls that write are refused. `scratch` is a folder elsewhere,
    /// in which links to the tree's files are made; it has to stay as long as the driver. None where nothing was ever stored.
    ///
    /// # Errors
    /// As [`EmbeddedDriver::open`]; [`Error::Unavailable`] also where `scratch` cannot be used.
    pub fn open_read_only(options: Options, scratch: &Path) -> Result<Option<Self>, Error> {
        let dir = options.dir.clone();
        let lock = folder::share(&dir)?;
        if survey(&dir)? == Found::New {
            return Ok(None);
        }
        let writer = folder::read_writer_id(&dir)?.unwrap_or_default();
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
        Ok(Some(Self {
            upkeep: None,
            shared: Arc::new(shared),
            writer,
            _lock: lock,
        }))
    }

    /// Files and partitions that no record refers to, as found when the store was opened. A crash leaves none: records are missing.
    pub fn orphans(&self) -> Vec<Orphan> {
        self.shared.store().state().orphans.clone()
    }

    /// Reads every value of every tenant; `found` hears of each that is damaged. Blocks for as long as that takes.
    pub fn check(&self, found: &mut dyn FnMut(Damage)) -> Checked {
        self.shared.check(found)
    }

    async fn namespace(&self, tenant: &str, anew: bool) -> Result<Arc<dyn Namespace>, Error> {
        let (shared, name) = (Arc::clone(&self.shared), tenant.to_owned());
        let number = namespace::blocking(move || shared.namespace(&name, anew)).await?;
        Ok(Arc::new(FjallNamespace::new(
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

    async fn tenants(&self) -> Result<Vec<Stored>, Error> {
        Ok(self.shared.tenants())
    }

    fn set_quotas(&self, quotas: Quotas) {
        self.shared.set_quotas(quotas);
    }

    fn set_min_free(&self, bytes: u64) {
        self.shared.space.set_min_free(bytes);
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
}

/// Asks the system what the disk of the data folder has free.
fn probe(options: &Options) -> Probe {
    let dir = options.dir.clone();
    Box::new(move || {
        let system = rustix::fs::statvfs(&dir)?;
        Ok(system.f_bavail.saturating_mul(system.f_frsize))
    })
}
