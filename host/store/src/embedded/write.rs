//! Objects, commits, reclaim: what a writer changes in a namespace.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::atomic::Ordering;

use larder_core::fair::Turn;
use lsm_tree::AbstractTree;
use parking_lot::RwLockReadGuard;
use tracing::warn;

use super::claims::put_writer;
use super::durable::{self, FLUSH_BYTES};
use super::namespace::Writing;
use super::record::{self, Partition, VALUE};
use super::shared::Shared;
use super::store::{State, Store};
use super::value::{self, Packed, Slot};
use crate::quotas::{self, Growth};
use crate::{self as kv, Claim, Error, Object};

/// An object on its way into a partition's file.
struct Placed {
    key: Vec<u8>,
    packed: Packed,
    offset: u64,
}

// === impl Shared ===

impl Shared {
    /// Compresses within the turn, and writes without it.
    pub(super) fn put(
        &self,
        writing: &Writing<'_>,
        objects: Vec<Object>,
        turn: Turn,
    ) -> Result<(), Error> {
        self.space.check(true)?;
        let packed = objects
            .into_iter()
            .map(|object| (object.key, value::pack(object.value)));
        let mut packed: Vec<_> = packed.collect();
        packed.sort_by(|(a, _), (b, _)| a.partition.cmp(&b.partition));
        drop(turn);
        self.make_room()?;
        let store = self.store();
        for objects in packed.chunk_by_mut(|(a, _), (b, _)| a.partition == b.partition) {
            let Some((first, _)) = objects.first() else {
                continue;
            };
            let name = first.partition.clone();
            let taken = objects
                .iter_mut()
                .map(|(key, packed)| (std::mem::take(&mut key.sort), packed.take()));
            self.put_into(&store, writing, &name, taken.collect())?;
        }
        Ok(())
    }

    /// Takes a place in the file, writes there, and only then lets the objects be seen.
    fn put_into(
        &self,
        store: &Store,
        writing: &Writing<'_>,
        name: &str,
        objects: Vec<(Vec<u8>, Packed)>,
    ) -> Result<(), Error> {
        let &Writing { namespace, by, .. } = writing;
        let partition = self.recorded(store, writing, name)?;
        let (start, placed) = {
            let mut state = store.state();
            state.check(namespace, by)?;
            writable(&state, partition, name)?;
            let mut missing = Vec::with_capacity(objects.len());
            let mut seen = HashSet::new();
            for (sort, packed) in objects {
                let key = record::key(VALUE, partition, &sort);
                let found = self.before(store, &key)?;
                if found.is_none() && seen.insert(sort) {
                    missing.push((key, packed));
                }
            }
            reserve(store, &mut state, partition, missing)?
        };
        let Some(start) = start else {
            return Ok(());
        };
        let mut bytes = Vec::with_capacity(
            placed
                .iter()
                .map(|placed| placed.packed.payload.len())
                .sum(),
        );
        for placed in &placed {
            bytes.extend_from_slice(&placed.packed.payload);
        }
        if let Err(error) = store.objects.write(partition, start, &bytes) {
            let state = store.state();
            state.check(namespace, by)?;
            writable(&state, partition, name)?;
            return Err(self.write_failed(&error));
        }
        self.space.wrote(bytes.len() as u64);

        let mut state = store.state();
        state.check(namespace, by)?;
        writable(&state, partition, name)?;
        let (mut stored, mut in_tree) = (0, 0);
        store.change(&mut state, |change| {
            for Placed {
                key,
                packed,
                offset,
            } in &placed
            {
                let slot = packed.in_file(key, *offset);
                stored += weight(key, packed.payload.len() as u64);
                in_tree += (key.len() + slot.len()) as u64;
                change.put(key, &slot);
            }
        });
        state.unsynced.insert(partition);
        state.account(partition, stored, 0, in_tree);
        Ok(())
    }

    /// The number of a partition that can be written, with its record on disk: a file may be made for it.
    fn recorded(&self, store: &Store, writing: &Writing<'_>, name: &str) -> Result<u64, Error> {
        let (partition, is_recorded) = {
            let mut state = store.state();
            state.check(writing.namespace, writing.by)?;
            self.check_quota(&state, writing, Growth::Put)?;
            let partition = partition(store, &mut state, writing.namespace, name)?;
            (partition, !state.unrecorded.contains_key(&partition))
        };
        if !is_recorded {
            durable::sync(store, &self.syncs)?;
        }
        Ok(partition)
    }

