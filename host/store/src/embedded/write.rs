//! The calls of a writer: puts, commits and reclaims.

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
use super::sharing::Placing;
use super::space::Use;
use super::store::{Store, StoreState};
use super::value::{self, Packed, Slot};
use crate::quotas::{self, Growth};
use crate::{self as kv, Claim, Error, Object};

/// An object with its position in the partition's file.
struct PlacedObject {
    key: Vec<u8>,
    packed: Packed,
    offset: u64,
}

// === impl Shared ===

impl Shared {
    /// Compresses the objects within the turn, and writes them after it.
    pub(super) fn put(
        &self,
        writing: &Writing,
        objects: Vec<Object>,
        turn: Turn,
    ) -> Result<(), Error> {
        self.space.check(Use::objects(&writing.by))?;
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

    /// Reserves space in the file and writes there. Only then makes the objects visible.
    fn put_into(
        &self,
        store: &Store,
        writing: &Writing,
        name: &str,
        objects: Vec<(Vec<u8>, Packed)>,
    ) -> Result<(), Error> {
        let Writing { namespace, by, .. } = writing;
        let namespace = *namespace;
        let partition = self.recorded(store, writing, name)?;
        let (start, placed, _placing) = {
            let mut state = self.state_to_append(store, partition)?;
            state.check(namespace, by)?;
            writable(&state, partition, name)?;
            let mut missing = Vec::with_capacity(objects.len());
            let mut seen = HashSet::new();
            for (sort, packed) in objects {
                let key = record::key(VALUE, partition, &sort);
                let found = self.existing_slot(store, &key)?;
                if found.is_none() && seen.insert(sort) {
                    missing.push((key, packed));
                }
            }
            let (start, placed) = reserve(store, &mut state, partition, missing)?;
            let Some(start) = start else {
                return Ok(());
            };
            (start, placed, Placing::begin(store, &mut state, partition))
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
        self.space.count_written(bytes.len() as u64);

        let mut state = store.state();
        state.check(namespace, by)?;
        writable(&state, partition, name)?;
        let (mut stored, mut in_tree) = (0, 0);
        store.write_batch(&mut state, |batch| {
            for PlacedObject {
                key,
                packed,
                offset,
            } in &placed
            {
                let slot = value::file_slot(packed, key, *offset);
                stored += weight(key, packed.payload.len() as u64);
                in_tree += (key.len() + slot.len()) as u64;
                batch.put(key, &slot);
            }
        });
        state.unsynced.insert(partition);
        state.account(partition, stored, 0, in_tree);
        Ok(())
    }

    /// The number of a partition that can be written. Its record is on disk, so its file may be created.
    fn recorded(&self, store: &Store, writing: &Writing, name: &str) -> Result<u64, Error> {
        let (partition, is_recorded) = {
            let mut state = store.state();
            state.check(writing.namespace, &writing.by)?;
            self.check_quota(&state, writing, Growth::Put)?;
            let partition = partition(store, &mut state, writing.namespace, name)?;
            (partition, !state.unrecorded.contains_key(&partition))
        };
        if !is_recorded {
            durable::sync(store, &self.syncs)?;
        }
        Ok(partition)
    }

    /// Flushes if writes are faster than upkeep's flushes.
    fn make_room(&self) -> Result<(), Error> {
        let store = self.store();
        if store.tree.active_memtable().size() >= 2 * FLUSH_BYTES {
            durable::checkpoint(&store, &self.syncs)?;
        }
        Ok(())
    }

    fn check_quota(
        &self,
        state: &StoreState,
        writing: &Writing,
        growth: Growth,
    ) -> Result<(), Error> {
        let namespace = state.namespaces.get(&writing.namespace);
        let stored = namespace.map_or(0, |namespace| namespace.stored);
        let checked = quotas::check(writing.quota, stored, growth);
        checked.inspect_err(|_| self.space.refuse())
    }

    /// Compresses the values within the turn, and commits after it.
    pub(super) fn commit(
        &self,
        writing: &Writing,
        name: &str,
        changes: Vec<kv::Change>,
        turn: Turn,
    ) -> Result<(), Error> {
        let Writing { namespace, by, .. } = writing;
        let namespace = *namespace;
        let grows = changes
            .iter()
            .any(|change| matches!(change, kv::Change::Put(_)));
        if grows {
            self.space.check(Use::commit(by))?;
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
        // Read before anything is changed, so that a failed read refuses the whole commit.
        let mut before = HashMap::with_capacity(packed.len());
        for (sort, _) in &packed {
            let key = record::key(VALUE, partition, sort);
            let slot = self.existing_slot(&store, &key)?;
            let old =
                slot.and_then(|slot| Slot::parse(&slot).map(|slot| weight(&key, slot.stored())));
            before.insert(key, old.unwrap_or(0));
        }
        let (mut more, mut less, mut in_tree) = (0, 0, 0);
        store.write_batch(&mut state, |batch| {
            for (sort, packed) in packed {
                let key = record::key(VALUE, partition, &sort);
                let mut new = 0;
                if let Some(packed) = packed {
                    let slot = value::inline_slot(&packed, &key);
                    new = weight(&key, packed.payload.len() as u64);
                    in_tree += (key.len() + slot.len()) as u64;
                    batch.put(&key, &slot);
                } else {
                    batch.delete(&key);
                }
                more += new;
                less += before.insert(key, new).unwrap_or(0);
            }
        });
        state.account(partition, more, less, in_tree);
        self.space.count_written(in_tree);
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
        if found.is_none() && is_name_reclaimed(&store, namespace, name)? {
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
            known.account(name, 0, stored);
        }
        store.write_batch(&mut state, |batch| {
            batch.put(&record::reclaimed_name_key(namespace, name), &[]);
        });
        Ok(())
    }

    /// The slot that a write replaces. Returns `None` if it is damaged, because a damaged table must not refuse writes for ever. The size of
    /// a damaged slot stays counted.
    fn existing_slot(
        &self,
        store: &Store,
        key: &[u8],
    ) -> Result<Option<lsm_tree::UserValue>, Error> {
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

/// The number of a partition that can be written. The first write creates it.
fn partition(
    store: &Store,
    state: &mut StoreState,
    namespace: u64,
    name: &str,
) -> Result<u64, Error> {
    if let Some(number) = state.find(namespace, name) {
        writable(state, number, name)?;
        return Ok(number);
    }
    if is_name_reclaimed(store, namespace, name)? {
        return Err(name_reclaimed(name));
    }
    #[expect(
        clippy::redundant_closure_for_method_calls,
        reason = "the method alone is not general enough"
    )]
    let number = store.write_batch(state, |batch| batch.number());
    store.live.insert(number);
    state
        .partitions
        .insert(number, Partition::new(namespace, name));
    state.changed.insert(number);
    state.unrecorded.insert(number, state.changes);
    state.untruncated.insert(number);
    if let Some(known) = state.namespaces.get_mut(&namespace) {
        known.names.insert(name.to_owned(), number);
    }
    Ok(number)
}

fn writable(state: &StoreState, partition: u64, name: &str) -> Result<(), Error> {
    match state.partitions.get(&partition) {
        Some(partition) if partition.reclaimed.is_none() => Ok(()),
        _ => Err(name_reclaimed(name)),
    }
}

fn reserve(
    store: &Store,
    state: &mut StoreState,
    partition: u64,
    objects: Vec<(Vec<u8>, Packed)>,
) -> Result<(Option<u64>, Vec<PlacedObject>), Error> {
    let Some(record) = state
        .partitions
        .get_mut(&partition)
        .filter(|_| !objects.is_empty())
    else {
        return Ok((None, Vec::new()));
    };
    let start = record.file_length;
    if state.untruncated.contains(&partition) {
        let truncated = store.objects.truncate(partition, start);
        truncated.map_err(|error| {
            Error::Unavailable(format!("the disk refuses a file for objects: {error}"))
        })?;
        state.untruncated.remove(&partition);
        state.new_files = true;
    }
    let placed = objects.into_iter().map(|(key, packed)| {
        let offset = record.file_length;
        record.file_length += packed.payload.len() as u64;
        PlacedObject {
            key,
            packed,
            offset,
        }
    });
    let placed = placed.collect();
    state.changed.insert(partition);
    Ok((Some(start), placed))
}

fn is_name_reclaimed(store: &Store, namespace: u64, name: &str) -> Result<bool, Error> {
    let found = store.slot(&record::reclaimed_name_key(namespace, name));
    Ok(found.map_err(|error| tree_failed(&error))?.is_some())
}

fn name_reclaimed(name: &str) -> Error {
    Error::Other(format!(
        "partition `{name}` was reclaimed: its name must never be used again"
    ))
}

/// Size of an entry in the statistics: its sort key and its payload.
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

/// Keeps changes that are only half applied from being seen.
pub(super) fn viewing(store: &Store) -> RwLockReadGuard<'_, ()> {
    store.view.read()
}
