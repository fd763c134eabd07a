//! Object files: one for each partition. Objects are appended, and the file is removed when the partition is reclaimed.
//!
//! So every object is written to disk once and never moved, and its space is freed by removing a file. Only open files are kept in
//! memory; reads use the system's page cache.

use std::collections::HashMap;
use std::fs::{self, DirEntry, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::faults::Faults;
use crate::snapshot::copy;

pub(super) const SUFFIX: &str = "obj";
/// Suffix of a copy that takes the place of a file with several names. One that a crash has left is removed when the store is opened.
const COPY_SUFFIX: &str = "new";

/// Permission of a read to wait for the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    ForDisk,
    Never,
}

/// The folder of object files.
pub(super) struct Objects {
    dir: PathBuf,
    writable: bool,
    /// Maximum number of open files. When it is reached, all are closed, and opened again when they are needed.
    max_open: usize,
    open: Mutex<HashMap<u64, Arc<File>>>,
    faults: Faults,
}

// === impl Objects ===

impl Objects {
    /// The folder need not exist yet.
    pub(super) fn new(dir: PathBuf, writable: bool, max_open: usize, faults: Faults) -> Self {
        Self {
            dir,
            writable,
            max_open,
            open: Mutex::default(),
            faults,
        }
    }

    /// Creates the folder if it does not exist.
    pub(super) fn make_dir(&self) -> io::Result<()> {
        fs::create_dir_all(&self.dir)
    }

    /// Returns `true` if the folder exists.
    pub(super) fn has_dir(&self) -> bool {
        self.dir.is_dir()
    }

    /// Writes to the partition's file at `offset`. Creates no file: a missing one has been removed on purpose.
    pub(super) fn write(&self, partition: u64, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.faults.write()?;
        self.file(partition, false)?.write_all_at(bytes, offset)
    }

    /// Creates the file if it does not exist, and truncates it to this length: after a crash it may be longer.
    pub(super) fn truncate(&self, partition: u64, length: u64) -> io::Result<()> {
        self.file(partition, true)?.set_len(length)
    }

    /// Reads from the partition's file. Returns `None` if that would have to wait for the disk and `wait` forbids it.
    pub(super) fn read(
        &self,
        partition: u64,
        (offset, length): (u64, u32),
        wait: Wait,
    ) -> io::Result<Option<Vec<u8>>> {
        let mut bytes = vec![0; length as usize];
        let file = self.file(partition, false)?;
        match wait {
            Wait::ForDisk => file.read_exact_at(&mut bytes, offset)?,
            Wait::Never => {
                if !read_cached(&file, &mut bytes, offset) {
                    return Ok(None);
                }
            }
        }
        Ok(Some(bytes))
    }

