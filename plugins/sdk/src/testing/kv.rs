//! A model of the host's `kv`: a `BTreeMap` per thread. It checks that the plugin follows the contract, and fails calls on request.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use xxhash_rust::xxh3::xxh3_64;

use super::faults::{Faults, Share};
use crate::Sizes;
use crate::kv::{Change, Direction, Entry, Error, Key, Object, Page, Range};

pub use super::faults::Fault;

const MAX_OBJECT_BYTES: usize = 5 << 20;
const MAX_COMMIT_BYTES: usize = 256 << 10;

struct Model {
    partitions: BTreeMap<String, BTreeMap<Vec<u8>, Value>>,
    reclaimed: BTreeSet<String>,
    /// The writer that first wrote to each partition.
    owners: BTreeMap<String, String>,
    /// The writer id of the instance that is called.
    writer: String,
    writers: BTreeSet<String>,
    /// Values whose checksum the host finds wrong.
    unreadable: BTreeSet<(String, Vec<u8>)>,
    /// The instance that is called may delete objects, and write to the partitions of others.
    repairs: bool,
    faults: Faults,
}

#[derive(Clone)]
struct Value {
    bytes: Vec<u8>,
    object: bool,
}

thread_local! {
    static MODEL: RefCell<Model> = RefCell::new(Model::default());
}

/// Clears the store of this thread.
pub fn reset() {
    MODEL.take();
}

/// Sets the writer id of the instance that is called from now on; `test` before the first call.
pub fn act_as(writer: &str) {
    MODEL.with_borrow_mut(|model| writer.clone_into(&mut model.writer));
}

/// Calls with an instance that repairs: it may delete objects, and write to any writer's partitions.
pub fn as_repairer<R>(call: impl FnOnce() -> R) -> R {
    MODEL.with_borrow_mut(|model| model.repairs = true);
    let done = call();
    MODEL.with_borrow_mut(|model| model.repairs = false);
    done
}

/// Makes a changing call fail: the one after `after` others.
pub fn fail(after: usize, fault: Fault) {
    MODEL.with_borrow_mut(|model| model.faults.plan(after, fault));
}

/// Ends all faults: after a crash the host runs again.
pub fn restart() {
    MODEL.with_borrow_mut(|model| model.faults.clear());
}

/// Returns true between a crash and the next restart.
pub fn is_down() -> bool {
    MODEL.with_borrow(|model| model.faults.on_read().is_err())
}

/// Counts the calls that have changed something, or tried to.
pub fn changes() -> usize {
    MODEL.with_borrow(|model| model.faults.changes())
}

/// Returns every key of the partitions that have not been reclaimed.
pub fn keys() -> Vec<Key> {
    MODEL.with_borrow(|model| {
        let kept = model.kept().flat_map(|(partition, entries)| {
            entries.keys().map(|sort| Key {
                partition: partition.clone(),
                sort: sort.clone(),
            })
        });
        kept.collect()
    })
}

/// Returns the bytes of all partitions that have not been reclaimed. The model does not compress.
pub fn stored_bytes() -> u64 {
    MODEL.with_borrow(|model| model.bytes(|_| true))
}

/// Returns what a step of maintenance is told: the bytes of all partitions, and of those of the writer that is called.
pub fn sizes() -> Sizes {
    MODEL.with_borrow(|model| Sizes {
        tenant: model.bytes(|_| true),
        own: model.bytes(|partition| model.owners.get(partition) == Some(&model.writer)),
    })
}

/// Returns the number that a host which is alone gives its writer.
pub fn number_of(writer: &str) -> u16 {
    let [low, high, ..] = xxh3_64(writer.as_bytes()).to_le_bytes();
    u16::from_le_bytes([low, high]).max(1)
}

/// Takes a writer id out of [`writers`], as a host does once the plugin lets it.
pub fn retire(writer: &str) {
    MODEL.with_borrow_mut(|model| {
        model.writers.remove(writer);
    });
}

/// Changes stored bytes without the plugin's knowledge; an empty value counts as lost.
pub fn damage(key: &Key, change: impl FnOnce(&mut Vec<u8>)) {
    MODEL.with_borrow_mut(|model| {
        let Some(entries) = model.partitions.get_mut(&key.partition) else {
            return;
        };
        if let Some(value) = entries.get_mut(&key.sort) {
            change(&mut value.bytes);
            if value.bytes.is_empty() {
                entries.remove(&key.sort);
            }
        }
    });
}

