//! The store of one data folder: the tree, the object files and the journal, and what is known about them in memory.
//!
//! A commit goes into the tree's memory at once, where every read sees it, and is gathered for the journal; a sync writes what was
//! gathered as one frame (see `durable.rs`). The order in which things reach the disk is therefore ours: a frame is written only
//! when the one before it, and the objects that it refers to, are on disk.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lsm_tree::{AbstractTree, AnyTree, Cache, DescriptorTable, SequenceNumberCounter};
use parking_lot::{Mutex, MutexGuard, RwLock};

use super::journal::{Gathered, Journal};
use super::live::Live;
use super::objects::Objects;
use super::record::{self, Head, Partition, Writer};
use super::survey::incomplete;
use crate::{Claim, Error};

/// Blocks of the tree that are kept unpacked; objects are not among them, the system's page cache has those.
const CACHE_BYTES: u64 = 16 << 20;
/// Tables held open.
const OPEN_TABLES: usize = 128;

/// See the module.
pub(super) struct Store {
    pub(super) dir: PathBuf,
    pub(super) tree: AnyTree,
    pub(super) seqno: SequenceNumberCounter,
    visible: SequenceNumberCounter,
    pub(super) objects: Objects,
    pub(super) live: Live,
    /// Taken before `state`; whoever has it may write the journal. None while the store is being opened, and where it is only read.
    pub(super) journal: Mutex<Option<Journal>>,
    pub(super) state: Mutex<State>,
    /// Written by a commit while it is half visible.
    pub(super) view: RwLock<()>,
}

/// What is known in memory, and what is not yet in the journal.
#[derive(Default)]
pub(super) struct State {
    pub(super) head: Head,
    pub(super) tenants: HashMap<String, u64>,
    pub(super) namespaces: HashMap<u64, Namespace>,
    pub(super) partitions: HashMap<u64, Partition>,
    /// Of purged namespaces, or past their time: to be removed.
    pub(super) doomed: Vec<u64>,
    /// Namespaces and partitions with a record that they are given up. The record goes once nothing of them is left on disk.
    pub(super) given_up: HashSet<u64>,
    /// Found when the store was opened: no record refers to them, or says that they are given up.
    pub(super) orphans: Vec<Orphan>,
    /// New partitions whose record is not on disk: it is once so many changes are.
    pub(super) unrecorded: HashMap<u64, u64>,
    /// Their object file may be longer than it is known to be.
    pub(super) uncut: HashSet<u64>,
    pub(super) gathered: Gathered,
    /// Their record in the tree is older than the one here.
    pub(super) changed: BTreeSet<u64>,
    /// Objects have been written to these.
    pub(super) unsynced: BTreeSet<u64>,
    pub(super) new_files: bool,
    /// Changes made since the store was opened, and how many of them are on disk.
    pub(super) changes: u64,
    pub(super) synced_changes: u64,
    /// Frames up to this one are on disk.
    pub(super) synced: u64,
    /// Why nothing can be written any more, until the store is opened anew.
    pub(super) failed: Option<String>,
}

/// One namespace: what belongs to one tenant since its last purge.
#[derive(Default)]
pub(super) struct Namespace {
    pub(super) writers: HashMap<String, Writer>,
    /// Those that can be read: reclaimed ones too, for a while.
    pub(super) names: HashMap<String, u64>,
    pub(super) stored: u64,
}

/// Something on disk that nothing refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Orphan {
    /// The file or partition, by name.
    pub what: String,
    /// Its size in bytes.
    pub bytes: u64,
}

/// Puts and deletes that become visible together.
pub(super) struct Change<'a> {
    store: &'a Store,
    state: &'a mut State,
    seqno: u64,
}

// === impl Store ===

