//! A snapshot that is being made.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use tracing::warn;

use super::inventory::{Inventory, Listed};
use super::{Amount, INVENTORY, KV, Made, SnapshotError, SnapshotName, SnapshotRequest};

/// The end of the name of a snapshot that is being made. The name begins with a dot, which no snapshot's does.
const PARTIAL: &str = ".partial";
/// The file in the folder of snapshots that is locked while one is made.
const LOCK: &str = ".lock";

/// The folder of a snapshot that is being made. It is removed when this is dropped, unless it was completed.
pub(crate) struct Draft<'a> {
    request: &'a SnapshotRequest,
    /// The folder under its temporary name.
    dir: PathBuf,
    files: Vec<Listed>,
    /// The folders in it, all of which have to be synced.
    folders: BTreeSet<PathBuf>,
    linked: Amount,
    copied: Amount,
    missing: u64,
    /// False once a link was refused for a reason that holds for all files, such as another file system.
    links: bool,
    /// Free bytes that copies leave to the store, if it is on the same disk.
    reserve: u64,
    is_complete: bool,
    /// Keeps other processes from making a snapshot in the same folder.
    _lock: File,
}

// === impl Draft ===

impl<'a> Draft<'a> {
    /// Creates the folder under its temporary name. Removes what a process that was killed has left of its own. Copies leave `min_free` bytes
    /// to the store in the folder `store`.
    pub(crate) fn begin(
        request: &'a SnapshotRequest,
        store: &Path,
        min_free: u64,
    ) -> Result<Self, SnapshotError> {
        let SnapshotRequest { below, name, .. } = request;
        make_dir(below).map_err(|source| failed(below, source))?;
        let lock = lock(below)?;
        let path = below.join(name.as_str());
        if path.symlink_metadata().is_ok() {
            return Err(SnapshotError::Exists(path));
        }
        remove_leftovers(below).map_err(|source| failed(below, source))?;
        let dir = below.join(format!(".{name}{PARTIAL}"));
        make_dir(&dir).map_err(|source| failed(&dir, source))?;
        let device = |path: &Path| fs::metadata(path).map(|it| it.dev());
        let shares_disk = device(below).ok() == device(store).ok();
        Ok(Self {
            request,
            folders: [dir.clone()].into(),
            dir,
            files: Vec::new(),
            linked: Amount::default(),
            copied: Amount::default(),
            missing: 0,
            links: true,
            reserve: if shares_disk { min_free } else { 0 },
            is_complete: false,
            _lock: lock,
        })
    }

    /// False once it is known that nothing can be linked.
    pub(crate) fn can_link(&self) -> bool {
        self.links
    }

    /// Counts a file that the store should have and has not.
    pub(crate) fn count_missing(&mut self) {
        self.missing += 1;
    }

    /// Creates an empty folder of the store.
    pub(crate) fn folder(&mut self, to: &str) -> Result<(), SnapshotError> {
        let dir = self.dir.join(KV).join(to);
        self.make_folder(&dir)
    }