    /// Whoever writes faster than upkeep flushes has to flush.
    fn make_room(&self) -> Result<(), Error> {
        let store = self.store();
        if store.tree.active_memtable().size() >= 2 * FLUSH_BYTES {
            durable::checkpoint(&store, &self.syncs)?;
        }
        Ok(())
    }

    fn check_quota(
        &self,
        state: &State,
        writing: &Writing<'_>,
        growth: Growth,
    ) -> Result<(), Error> {
        let namespace = state.namespaces.get(&writing.namespace);
        let stored = namespace.map_or(0, |namespace| namespace.stored);
        let checked = quotas::check(writing.quota, stored, growth);
        checked.inspect_err(|_| self.space.refuse())
    }

    /// As [`Shared::put`].
    pub(super) fn commit(
        &self,
        writing: &Writing<'_>,
        name: &str,
        changes: Vec<kv::Change>,
        turn: Turn,
    ) -> Result<(), Error> {
        let &Writing { namespace, by, .. } = writing;
        let grows = changes
            .iter()
            .any(|change| matches!(change, kv::Change::Put(_)));
        if grows {
            self.space.check(false)?;
        }
        let packed: Vec<_> = changes
            .into_iter()
            .map(|change| match change {
                kv::Change::Put(entry) => (entry.sort, Some(value::pack(entry.value))),
                kv::Change::Delete(sort) => (sort, None),
            })
            .collect();
        drop(turn);
        self.make_room()?;
        let store = self.store();
        let mut state = store.state();
        state.check(namespace, by)?;
        if grows {
            self.check_quota(&state, writing, Growth::Commit)?;
        }
        let partition = partition(&store, &mut state, namespace, name)?;
        // Looked up before anything changes: a disk that cannot be read refuses the whole commit.
        let mut before = HashMap::with_capacity(packed.len());
        for (sort, _) in &packed {
            let key = record::key(VALUE, partition, sort);
            let slot = self.before(&store, &key)?;
            let old =
                slot.and_then(|slot| Slot::parse(&slot).map(|slot| weight(&key, slot.stored())));
            before.insert(key, old.unwrap_or(0));
        }
        let (mut more, mut less, mut in_tree) = (0, 0, 0);
        store.change(&mut state, |change| {
            for (sort, packed) in packed {
                let key = record::key(VALUE, partition, &sort);
                let mut new = 0;
                if let Some(packed) = packed {
                    let slot = packed.here(&key);
                    new = weight(&key, packed.payload.len() as u64);
                    in_tree += (key.len() + slot.len()) as u64;
                    change.put(&key, &slot);
                } else {
                    change.delete(&key);
                }
                more += new;
                less += before.insert(key, new).unwrap_or(0);
            }
        });
        state.account(partition, more, less, in_tree);
        self.space.wrote(in_tree);
        let known = state.namespaces.get_mut(&namespace);
        if let Some(record) = known.and_then(|known| known.writers.get_mut(&by.writer))
            && !record.committed
        {
            record.committed = true;
            let record = *record;
            put_writer(&store, &mut state, namespace, &by.writer, record);
        }
        Ok(())
    }

    pub(super) fn reclaim(&self, namespace: u64, by: &Claim, name: &str) -> Result<(), Error> {
        let store = self.store();
        let mut state = store.state();
        state.check(namespace, by)?;
        let found = state.find(namespace, name);
        if found.is_none() && burnt(&store, namespace, name)? {
            return Ok(());
        }
        let now = self.now();
        let stored = match found.and_then(|number| {
            state
                .partitions
                .get_mut(&number)
                .map(|found| (number, found))
        }) {
            Some((_, partition)) if partition.reclaimed.is_some() => return Ok(()),
            Some((number, partition)) => {
                partition.reclaimed = Some(now.max(1));
                let stored = std::mem::take(&mut partition.stored);
                state.changed.insert(number);
                stored
            }
            None => 0,
        };
        if let Some(known) = state.namespaces.get_mut(&namespace) {
            known.stored = known.stored.saturating_sub(stored);
        }
        store.change(&mut state, |change| {
            change.put(&record::burnt_key(namespace, name), &[]);
        });
        Ok(())
    }

