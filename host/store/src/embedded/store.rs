//! The store of one data folder: the tree, the object files, the journal, and their state in memory.
//!
//! A commit changes the tree's memtable at once, where every read sees it, and is added to the next frame of the journal. A sync writes
//! that frame (see `durable.rs`). This fixes the order of writes to disk: a frame is written only when the frame before, with the objects
//! that it refers to, is on disk.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lsm_tree::{AbstractTree, AnyTree, Cache, DescriptorTable, SequenceNumberCounter};
use parking_lot::{Mutex, MutexGuard, RwLock};

use super::journal::{Journal, PendingFrame};
use super::live::LiveNumbers;
use super::objects::Objects;
use super::record::{self, Head, Partition, Writer};
use super::survey::incomplete;
use crate::{Claim, Error, HOST_PREFIX};

/// Size of the cache of the tree's blocks. Objects are not in it; the system's page cache has them.
const CACHE_BYTES: u64 = 16 << 20;

/// The open store of a data folder.
pub(super) struct Store {
    pub(super) dir: PathBuf,
    pub(super) tree: AnyTree,
    pub(super) seqno: SequenceNumberCounter,
    visible: SequenceNumberCounter,
    pub(super) objects: Objects,
    pub(super) live: LiveNumbers,
    /// Locked before `state`, and for every write to the journal. `None` while the store is being opened, and if it is read-only.
    pub(super) journal: Mutex<Option<Journal>>,
    pub(super) state: Mutex<StoreState>,
    /// Write-locked by a commit while only a part of it is visible.
    pub(super) view: RwLock<()>,
}

/// The state in memory, with the changes that are not yet in the journal.
#[derive(Default)]
pub(super) struct StoreState {
    pub(super) head: Head,
    pub(super) tenants: HashMap<String, u64>,
    pub(super) namespaces: HashMap<u64, NamespaceState>,
    pub(super) partitions: HashMap<u64, Partition>,
    /// Partitions to remove: of purged namespaces, or reclaimed long enough ago.
    pub(super) to_remove: Vec<u64>,
    /// Namespaces and partitions with a record that they were dropped. The record is deleted when none of their data is left on disk.
    pub(super) dropped: HashSet<u64>,
    /// Files and partitions without a record, as found when the store was opened.
    pub(super) orphans: Vec<Orphan>,
    /// New partitions whose record is not on disk, each with the number of changes that have to be synced until it is.
    pub(super) unrecorded: HashMap<u64, u64>,
    /// Partitions whose object file may be longer than recorded.
    pub(super) untruncated: HashSet<u64>,
    /// Partitions whose object file has more than one name, as in a snapshot. It must not be written (`sharing.rs`).
    pub(super) shared: HashSet<u64>,
    /// Number of puts that have reserved space in a partition's object file and may still be writing there.
    pub(super) writing: HashMap<u64, usize>,
    pub(super) pending: PendingFrame,
    /// Partitions whose record here is newer than that in the tree.
    pub(super) changed: BTreeSet<u64>,
    /// Partitions with objects that are not synced.
    pub(super) unsynced: BTreeSet<u64>,
    pub(super) new_files: bool,
    /// Number of changes since the store was opened, and number of those on disk.
    pub(super) changes: u64,
    pub(super) synced_changes: u64,
    /// The last frame that is on disk.
    pub(super) synced: u64,
    /// The error that stops all writes until the store is reopened.
    pub(super) failed: Option<String>,
}

/// A namespace: the data of one tenant since its last purge.
#[derive(Default)]
pub(super) struct NamespaceState {
    pub(super) writers: HashMap<String, Writer>,
    /// Readable partitions by name, including recently reclaimed ones.
    pub(super) names: HashMap<String, u64>,
    /// Bytes of its partitions.
    pub(super) stored: u64,
    /// Of these, bytes of the host's own partitions.
    pub(super) of_host: u64,
}

/// A file or partition that no record refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Orphan {
    /// Name of the file or partition.
    pub name: String,
    /// Size in bytes.
    pub bytes: u64,
}

/// Puts and deletes that become visible at the same time.
pub(super) struct WriteBatch<'a> {
    store: &'a Store,
    state: &'a mut StoreState,
    seqno: u64,
}

// === impl Store ===

impl Store {
    /// Opens the tree in the folder `tree`, and creates it if there is none. Opens nothing else. At most `open_tables` of its tables are
    /// kept open.
    pub(super) fn assemble(
        dir: &Path,
        tree: &Path,
        open_tables: usize,
        objects: Objects,
    ) -> Result<Self, Error> {
        let live = LiveNumbers::default();
        let (tree, seqno, visible) = open_tree(dir, tree, open_tables, &live)?;
        Ok(Self {
            dir: dir.to_owned(),
            tree,
            seqno,
            visible,
            objects,
            live,
            journal: Mutex::default(),
            state: Mutex::default(),
            view: RwLock::default(),
        })
    }

    pub(super) fn state(&self) -> MutexGuard<'_, StoreState> {
        self.state.lock()
    }

    /// Changes the tree. All changes by `write` become visible at the same time, and are added to the next frame.
    pub(super) fn write_batch<T>(
        &self,
        state: &mut StoreState,
        write: impl FnOnce(&mut WriteBatch<'_>) -> T,
    ) -> T {
        let _view = self.view.write();
        let seqno = self.seqno.next();
        state.changes += 1;
        let done = write(&mut WriteBatch {
            store: self,
            state,
            seqno,
        });
        self.visible.fetch_max(seqno + 1);
        done
    }

    /// The tree's value for a key.
    pub(super) fn slot(&self, key: &[u8]) -> Result<Option<lsm_tree::UserValue>, lsm_tree::Error> {
        self.tree.get(key, lsm_tree::SeqNo::MAX)
    }
}

