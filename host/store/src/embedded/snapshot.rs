//! Snapshots of the open store.
//!
//! | part | in the snapshot |
//! |---|---|
//! | tables | links: they never change, and the tree keeps one that a compaction has replaced as long as this holds it |
//! | manifest | a copy of the tree's, for the tables at the moment |
//! | journal | copies of its files, up to the frame of the moment; the tables have what is in no frame |
//! | object files | links to those that nothing was put into for a while, else copies up to their length at the moment |
//! | `WRITER` | a copy |
//!
//! The moment is that of the lock of the state under which the changes of the next frame are taken, as each sync does. The frame is then
//! synced, so the snapshot has exactly what the store would have after a crash right then. Writers wait for no more than this sync. Files of
//! reclaimed partitions are not removed until the snapshot is done, and journal files are open before any can be removed.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use lsm_tree::{AbstractTree, Table};
use tracing::warn;
use xxhash_rust::xxh3::xxh3_128;

use super::LINGER;
use super::durable::{self, Syncs};
use super::folder::WRITER_FILE;
use super::journal;
use super::objects::{file_name, numbered_files};
use super::shared::Shared;
use super::sharing::reopened;
use super::store::Store;
use crate::snapshot::{Draft, is_within};
use crate::{Error, Made, SnapshotError, SnapshotRequest};

/// Time since the last change of an object file after which it is linked. A file that is still written to is copied now, because the next
/// put would have to copy a linked one and wait for that.
const RESTING: Duration = Duration::from_hours(1);
/// Attempts to open the manifest, which each flush and each compaction replaces.
const MANIFEST_ATTEMPTS: usize = 100;

/// The store at one moment. Its files stay as they are, or open, as long as this exists.
struct Moment {
    at: SystemTime,
    tree: Tables,
    /// Name, file and length of each file of the journal.
    journal: Vec<(String, File, u64)>,
    /// Number of each partition with objects, and the length of its object file.
    objects: Vec<(u64, u64)>,
}

/// A version of the tree.
struct Tables {
    number: u64,
    manifest: File,
    files: Vec<Table>,
}

// === impl Shared ===

impl Shared {
    /// Makes a snapshot. Blocks until it is on disk.
    pub(super) fn snapshot(&self, request: &SnapshotRequest) -> Result<Made, SnapshotError> {
        let Some(_snapshotting) = self.snapshotting.try_lock() else {
            return Err(SnapshotError::Busy(request.below.clone()));
        };
        if is_within(&request.below, &self.options.dir) {
            return Err(SnapshotError::InStore(request.below.clone()));
        }
        let mut draft = Draft::begin(request, &self.options.dir, self.space.min_free())?;
        // What was purged before is not copied.
        self.remove_reclaimed(LINGER)?;
        let _no_removals = self.removals.write();
        let store = self.store();
        let Moment {
            at,
            tree,
            journal,
            objects,
        } = Moment::of(&store, &self.syncs)?;
        draft.folder("objects")?;
        copy_file(&mut draft, &store.dir.join(WRITER_FILE), WRITER_FILE)?;
        for (name, file, length) in journal {
            draft.copy(&file, length, &format!("journal/{name}"))?;
        }
        add_tables(&mut draft, &store.dir, tree)?;
        for object in objects {
            self.add_object(&store, &mut draft, object)?;
        }
        draft.complete(at)
    }

    /// Adds the object file of a partition, as it was when it had this length.
    fn add_object(
        &self,
        store: &Arc<Store>,
        draft: &mut Draft<'_>,
        (partition, length): (u64, u64),
    ) -> Result<(), SnapshotError> {
        let to = format!("objects/{}", file_name(partition));
        let (from, file) = match store.objects.open_to_copy(partition) {
            Ok(opened) => opened,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                warn!(
                    file = to,
                    "DATA_LOSS: the store has no file of this name, so the snapshot has none; `larder check` tells what was in it"
                );
                draft.count_missing();
                return Ok(());
            }
            Err(error) => return Err(failed(&error).into()),
        };
        let is_linked = draft.can_link()
            && is_resting(&file)
            && self.link(store, draft, (partition, length), (&from, &to))?;
        if is_linked {
            Ok(())
        } else {
            draft.copy(&file, length, &to)
        }
    }
}