impl Store {
    /// Opens the tree in the folder `tree`, and makes it where there is none; of all else nothing is opened yet.
    pub(super) fn assemble(dir: &Path, tree: &Path, objects: Objects) -> Result<Self, Error> {
        let live = Live::default();
        let (tree, seqno, visible) = open_tree(dir, tree, &live)?;
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

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Changes the tree: all that `change` does becomes visible at once, and goes into the next frame.
    pub(super) fn change<T>(
        &self,
        state: &mut State,
        change: impl FnOnce(&mut Change<'_>) -> T,
    ) -> T {
        let _view = self.view.write();
        let seqno = self.seqno.next();
        state.changes += 1;
        let done = change(&mut Change {
            store: self,
            state,
            seqno,
        });
        self.visible.fetch_max(seqno + 1);
        done
    }

    /// What the tree holds for a key.
    pub(super) fn slot(&self, key: &[u8]) -> Result<Option<lsm_tree::UserValue>, lsm_tree::Error> {
        self.tree.get(key, lsm_tree::SeqNo::MAX)
    }
}

// === impl State ===

impl State {
    pub(super) fn check(&self, namespace: u64, by: &Claim) -> Result<(), Error> {
        if let Some(failed) = &self.failed {
            return Err(Error::Unavailable(failed.clone()));
        }
        let writer = self
            .namespaces
            .get(&namespace)
            .and_then(|namespace| namespace.writers.get(&by.writer));
        match writer {
            Some(writer) if writer.epoch == by.epoch => Ok(()),
            _ => Err(Error::Fenced),
        }
    }

    /// The partition's number, if it can be read.
    pub(super) fn find(&self, namespace: u64, name: &str) -> Option<u64> {
        self.namespaces.get(&namespace)?.names.get(name).copied()
    }

    /// Adds to what partition and namespace take up.
    pub(super) fn account(&mut self, partition: u64, more: u64, less: u64, in_tree: u64) {
        let Some(record) = self.partitions.get_mut(&partition) else {
            return;
        };
        record.stored = (record.stored + more).saturating_sub(less);
        record.in_tree += in_tree;
        if let Some(namespace) = self.namespaces.get_mut(&record.namespace) {
            namespace.stored = (namespace.stored + more).saturating_sub(less);
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

// === impl Change ===

impl Change<'_> {
    pub(super) fn put(&mut self, key: &[u8], value: &[u8]) {
        self.state.gathered.put(key, value);
        self.store.tree.insert(key, value, self.seqno);
    }

    pub(super) fn delete(&mut self, key: &[u8]) {
        self.state.gathered.delete(key);
        self.store.tree.remove(key, self.seqno);
    }

    pub(super) fn state(&mut self) -> &mut State {
        self.state
    }

    /// Records that what is left of a namespace or partition is to be removed.
    pub(super) fn give_up(&mut self, number: u64) {
        self.state.given_up.insert(number);
        self.put(&record::key(record::GIVEN_UP, number, &[]), &[]);
    }

    /// Nothing is left of it.
    pub(super) fn is_gone(&mut self, number: u64) {
        self.state.given_up.remove(&number);
        self.delete(&record::key(record::GIVEN_UP, number, &[]));
    }

    /// A new number, never given before.
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
    live: &Live,
) -> Result<(AnyTree, SequenceNumberCounter, SequenceNumberCounter), Error> {
    let (seqno, visible) = (
        SequenceNumberCounter::default(),
        SequenceNumberCounter::default(),
    );
    let tree = lsm_tree::Config::new(tree, seqno.clone(), visible.clone())
        .use_cache(Arc::new(Cache::with_capacity_bytes(CACHE_BYTES)))
        .use_descriptor_table(Some(Arc::new(DescriptorTable::new(OPEN_TABLES))))
        .with_compaction_filter_factory(Some(Arc::new(live.clone())))
        .open()
        .map_err(|error| tree_failed(dir, &error))?;
    let next = tree.get_highest_seqno().map_or(0, |highest| highest + 1);
    seqno.fetch_max(next);
    visible.fetch_max(next);
    Ok((tree, seqno, visible))
}

/// Opening a tree writes nothing where it fails.
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