// === impl StoreState ===

impl StoreState {
    /// Returns an error if the store has failed or is read-only.
    pub(super) fn check_writable(&self) -> Result<(), Error> {
        match &self.failed {
            Some(failed) => Err(Error::Unavailable(failed.clone())),
            None => Ok(()),
        }
    }

    /// Returns an error if the claim cannot write to the namespace.
    pub(super) fn check(&self, namespace: u64, by: &Claim) -> Result<(), Error> {
        self.check_writable()?;
        let writer = self
            .namespaces
            .get(&namespace)
            .and_then(|namespace| namespace.writers.get(&by.writer));
        match writer {
            Some(writer) if writer.epoch == by.epoch => Ok(()),
            _ => Err(Error::Fenced),
        }
    }

    /// The number of a partition that can be read.
    pub(super) fn find(&self, namespace: u64, name: &str) -> Option<u64> {
        self.namespaces.get(&namespace)?.names.get(name).copied()
    }

    /// Updates the stored bytes of a partition and its namespace.
    pub(super) fn account(&mut self, partition: u64, more: u64, less: u64, in_tree: u64) {
        let Some(record) = self.partitions.get_mut(&partition) else {
            return;
        };
        record.stored = (record.stored + more).saturating_sub(less);
        record.in_tree += in_tree;
        if let Some(namespace) = self.namespaces.get_mut(&record.namespace) {
            namespace.account(&record.name, more, less);
        }
        self.changed.insert(partition);
    }

    pub(super) fn stored_bytes(&self) -> u64 {
        self.namespaces
            .values()
            .map(|namespace| namespace.stored)
            .sum()
    }
}

// === impl NamespaceState ===

impl NamespaceState {
    /// Updates the stored bytes by those of a partition with this name.
    pub(super) fn account(&mut self, name: &str, more: u64, less: u64) {
        self.stored = (self.stored + more).saturating_sub(less);
        if name.starts_with(HOST_PREFIX) {
            self.of_host = (self.of_host + more).saturating_sub(less);
        }
    }
}

// === impl WriteBatch ===

impl WriteBatch<'_> {
    pub(super) fn put(&mut self, key: &[u8], value: &[u8]) {
        self.state.pending.put(key, value);
        self.store.tree.insert(key, value, self.seqno);
    }

    pub(super) fn delete(&mut self, key: &[u8]) {
        self.state.pending.delete(key);
        self.store.tree.remove(key, self.seqno);
    }

    pub(super) fn state(&mut self) -> &mut StoreState {
        self.state
    }

    /// Records that a namespace or partition was dropped and its data has to be removed.
    pub(super) fn mark_dropped(&mut self, number: u64) {
        self.state.dropped.insert(number);
        self.put(&record::key(record::DROPPED, number, &[]), &[]);
    }

    /// Deletes the record that it was dropped, when none of its data is left.
    pub(super) fn clear_dropped(&mut self, number: u64) {
        self.state.dropped.remove(&number);
        self.delete(&record::key(record::DROPPED, number, &[]));
    }

    /// Assigns a number that was never used before.
    pub(super) fn number(&mut self) -> u64 {
        self.state.head.last_number += 1;
        let head = self.state.head.encode();
        self.put(record::HEAD, &head);
        self.state.head.last_number
    }
}

fn open_tree(
    dir: &Path,
    tree: &Path,
    open_tables: usize,
    live: &LiveNumbers,
) -> Result<(AnyTree, SequenceNumberCounter, SequenceNumberCounter), Error> {
    let (seqno, visible) = (
        SequenceNumberCounter::default(),
        SequenceNumberCounter::default(),
    );
    let tree = lsm_tree::Config::new(tree, seqno.clone(), visible.clone())
        .use_cache(Arc::new(Cache::with_capacity_bytes(CACHE_BYTES)))
        .use_descriptor_table(Some(Arc::new(DescriptorTable::new(open_tables.max(1)))))
        .with_compaction_filter_factory(Some(Arc::new(live.clone())))
        .open()
        .map_err(|error| tree_failed(dir, &error))?;
    let next = tree.get_highest_seqno().map_or(0, |highest| highest + 1);
    seqno.fetch_max(next);
    visible.fetch_max(next);
    Ok((tree, seqno, visible))
}

/// Converts an error of opening the tree. A failed open has written nothing.
fn tree_failed(dir: &Path, error: &lsm_tree::Error) -> Error {
    let is_damage = |error: &io::Error| {
        use io::ErrorKind::{InvalidData, NotFound, UnexpectedEof};
        matches!(error.kind(), InvalidData | NotFound | UnexpectedEof)
    };
    match error {
        lsm_tree::Error::Io(error) if !is_damage(error) => Error::Unavailable(format!(
            "cannot open the tree in `{}`: {error}",
            dir.display()
        )),
        error => incomplete(
            dir,
            &format!("a table in `tree/tables` is missing or damaged ({error})"),
        ),
    }
}