    /// Adds a hard link to a file that is never changed, and returns `true`; `false` if it cannot be linked. `to` is the path in the store.
    pub(crate) fn link(&mut self, from: &Path, to: &str) -> Result<bool, SnapshotError> {
        if !self.links {
            return Ok(false);
        }
        let path = self.place(to)?;
        match fs::hard_link(from, &path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(failed(from, error));
            }
            Err(error) => {
                // One file may have too many links. The other reasons hold for all.
                self.links = error.kind() == io::ErrorKind::TooManyLinks;
                return Ok(false);
            }
        }
        let length = fs::metadata(&path).map_err(|source| failed(&path, source))?;
        self.linked.add(length.len());
        self.list(to, length.len());
        Ok(true)
    }

    /// Adds a copy of the first `length` bytes of a file, or of all if it is shorter.
    pub(crate) fn copy(&mut self, from: &File, length: u64, to: &str) -> Result<(), SnapshotError> {
        let path = self.place(to)?;
        let file = new_file(&path).map_err(|source| failed(&path, source))?;
        let (request, reserve) = (self.request, self.reserve);
        let proceed = |left: u64| check(request, reserve, left);
        let copied = super::copy(from, &file, length, proceed).map_err(|error| match error {
            Ended::Disk(source) => failed(&path, source),
            Ended::Refused(error) => error,
        })?;
        self.copied.add(copied);
        self.list(to, copied);
        Ok(())
    }

    /// Adds a file with these bytes.
    pub(crate) fn write(&mut self, bytes: &[u8], to: &str) -> Result<(), SnapshotError> {
        let path = self.place(to)?;
        write_file(&path, bytes).map_err(|source| failed(&path, source))?;
        self.copied.add(bytes.len() as u64);
        self.list(to, bytes.len() as u64);
        Ok(())
    }

    /// Syncs everything, lists it, and gives the folder its name.
    pub(crate) fn complete(mut self, moment: SystemTime) -> Result<Made, SnapshotError> {
        if self.request.is_stopped() {
            return Err(SnapshotError::Stopped);
        }
        for folder in &self.folders {
            sync_dir(folder).map_err(|source| failed(folder, source))?;
        }
        let inventory = Inventory {
            name: self.request.name.to_string(),
            moment,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            files: std::mem::take(&mut self.files),
        };
        let path = self.dir.join(INVENTORY);
        write_file(&path, inventory.encode().as_bytes())
            .and_then(|()| sync_dir(&self.dir))
            .map_err(|source| failed(&path, source))?;
        let SnapshotRequest { below, name, .. } = self.request;
        let path = below.join(name.as_str());
        if path.symlink_metadata().is_ok() {
            // Not by a snapshot, because the folder is locked.
            return Err(SnapshotError::Exists(path));
        }
        fs::rename(&self.dir, &path).map_err(|source| failed(&path, source))?;
        self.is_complete = true;
        sync_dir(below).map_err(|source| failed(below, source))?;
        Ok(Made {
            path: std::path::absolute(&path).unwrap_or(path),
            moment,
            linked: self.linked,
            copied: self.copied,
            missing: self.missing,
        })
    }

    /// The path of a new file, whose folder exists.
    fn place(&mut self, to: &str) -> Result<PathBuf, SnapshotError> {
        if self.request.is_stopped() {
            return Err(SnapshotError::Stopped);
        }
        let path = self.dir.join(KV).join(to);
        if let Some(folder) = path.parent() {
            self.make_folder(folder)?;
        }
        Ok(path)
    }

    fn make_folder(&mut self, folder: &Path) -> Result<(), SnapshotError> {
        if self.folders.contains(folder) {
            return Ok(());
        }
        make_dir(folder).map_err(|source| failed(folder, source))?;
        let above = folder.ancestors().take_while(|it| *it != self.dir);
        self.folders.extend(above.map(Path::to_owned));
        Ok(())
    }

    fn list(&mut self, to: &str, length: u64) {
        let path = format!("{KV}/{to}");
        self.files.push(Listed { path, length });
    }
}

impl Drop for Draft<'_> {
    fn drop(&mut self) {
        if self.is_complete {
            return;
        }
        if let Err(error) = fs::remove_dir_all(&self.dir) {
            warn!(%error, dir = %self.dir.display(), "what there is of a snapshot could not be removed; the next snapshot does it");
        }
    }
}

/// The reason for which a copy ended early.
#[derive(Debug)]
pub(super) enum Ended {
    Disk(io::Error),
    Refused(SnapshotError),
}

impl From<io::Error> for Ended {
    fn from(error: io::Error) -> Self {
        Self::Disk(error)
    }
}

/// Checks that a copy may go on: nothing has stopped it, and the bytes that are left to write fit.
pub(super) fn check(request: &SnapshotRequest, reserve: u64, left: u64) -> Result<(), Ended> {
    if request.is_stopped() {
        return Err(Ended::Refused(SnapshotError::Stopped));
    }
    let below = &request.below;
    let free = free(below)?;
    if free >= left.saturating_add(reserve) {
        return Ok(());
    }
    Err(Ended::Refused(SnapshotError::NoRoom {
        below: below.clone(),
        needed: left,
        free,
        reserve,
    }))
}

/// Free bytes on the disk of a folder.
pub(super) fn free(dir: &Path) -> io::Result<u64> {
    let system = rustix::fs::statvfs(dir)?;
    Ok(system.f_bavail.saturating_mul(system.f_frsize))
}

/// Locks the folder of snapshots for this process until the file is closed.
fn lock(below: &Path) -> Result<File, SnapshotError> {
    let path = below.join(LOCK);
    let opened = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(false)
        .mode(0o600)
        .open(&path);
    let file = opened.map_err(|source| failed(&path, source))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(SnapshotError::Busy(below.to_owned())),
        Err(TryLockError::Error(source)) => Err(failed(&path, source)),
    }
}

/// Removes snapshots that were never completed. No process is making one, because the folder is locked.
fn remove_leftovers(below: &Path) -> io::Result<()> {
    for entry in fs::read_dir(below)? {
        let entry = entry?;
        if is_partial(&entry.file_name().to_string_lossy()) && entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

/// True for the temporary name of a snapshot.
fn is_partial(name: &str) -> bool {
    let inner = name
        .strip_prefix('.')
        .and_then(|it| it.strip_suffix(PARTIAL));
    inner.is_some_and(|name| name.parse::<SnapshotName>().is_ok())
}

/// Creates a folder that is for its owner only, and those above it. Keeps one that exists.
pub(super) fn make_dir(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

/// Creates a file that is for its owner only.
pub(super) fn new_file(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

fn write_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = new_file(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Syncs the names in a folder to disk.
pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

fn failed(path: &Path, error: io::Error) -> SnapshotError {
    SnapshotError::Disk {
        path: path.to_owned(),
        error,
    }
}