/// Makes the host detect that a value is damaged: every `get` and every page of a scan that would return it raises `data-loss`.
pub fn make_unreadable(key: &Key) {
    MODEL.with_borrow_mut(|model| {
        let at = (key.partition.clone(), key.sort.clone());
        model.unreadable.insert(at);
    });
}

/// Reverts [`damage`] or [`make_unreadable`].
pub fn put_back(key: &Key, bytes: Vec<u8>) {
    MODEL.with_borrow_mut(|model| {
        let at = (key.partition.clone(), key.sort.clone());
        model.unreadable.remove(&at);
        let entries = model.partitions.entry(key.partition.clone()).or_default();
        let object = !key.partition.starts_with("head/");
        entries.insert(key.sort.clone(), Value { bytes, object });
    });
}

/// The host's `put`.
pub fn put(objects: &[Object]) -> Result<(), Error> {
    MODEL.with_borrow_mut(|model| {
        let outcome = model.faults.on_change();
        let objects = match outcome.happens {
            Share::All => objects,
            Share::Half => objects.split_at(objects.len() / 2).0,
            Share::None => &[],
        };
        for object in objects {
            if object.value.len() > MAX_OBJECT_BYTES {
                return Err(too_large("an object", object.value.len(), MAX_OBJECT_BYTES));
            }
            let entries = model.writable(&object.key.partition)?;
            let value = Value {
                bytes: object.value.clone(),
                object: true,
            };
            let before = entries.insert(object.key.sort.clone(), value);
            if before.is_some_and(|before| before.bytes != object.value) {
                return Err(Error::Other(
                    "an object was written twice, differently".to_owned(),
                ));
            }
        }
        outcome.told
    })
}

/// The host's `commit`.
pub fn commit(partition: &str, changes: &[Change]) -> Result<(), Error> {
    let size = changes.iter().map(weight).sum();
    if size > MAX_COMMIT_BYTES {
        return Err(too_large("a commit", size, MAX_COMMIT_BYTES));
    }
    MODEL.with_borrow_mut(|model| {
        let outcome = model.faults.on_change();
        if outcome.happens != Share::All {
            return outcome.told;
        }
        model.writers.insert(model.writer.clone());
        let repairs = model.repairs;
        for change in changes {
            let (Change::Put(Entry { sort, .. }) | Change::Delete(sort)) = change;
            model
                .unreadable
                .remove(&(partition.to_owned(), sort.clone()));
        }
        let entries = model.writable(partition)?;
        let deletes_object = changes.iter().any(|change| {
            matches!(change, Change::Delete(sort) if entries.get(sort).is_some_and(|value| value.object))
        });
        if deletes_object && !repairs {
            return Err(Error::Other("an object cannot be deleted".to_owned()));
        }
        for change in changes {
            match change {
                Change::Put(entry) => {
                    let value = Value {
                        bytes: entry.value.clone(),
                        object: false,
                    };
                    entries.insert(entry.sort.clone(), value);
                }
                Change::Delete(sort) => {
                    entries.remove(sort);
                }
            }
        }
        outcome.told
    })
}

/// The host's `get`.
pub fn get(keys: &[Key]) -> Result<Vec<Option<Vec<u8>>>, Error> {
    MODEL.with_borrow(|model| {
        model.faults.on_read()?;
        for key in keys {
            model.check_readable(&key.partition, &key.sort)?;
        }
        Ok(keys
            .iter()
            .map(|key| {
                let value = model.partitions.get(&key.partition)?.get(&key.sort)?;
                Some(value.bytes.clone())
            })
            .collect())
    })
}