// === impl Moment ===

impl Moment {
    /// Brings all changes so far to disk, and takes hold of the files that have them.
    fn of(store: &Store, syncs: &Syncs) -> Result<Self, Error> {
        // While it is held, no table is written and no journal file is removed.
        let _flushing = store.tree.get_flush_lock();
        let mut journal = store.journal.lock();
        let journal = durable::writable(&mut journal)?;
        let (at, tree, objects, unsynced) = {
            let mut state = store.state();
            // The tables first: what was taken for a frame must be written. A compaction that begins after this may drop entries of
            // partitions that exist at the moment, so the tables are those of now.
            let tree = Tables::of(store).map_err(|error| failed(&error))?;
            let unsynced = durable::take_unsynced(store, &mut state)?;
            let lengths = state.partitions.iter();
            let lengths = lengths.map(|(number, partition)| (*number, partition.file_length));
            let mut objects: Vec<_> = lengths.filter(|(_, length)| *length > 0).collect();
            objects.sort_unstable();
            (SystemTime::now(), tree, objects, unsynced)
        };
        durable::write(store, journal, &unsynced, syncs)?;
        Ok(Self {
            at,
            tree,
            journal: open_journal(&store.dir.join("journal")).map_err(|error| failed(&error))?,
            objects,
        })
    }
}

// === impl Tables ===

impl Tables {
    fn of(store: &Store) -> io::Result<Self> {
        let mut attempts = 0..MANIFEST_ATTEMPTS;
        loop {
            let version = store.tree.current_version();
            let number = version.id();
            match File::open(store.dir.join(format!("tree/v{number}"))) {
                Ok(manifest) => {
                    let tables = version.iter_tables().cloned().collect();
                    return Ok(Self {
                        number,
                        manifest,
                        files: tables,
                    });
                }
                // Replaced since.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    attempts.next().ok_or(error)?;
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// Adds the tables of a version, its manifest, and the file that names the manifest (`survey.rs` has its form).
fn add_tables(draft: &mut Draft<'_>, dir: &Path, tree: Tables) -> Result<(), SnapshotError> {
    let Tables {
        number,
        mut manifest,
        files: tables,
    } = tree;
    let mut bytes = Vec::new();
    let read = manifest.read_to_end(&mut bytes);
    read.map_err(|error| failed(&error))?;
    draft.write(&bytes, &format!("tree/v{number}"))?;
    let mut current = number.to_le_bytes().to_vec();
    current.extend_from_slice(&xxh3_128(&bytes).to_le_bytes());
    current.push(0);
    draft.write(&current, "tree/current")?;
    for table in tables {
        let name = format!("tree/tables/{}", table.id());
        let from = dir.join(&name);
        if !from.exists() {
            // A table that is held is removed only by opening the tree again.
            return Err(reopened().into());
        }
        if !draft.link(&from, &name)? {
            copy_file(draft, &from, &name)?;
        }
    }
    Ok(())
}

fn copy_file(draft: &mut Draft<'_>, from: &Path, to: &str) -> Result<(), SnapshotError> {
    let file = File::open(from).map_err(|error| failed(&error))?;
    draft.copy(&file, u64::MAX, to)
}

/// Opens the files of the journal, oldest first.
fn open_journal(dir: &Path) -> io::Result<Vec<(String, File, u64)>> {
    let files = numbered_files(dir, journal::SUFFIX)?.into_iter();
    let opened = files.map(|(number, path)| {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        Ok((journal::file_name(number), file, length))
    });
    opened.collect()
}

/// True for a file that was not written to for a while.
fn is_resting(file: &File) -> bool {
    let changed = file.metadata().and_then(|metadata| metadata.modified());
    let since = changed.map(|at| SystemTime::now().duration_since(at));
    matches!(since, Ok(Ok(since)) if since >= RESTING)
}

fn failed(error: &io::Error) -> Error {
    Error::Unavailable(format!("a file of the store cannot be read: {error}"))
}
