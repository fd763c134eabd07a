//! Snapshots: copies of a store on disk that were made while it was in use.
//!
//! A snapshot is a folder in the form of a data folder, so `larder check` reads it and a server can start on it:
//!
//! | in the snapshot | contents |
//! |---|---|
//! | `SNAPSHOT` | its name, its moment, and the name and length of every file; written last (`inventory.rs`) |
//! | `kv/` | the store, in the form of the driver's folder |
//!
//! It is made under the name `.NAME.partial`, which no snapshot can have, and renamed once all of it is on disk. So a folder with the name
//! of a snapshot is whole, and `SNAPSHOT` shows whether it still is, also after it was copied elsewhere.
//!
//! A file of a snapshot may be a hard link to a file of the store. The driver links only files that neither side changes while they have
//! more than one name.

mod copy;
mod draft;
mod inventory;
mod name;
mod restore;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

pub(crate) use copy::copy;
pub(crate) use draft::Draft;
pub use name::SnapshotName;
pub use restore::{RestoreError, Restored, restore};

use crate::Error;

/// The folder of the store in a snapshot, as in a data folder.
const KV: &str = "kv";
/// The file that says that a snapshot is whole.
const INVENTORY: &str = "SNAPSHOT";

/// A request for a snapshot.
#[derive(Clone, Debug)]
pub struct SnapshotRequest {
    /// The folder below which the snapshot is made. It is created if it does not exist.
    pub below: PathBuf,
    /// The snapshot's name: that of its folder.
    pub name: SnapshotName,
    /// Set to true to give up. The call then ends soon with [`SnapshotError::Stopped`].
    pub stop: Arc<AtomicBool>,
}

/// A finished snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// The folder.
    pub path: PathBuf,
    /// The moment at which the store was as the snapshot has it.
    pub moment: SystemTime,
    /// Files that are hard links to files of the store. They take no space until the store drops them.
    pub linked: Amount,
    /// Files that are copies.
    pub copied: Amount,
    /// Files that the store should have and has not. Their values are damaged in the store and in the snapshot alike.
    pub missing: u64,
}

/// A number of files and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// The number of files.
    pub files: u64,
    /// Their length together.
    pub bytes: u64,
}

/// The reason why there is no snapshot.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// Nothing is stored on disk. The text has the reason.
    #[error("there is nothing on disk to copy: {0}")]
    NothingOnDisk(String),
    /// Something has that name already.
    #[error("`{}` is there already: give the snapshot another name, or remove that one", .0.display())]
    Exists(PathBuf),
    /// The folder of snapshots is inside the store.
    #[error("`{}` is in the folder of the store itself: set `kv.snapshot_dir` to one outside", .0.display())]
    InStore(PathBuf),
    /// Another snapshot is being made, of this store or in the same folder.
    #[error("another snapshot is being made in `{}`: repeat the call when it is done", .0.display())]
    Busy(PathBuf),
    /// The disk is too full for a copy.
    #[error(
        "there is no room for a copy of {needed} bytes below `{}`: {free} bytes are free, and {reserve} of them stay free for the store (`kv.min_free`)",
        below.display()
    )]
    NoRoom {
        /// The folder of snapshots.
        below: PathBuf,
        /// The length of the file that does not fit.
        needed: u64,
        /// Free bytes on its disk.
        free: u64,
        /// Bytes that are kept free.
        reserve: u64,
    },
    /// A file cannot be copied.
    #[error("the snapshot cannot be written: `{}`: {error}", path.display())]
    Disk {
        /// The file or folder.
        path: PathBuf,
        /// The error of the system.
        error: io::Error,
    },
    /// The caller has stopped it.
    #[error("the server is stopping, and the snapshot was given up")]
    Stopped,
    /// The store cannot be copied.
    #[error(transparent)]
    Store(#[from] Error),
}

// === impl SnapshotRequest ===

impl SnapshotRequest {
    /// A request that is not stopped.
    pub fn new(below: PathBuf, name: SnapshotName) -> Self {
        Self {
            below,
            name,
            stop: Arc::default(),
        }
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

// === impl Amount ===

impl Amount {
    fn add(&mut self, bytes: u64) {
        self.files += 1;
        self.bytes += bytes;
    }
}

/// Returns `true` if `path`, which need not exist, is `folder` or in it, whatever links and `..` it is written with. Of a folder that does
/// not exist, the text alone is compared.
pub fn is_within(path: &Path, folder: &Path) -> bool {
    let Ok(real_folder) = folder.canonicalize() else {
        return path.starts_with(folder);
    };
    let mut existing = path.ancestors();
    let real = existing.find_map(|it| {
        let it = if it.as_os_str().is_empty() {
            Path::new(".")
        } else {
            it
        };
        it.canonicalize().ok()
    });
    real.is_some_and(|real| real.starts_with(real_folder))
}

#[cfg(test)]
mod tests;
