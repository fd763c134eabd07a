//! Syncs, flushes and compactions: bring committed changes to disk.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, MutexGuard};
use std::thread;
use std::time::Instant;

use lsm_tree::compaction::Leveled;
use lsm_tree::{AbstractTree, SeqNo};

use super::journal::{Journal, PendingFrame};
use super::record::{self, PARTITION};
use super::store::{Store, StoreState};
use crate::Error;

/// Size at which the memtable is flushed to a table. It is small because objects are not in the tree. The memtable never exceeds twice this
/// size, because a write beyond it flushes first.
pub(super) const FLUSH_BYTES: u64 = 8 << 20;
/// Minimum reclaimed bytes in the tree for a major compaction. They also have to be a quarter of the tree.
const GARBAGE_BYTES: u64 = 4 << 20;
/// Size of a table. The tree holds only indexes and small values, so tables are small too.
const TABLE_BYTES: u64 = 16 << 20;

/// Every read uses the newest sequence number (`view` keeps it from seeing half a commit), so no older version is kept. Tables that a
/// compaction has replaced are removed as soon as the last read of them ends.
pub(super) const NO_SNAPSHOTS: SeqNo = SeqNo::MAX;

/// Error text for writes to a read-only store.
pub(super) const ONLY_READ: &str = "the store is open to be read only";

/// Number and total time of syncs.
#[derive(Debug, Default)]
pub(super) struct Syncs {
    pub(super) count: AtomicU64,
    pub(super) micros: AtomicU64,
}

/// Syncs all changes made so far to disk. Changes during the sync go to the next frame.
///
/// # Errors
/// [`Error::Unavailable`] if the disk fails. The store then accepts no writes until it is reopened.
pub(super) fn sync(store: &Store, syncs: &Syncs) -> Result<(), Error> {
    let mut journal = store.journal.lock();
    let journal = writable(&mut journal)?;
    let unsynced = take_unsynced(store, &mut store.state())?;
    write(store, journal, &unsynced, syncs)
}

pub(super) fn writable(journal: &mut Option<Journal>) -> Result<&mut Journal, Error> {
    let journal = journal.as_mut();
    journal.ok_or_else(|| Error::Unavailable(ONLY_READ.to_owned()))
}

/// The changes that one sync brings to disk.
pub(super) struct Unsynced {
    frame: PendingFrame,
    objects: Vec<u64>,
    new_files: bool,
    changes: u64,
}

/// Takes the changes since the last sync. The caller has to pass them to [`write`].
pub(super) fn take_unsynced(store: &Store, state: &mut StoreState) -> Result<Unsynced, Error> {
    state.check_writable()?;
    if !state.changed.is_empty() {
        store.write_batch(state, |batch| {
            for number in std::mem::take(&mut batch.state().changed) {
                if let Some(partition) = batch.state().partitions.get(&number) {
                    let bytes = partition.encode();
                    batch.put(&record::key(PARTITION, number, &[]), &bytes);
                }
            }
        });
    }
    Ok(Unsynced {
        frame: std::mem::take(&mut state.pending),
        objects: std::mem::take(&mut state.unsynced).into_iter().collect(),
        new_files: std::mem::take(&mut state.new_files),
        changes: state.changes,
    })
}

/// Writes a frame, and syncs it in parallel with the objects that it refers to. If only the frame reaches the disk, opening the store
/// detects it.
pub(super) fn write(
    store: &Store,
    journal: &mut Journal,
    unsynced: &Unsynced,
    syncs: &Syncs,
) -> Result<(), Error> {
    let Unsynced {
        frame,
        objects,
        new_files,
        changes,
    } = unsynced;
    if frame.is_empty() && objects.is_empty() {
        return Ok(());
    }
    let started = Instant::now();
    let sync_objects = || -> io::Result<()> {
        for partition in objects {
            store.objects.sync(*partition)?;
        }
        if *new_files {
            store.objects.sync_names()
        } else {
            Ok(())
        }
    };
    let written = journal.append(frame).and_then(|number| {
        if objects.is_empty() {
            journal.sync()?;
        } else {
            let journal = &*journal;
            thread::scope(|scope| {
                let objects = scope.spawn(sync_objects);
                let synced = journal.sync();
                let objects = objects
                    .join()
                    .unwrap_or_else(|_| Err(io::Error::other("the sync of objects died")));
                synced.and(objects)
            })?;
        }
        Ok(number)
    });
    let mut state = store.state();
    match written {
        Ok(number) => {
            state.synced = number;
            state.synced_changes = *changes;
            state.unrecorded.retain(|_, needed| *needed > *changes);
            syncs.count.fetch_add(1, Ordering::Relaxed);
            let micros = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
            syncs.micros.fetch_add(micros, Ordering::Relaxed);
            Ok(())
        }
        Err(error) => {
            let text = format!(
                "the disk failed: {error}; what was not yet acknowledged is lost, and the store is opened anew"
            );
            state.failed = Some(text.clone());
            Err(Error::Unavailable(text))
        }
    }
}

/// Syncs, flushes the memtable to a table, and removes the journal files that are no longer needed.
///
/// # Errors
/// As [`sync`]; also [`Error::Unavailable`] if the table cannot be written, after which the call can be repeated.
pub(super) fn checkpoint(store: &Store, syncs: &Syncs) -> Result<(), Error> {
    // Held to the end: another flush must not write the sealed memtable before its frame is on disk.
    let flushing = store.tree.get_flush_lock();
    {
        let mut journal = store.journal.lock();
        let journal = writable(&mut journal)?;
        // The journal's lock excludes other syncs. The state's lock excludes commits between the frame and the rotation.
        let unsynced = {
            let mut state = store.state();
            let unsynced = take_unsynced(store, &mut state)?;
            store.tree.rotate_memtable();
            unsynced
        };
        write(store, journal, &unsynced, syncs)?;
        *journal = journal.next().map_err(|error| retry(&error))?;
    }
    flush(store, &flushing).map_err(|error| retry(&error))
}

/// Flushes the sealed memtables, and removes the journal files before the current one.
pub(super) fn flush(store: &Store, flushing: &MutexGuard<'_, ()>) -> Result<(), lsm_tree::Error> {
    let current = store.journal.lock().as_ref().map(Journal::id);
    store.tree.flush(flushing, NO_SNAPSHOTS)?;
    if let Some(current) = current {
        Journal::remove_before(&store.dir.join("journal"), current)?;
    }
    Ok(())
}

/// Compacts the tree's levels, and the whole tree if enough of it was reclaimed.
///
/// # Errors
/// [`Error::Unavailable`] if the tree cannot be written. The call can be repeated.
pub(super) fn compact(store: &Store) -> Result<(), Error> {
    let leveled = Leveled::default().with_table_target_size(TABLE_BYTES);
    store
        .tree
        .compact(Arc::new(leveled), NO_SNAPSHOTS)
        .map_err(|error| retry(&error))?;
    let garbage = store.state().head.garbage;
    if garbage >= GARBAGE_BYTES && garbage >= store.tree.disk_space() / 4 {
        store
            .tree
            .major_compact(TABLE_BYTES, NO_SNAPSHOTS)
            .map_err(|error| retry(&error))?;
        let mut state = store.state();
        state.head.garbage = state.head.garbage.saturating_sub(garbage);
        store.write_batch(&mut state, |batch| {
            let head = batch.state().head.encode();
            batch.put(record::HEAD, &head);
        });
    }
    Ok(())
}

fn retry(error: &dyn std::fmt::Display) -> Error {
    Error::Unavailable(format!("the tree cannot be written: {error}"))
}
