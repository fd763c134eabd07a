//! How what was committed reaches the disk: frames, syncs, flushes.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, MutexGuard};
use std::thread;
use std::time::Instant;

use lsm_tree::compaction::Leveled;
use lsm_tree::{AbstractTree, SeqNo};

use super::journal::{Gathered, Journal};
use super::record::{self, PARTITION};
use super::store::{State, Store};
use crate::Error;

/// The tree's memory is written to a table when it has grown to this. Small, as objects do not pass through it; twice this is the
/// most there can be, as whoever commits beyond it flushes first.
pub(super) const FLUSH_BYTES: u64 = 8 << 20;
/// Reclaimed bytes in the tree that are worth rewriting it for, if they are also a quarter of it.
const GARBAGE_BYTES: u64 = 4 << 20;
/// A table's size; the tree holds only indexes and small values, so tables are small too.
const TABLE_BYTES: u64 = 16 << 20;

/// Every read asks for the newest there is (`view` keeps it from seeing half a commit), so nothing older need be kept: tables that a
/// compaction has replaced are removed as soon as the last read that uses them ends.
const NO_SNAPSHOTS: SeqNo = SeqNo::MAX;

/// Why a store that was opened to be read refuses to be written.
pub(super) const ONLY_READ: &str = "the store is open to be read only";

/// What syncs cost.
#[derive(Debug, Default)]
pub(super) struct Syncs {
    pub(super) count: AtomicU64,
    pub(super) micros: AtomicU64,
}

/// Brings everything committed so far to disk. What comes meanwhile goes into the next frame.
///
/// # Errors
/// [`Error::Unavailable`]: the disk refused, and the store takes no more writes until it is opened anew.
pub(super) fn sync(store: &Store, syncs: &Syncs) -> Result<(), Error> {
    let mut journal = store.journal.lock();
    let journal = writable(&mut journal)?;
    let cut = {
        let mut state = store.state();
        if let Some(failed) = &state.failed {
            return Err(Error::Unavailable(failed.clone()));
        }
        cut(store, &mut state)
    };
    write(store, journal, &cut, syncs)
}

fn writable(journal: &mut Option<Journal>) -> Result<&mut Journal, Error> {
    let journal = journal.as_mut();
    journal.ok_or_else(|| Error::Unavailable(ONLY_READ.to_owned()))
}

/// What one sync brings to disk.
struct Cut {
    gathered: Gathered,
    objects: Vec<u64>,
    new_files: bool,
    changes: u64,
}

fn cut(store: &Store, state: &mut State) -> Cut {
    if !state.changed.is_empty() {
        store.change(state, |change| {
            for number in std::mem::take(&mut change.state().changed) {
                if let Some(partition) = change.state().partitions.get(&number) {
                    let bytes = partition.encode();
                    change.put(&record::key(PARTITION, number, &[]), &bytes);
                }
            }
        });
    }
    Cut {
        gathered: std::mem::take(&mut state.gathered),
        objects: std::mem::take(&mut state.unsynced).into_iter().collect(),
        new_files: std::mem::take(&mut state.new_files),
        changes: state.changes,
    }
}

/// The frame and the objects it refers to go to disk side by side: should only the frame get there, opening the store finds out.
fn write(store: &Store, journal: &mut Journal, cut: &Cut, syncs: &Syncs) -> Result<(), Error> {
    let Cut {
        gathered,
        objects,
        new_files,
        changes,
    } = cut;
    if gathered.is_empty() && objects.is_empty() {
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
    let written = journal.append(gathered).and_then(|frame| {
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
        Ok(frame)
    });
    let mut state = store.state();
    match written {
        Ok(frame) => {
            state.synced = frame;
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

/// Syncs, then moves the tree's memory into a table and drops the journal files that only that needed.
///
/// # Errors
/// As [`sync`]; and [`Error::Unavailable`] where the table cannot be written, after which it can be tried again.
pub(super) fn checkpoint(store: &Store, syncs: &Syncs) -> Result<(), Error> {
    // Held to the end: what is sealed now must not be flushed by another before its frame is on disk.
    let flushing = store.tree.get_flush_lock();
    {
        let mut journal = store.journal.lock();
        let journal = writable(&mut journal)?;
        // Under the journal's lock nobody else syncs; under the state's lock nobody commits between the frame and the turn.
        let cut = {
            let mut state = store.state();
            if let Some(failed) = &state.failed {
                return Err(Error::Unavailable(failed.clone()));
            }
            let cut = cut(store, &mut state);
            store.tree.rotate_memtable();
            cut
        };
        write(store, journal, &cut, syncs)?;
        *journal = journal.next().map_err(|error| retry(&error))?;
    }
    flush(store, &flushing).map_err(|error| retry(&error))
}

/// Writes out what the tree has sealed, and drops the journal before the current file.
pub(super) fn flush(store: &Store, flushing: &MutexGuard<'_, ()>) -> Result<(), lsm_tree::Error> {
    let current = store.journal.lock().as_ref().map(Journal::id);
    store.tree.flush(flushing, NO_SNAPSHOTS)?;
    if let Some(current) = current {
        Journal::remove_before(&store.dir.join("journal"), current)?;
    }
    Ok(())
}

/// One round of the tree's upkeep: levels, and what was reclaimed.
///
/// # Errors
/// [`Error::Unavailable`]: it can be tried again.
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
        store.change(&mut state, |change| {
            let head = change.state().head.encode();
            change.put(record::HEAD, &head);
        });
    }
    Ok(())
}

fn retry(error: &dyn std::fmt::Display) -> Error {
    Error::Unavailable(format!("the tree cannot be written: {error}"))
}
