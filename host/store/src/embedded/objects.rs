//! The files that objects lie in: one for each partition, appended to, and removed whole when the partition is reclaimed.
//!
//! So every object is written to disk once, is never moved, and its space is given back by removing a file. Nothing is held in
//! memory but open files: reads come from the system's page cache.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::faults::Faults;

/// Files held open; beyond this all are let go, and opened again when they are needed.
const OPEN_FILES: usize = 256;
pub(super) const SUFFIX: &str = "obj";

/// Whether a read may wait for the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    ForDisk,
    Never,
}

/// The folder of object files.
pub(super) struct Objects {
    dir: PathBuf,
    writable: bool,
    open: Mutex<HashMap<u64, Arc<File>>>,
    faults: Faults,
}

// === impl Objects ===

impl Objects {
    /// The folder need not be there yet.
    pub(super) fn new(dir: PathBuf, writable: bool, faults: Faults) -> Self {
        Self {
            dir,
            writable,
            open: Mutex::default(),
            faults,
        }
    }

    /// Makes the folder, if it is not there.
    pub(super) fn make_dir(&self) -> io::Result<()> {
        fs::create_dir_all(&self.dir)
    }

    /// True if the folder is there.
    pub(super) fn has_dir(&self) -> bool {
        self.dir.is_dir()
    }

    /// Writes the partition's bytes from `offset` on. Makes no file: one that is gone has been given up.
    pub(super) fn write(&self, partition: u64, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.faults.write()?;
        self.file(partition, false)?.write_all_at(bytes, offset)
    }

    /// Makes sure that there is a file and that nothing lies beyond this length, as a crash may have left it.
    pub(super) fn cut(&self, partition: u64, length: u64) -> io::Result<()> {
        self.file(partition, true)?.set_len(length)
    }

    /// The partition's bytes from `offset` on; none where that would have to wait for the disk and may not.
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

    /// Brings the partition's file to disk.
    pub(super) fn sync(&self, partition: u64) -> io::Result<()> {
        self.faults.sync()?;
        match self.file(partition, false) {
            Ok(file) => file.sync_data(),
            // Reclaimed meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Brings to disk which files there are.
    pub(super) fn sync_names(&self) -> io::Result<()> {
        sync_dir(&self.dir)
    }

    /// Gives the partition's space back.
    pub(super) fn remove(&self, partition: u64) -> io::Result<()> {
        // The name goes first: the other way round a read in between would open the file again, and hold its space as long as the
        // process lives.
        let removed = fs::remove_file(self.path(partition));
        self.open.lock().remove(&partition);
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// How many files are held open.
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
        let mut found = Vec::new();
        let entries = match fs::read_dir(&self.dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
            entries => entries?,
        };
        for entry in entries {
            found.extend(number(&entry?.path(), SUFFIX));
        }
        found.sort_unstable();
        Ok(found)
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
        if open.len() >= OPEN_FILES {
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

/// Fills `bytes` if all of them are in the system's page cache.
#[cfg(target_os = "linux")]
fn read_cached(file: &File, bytes: &mut [u8], offset: u64) -> bool {
    let length = bytes.len();
    let mut into = [io::IoSliceMut::new(bytes)];
    let read = rustix::io::preadv2(file, &mut into, offset, rustix::io::ReadWriteFlags::NOWAIT);
    read == Ok(length)
}

/// Other systems cannot tell.
#[cfg(not(target_os = "linux"))]
fn read_cached(_file: &File, _bytes: &mut [u8], _offset: u64) -> bool {
    false
}

/// The number that a file is named by.
pub(super) fn number(path: &Path, suffix: &str) -> Option<u64> {
    let of_kind = path.extension().is_some_and(|found| found == suffix);
    let stem = path.file_stem()?.to_str()?;
    u64::from_str_radix(stem, 16).ok().filter(|_| of_kind)
}

/// Brings a folder's names to disk.
pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}