    /// What stands where something is to be written. Nothing, where that is damaged: it can be replaced and deleted like all else, or
    /// a damaged table would refuse writes for ever. What it counted for goes on being counted.
    fn before(&self, store: &Store, key: &[u8]) -> Result<Option<lsm_tree::UserValue>, Error> {
        match store.slot(key) {
            Ok(found) => Ok(found),
            Err(error @ lsm_tree::Error::Io(_)) => Err(tree_failed(&error)),
            Err(error) => {
                self.damage.fetch_add(1, Ordering::Relaxed);
                warn!(%error, "what is overwritten or deleted cannot be read");
                Ok(None)
            }
        }
    }

    fn write_failed(&self, error: &io::Error) -> Error {
        if matches!(
            error.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
        ) {
            self.space.refused.fetch_add(1, Ordering::Relaxed);
            return Error::QuotaExceeded(format!("the disk is full: {error}"));
        }
        Error::Unavailable(format!("the disk refuses to write: {error}"))
    }
}

/// The number of a partition that can be written, which a first write makes.
fn partition(store: &Store, state: &mut State, namespace: u64, name: &str) -> Result<u64, Error> {
    if let Some(number) = state.find(namespace, name) {
        writable(state, number, name)?;
        return Ok(number);
    }
    if burnt(store, namespace, name)? {
        return Err(used_up(name));
    }
    #[expect(
        clippy::redundant_closure_for_method_calls,
        reason = "the method alone is not general enough"
    )]
    let number = store.change(state, |change| change.number());
    store.live.insert(number);
    state
        .partitions
        .insert(number, Partition::new(namespace, name));
    state.changed.insert(number);
    state.unrecorded.insert(number, state.changes);
    state.uncut.insert(number);
    if let Some(known) = state.namespaces.get_mut(&namespace) {
        known.names.insert(name.to_owned(), number);
    }
    Ok(number)
}

fn writable(state: &State, partition: u64, name: &str) -> Result<(), Error> {
    match state.partitions.get(&partition) {
        Some(partition) if partition.reclaimed.is_none() => Ok(()),
        _ => Err(used_up(name)),
    }
}

fn reserve(
    store: &Store,
    state: &mut State,
    partition: u64,
    objects: Vec<(Vec<u8>, Packed)>,
) -> Result<(Option<u64>, Vec<Placed>), Error> {
    let Some(record) = state
        .partitions
        .get_mut(&partition)
        .filter(|_| !objects.is_empty())
    else {
        return Ok((None, Vec::new()));
    };
    let start = record.file_length;
    if state.uncut.contains(&partition) {
        let cut = store.objects.cut(partition, start);
        cut.map_err(|error| {
            Error::Unavailable(format!("the disk refuses a file for objects: {error}"))
        })?;
        state.uncut.remove(&partition);
        state.new_files = true;
    }
    let placed = objects.into_iter().map(|(key, packed)| {
        let offset = record.file_length;
        record.file_length += packed.payload.len() as u64;
        Placed {
            key,
            packed,
            offset,
        }
    });
    let placed = placed.collect();
    state.changed.insert(partition);
    Ok((Some(start), placed))
}

fn burnt(store: &Store, namespace: u64, name: &str) -> Result<bool, Error> {
    let found = store.slot(&record::burnt_key(namespace, name));
    Ok(found.map_err(|error| tree_failed(&error))?.is_some())
}

fn used_up(name: &str) -> Error {
    Error::Other(format!(
        "partition `{name}` was reclaimed: its name must never be used again"
    ))
}

/// What an entry counts for: its place inside the partition, and what is stored for it.
fn weight(key: &[u8], stored: u64) -> u64 {
    (key.len() as u64).saturating_sub(9) + stored
}

fn tree_failed(error: &lsm_tree::Error) -> Error {
    match error {
        lsm_tree::Error::Io(error) => {
            Error::Unavailable(format!("the tree cannot be read: {error}"))
        }
        other => Error::DataLoss(format!("the tree cannot be read: {other}")),
    }
}

/// Keeps half-made changes from being seen.
pub(super) fn viewing(store: &Store) -> RwLockReadGuard<'_, ()> {
    store.view.read()
}