    /// Syncs the partition's file to disk.
    pub(super) fn sync(&self, partition: u64) -> io::Result<()> {
        self.faults.sync()?;
        match self.file(partition, false) {
            Ok(file) => file.sync_data(),
            // Reclaimed meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Syncs the names of the files to disk.
    pub(super) fn sync_names(&self) -> io::Result<()> {
        sync_dir(&self.dir)
    }

    /// Removes the partition's file.
    pub(super) fn remove(&self, partition: u64) -> io::Result<()> {
        // Remove the file before closing it. The other way round, a read in between would open it again and keep its space until the
        // process ends.
        let removed = fs::remove_file(self.path(partition));
        self.open.lock().remove(&partition);
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Returns `true` if the partition's file has more than one name; `false` if there is no file.
    pub(super) fn is_shared(&self, partition: u64) -> io::Result<bool> {
        match fs::metadata(self.path(partition)) {
            Ok(metadata) => Ok(metadata.nlink() > 1),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Copies the first `length` bytes of the partition's file, and syncs the copy. [`Objects::replace`] puts it in the file's place.
    pub(super) fn copy(&self, partition: u64, length: u64) -> io::Result<PathBuf> {
        self.faults.write()?;
        let path = self.path(partition).with_extension(COPY_SUFFIX);
        let from = File::open(self.path(partition))?;
        let to = File::create(&path)?;
        match copy(&from, &to, length, |_| Ok::<_, io::Error>(())) {
            Ok(_) => Ok(path),
            Err(error) => {
                // What is left is removed when the store is opened.
                drop(fs::remove_file(path));
                Err(error)
            }
        }
    }

    /// Puts a copy in the place of the partition's file. Its other names keep the file.
    pub(super) fn replace(&self, partition: u64, copy: &Path) -> io::Result<()> {
        fs::rename(copy, self.path(partition))?;
        // Only after this is the file written, so an open file in between serves reads alone.
        self.open.lock().remove(&partition);
        Ok(())
    }

    /// Removes copies that a crash has left.
    pub(super) fn remove_copies(&self) -> io::Result<()> {
        for (_, path) in numbered_files(&self.dir, COPY_SUFFIX)? {
            fs::remove_file(path)?;
        }
        Ok(())
    }

    /// Opens the partition's file for reading, apart from the files that are kept open.
    pub(super) fn open_to_copy(&self, partition: u64) -> io::Result<(PathBuf, File)> {
        let path = self.path(partition);
        let file = File::open(&path)?;
        Ok((path, file))
    }

    /// Number of open files.
    #[cfg(test)]
    pub(super) fn open_len(&self) -> usize {
        self.open.lock().len()
    }

    /// The length of the partition's file, in bytes.
    pub(super) fn length(&self, partition: u64) -> io::Result<u64> {
        Ok(fs::metadata(self.path(partition))?.len())
    }

    /// The partitions that have a file.
    pub(super) fn list(&self) -> io::Result<Vec<u64>> {
        let files = numbered_files(&self.dir, SUFFIX)?;
        Ok(files.into_iter().map(|(number, _)| number).collect())
    }

    fn file(&self, partition: u64, create: bool) -> io::Result<Arc<File>> {
        let mut open = self.open.lock();
        if let Some(file) = open.get(&partition) {
            return Ok(Arc::clone(file));
        }
        let options = OpenOptions::new()
            .read(true)
            .write(self.writable)
            .create(self.writable && create)
            .truncate(false)
            .open(self.path(partition));
        let file = Arc::new(options?);
        if open.len() >= self.max_open {
            open.clear();
        }
        open.insert(partition, Arc::clone(&file));
        Ok(file)
    }

    fn path(&self, partition: u64) -> PathBuf {
        self.dir.join(file_name(partition))
    }
}

/// The name of the partition's file.
pub(super) fn file_name(partition: u64) -> String {
    format!("{partition:016x}.{SUFFIX}")
}

/// Fills `bytes` if the whole range is in the system's page cache, and returns `true` if it was.
#[cfg(target_os = "linux")]
fn read_cached(file: &File, bytes: &mut [u8], offset: u64) -> bool {
    let length = bytes.len();
    let mut into = [io::IoSliceMut::new(bytes)];
    let read = rustix::io::preadv2(file, &mut into, offset, rustix::io::ReadWriteFlags::NOWAIT);
    read == Ok(length)
}

/// Other systems cannot read only from the cache.
#[cfg(not(target_os = "linux"))]
fn read_cached(_file: &File, _bytes: &mut [u8], _offset: u64) -> bool {
    false
}

/// The entries of a folder. A missing folder has none.
pub(super) fn entries(dir: &Path) -> io::Result<Vec<DirEntry>> {
    match fs::read_dir(dir) {
        Ok(entries) => entries.collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// The files in a folder that are named by a number and this suffix, ordered by number.
pub(super) fn numbered_files(dir: &Path, suffix: &str) -> io::Result<Vec<(u64, PathBuf)>> {
    let paths = entries(dir)?.into_iter().map(|entry| entry.path());
    let mut files: Vec<_> = paths
        .filter_map(|path| number(&path, suffix).map(|number| (number, path)))
        .collect();
    files.sort();
    Ok(files)
}

fn number(path: &Path, suffix: &str) -> Option<u64> {
    let of_kind = path.extension().is_some_and(|found| found == suffix);
    let stem = path.file_stem()?.to_str()?;
    u64::from_str_radix(stem, 16).ok().filter(|_| of_kind)
}

/// Syncs the names in a folder to disk.
pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}