/// The host's `scan`.
pub fn scan(
    partition: &str,
    range: &Range,
    direction: Direction,
    max_entries: u32,
    max_bytes: u32,
) -> Result<Page, Error> {
    let end = range.end.clone().map_or(Bound::Unbounded, Bound::Excluded);
    if range.end.as_ref().is_some_and(|end| *end <= range.start) {
        return Ok(Page {
            entries: Vec::new(),
            more: false,
        });
    }
    MODEL.with_borrow(|model| {
        model.faults.on_read()?;
        let mut found: Vec<_> = model
            .partitions
            .get(partition)
            .into_iter()
            .flat_map(|entries| entries.range((Bound::Included(range.start.clone()), end.clone())))
            .collect();
        if direction == Direction::Descending {
            found.reverse();
        }
        let mut entries = Vec::new();
        let mut bytes = 0;
        for (sort, value) in &found {
            let full = entries.len() >= max_entries as usize || bytes >= max_bytes as usize;
            if full && !entries.is_empty() {
                break;
            }
            model.check_readable(partition, sort)?;
            bytes += sort.len() + value.bytes.len();
            entries.push(Entry {
                sort: (*sort).clone(),
                value: value.bytes.clone(),
            });
        }
        let more = entries.len() < found.len();
        Ok(Page { entries, more })
    })
}

/// The host's `reclaim`. The partition stays readable here, because a running query may still read it.
pub fn reclaim(partition: &str) -> Result<(), Error> {
    MODEL.with_borrow_mut(|model| {
        let outcome = model.faults.on_change();
        if outcome.happens == Share::All {
            model.reclaimed.insert(partition.to_owned());
        }
        outcome.told
    })
}

/// The host's `writers`.
pub fn writers() -> Result<Vec<String>, Error> {
    MODEL.with_borrow(|model| {
        model.faults.on_read()?;
        Ok(model.writers.iter().cloned().collect())
    })
}

/// The host's `partitions`.
pub fn partitions() -> Result<Vec<String>, Error> {
    MODEL.with_borrow(|model| {
        model.faults.on_read()?;
        Ok(model.kept().map(|(name, _)| name.clone()).collect())
    })
}

// === impl Model ===

impl Default for Model {
    fn default() -> Self {
        Self {
            partitions: BTreeMap::new(),
            reclaimed: BTreeSet::new(),
            owners: BTreeMap::new(),
            writer: "test".to_owned(),
            writers: BTreeSet::new(),
            unreadable: BTreeSet::new(),
            repairs: false,
            faults: Faults::default(),
        }
    }
}

impl Model {
    /// Returns the partitions that have not been reclaimed.
    fn kept(&self) -> impl Iterator<Item = (&String, &BTreeMap<Vec<u8>, Value>)> {
        let partitions = self.partitions.iter();
        partitions.filter(|(name, _)| !self.reclaimed.contains(*name))
    }

    /// Returns the bytes of the partitions that have not been reclaimed and for whose names `counts` is true.
    fn bytes(&self, counts: impl Fn(&str) -> bool) -> u64 {
        let kept = self.kept().filter(|(name, _)| counts(name));
        let entries = kept.flat_map(|(_, entries)| entries);
        let sizes = entries.map(|(sort, value)| (sort.len() + value.bytes.len()) as u64);
        sizes.sum()
    }

    fn check_readable(&self, partition: &str, sort: &[u8]) -> Result<(), Error> {
        let at = (partition.to_owned(), sort.to_vec());
        if self.unreadable.contains(&at) {
            let key = sort.escape_ascii();
            let text = format!("partition `{partition}`, key {key}: its checksum does not match");
            return Err(Error::DataLoss(text));
        }
        Ok(())
    }

    fn writable(&mut self, partition: &str) -> Result<&mut BTreeMap<Vec<u8>, Value>, Error> {
        if partition.starts_with("_host/") {
            return Err(Error::Other(format!(
                "partition `{partition}` is the host's own"
            )));
        }
        if self.reclaimed.contains(partition) {
            return Err(Error::Other(format!(
                "partition `{partition}` was reclaimed"
            )));
        }
        if !self.repairs {
            let owners = self.owners.entry(partition.to_owned());
            let owner = owners.or_insert_with(|| self.writer.clone());
            if *owner != self.writer {
                return Err(Error::Other(format!(
                    "partition `{partition}` is of the writer `{owner}`"
                )));
            }
        }
        Ok(self.partitions.entry(partition.to_owned()).or_default())
    }
}

fn weight(change: &Change) -> usize {
    match change {
        Change::Put(entry) => entry.sort.len() + entry.value.len(),
        Change::Delete(sort) => sort.len(),
    }
}

fn too_large(what: &str, size: usize, most: usize) -> Error {
    Error::TooLarge(format!(
        "{what} of {size} bytes is over the limit of {most}"
    ))
}

#[cfg(test)]
mod tests;
