//! What a namespace is to its callers, without storage.

use std::collections::{BTreeMap, BTreeSet};

use crate::{Change, Entry, Object};

/// The contents of a namespace.
#[derive(Debug, Default)]
pub(super) struct Model {
    partitions: BTreeMap<String, Partition>,
    /// Ids that have committed and not retired since.
    pub(super) writers: BTreeSet<String>,
}

#[derive(Debug, Default)]
struct Partition {
    entries: BTreeMap<Vec<u8>, Vec<u8>>,
    /// True once it has had an entry. A commit that only deletes may make a partition, or may not.
    is_certain: bool,
    is_reclaimed: bool,
}

// === impl Model ===

impl Model {
    pub(super) fn put(&mut self, objects: Vec<Object>) {
        for Object { key, value } in objects {
            let partition = self.partitions.entry(key.partition).or_default();
            partition.is_certain = true;
            partition.entries.entry(key.sort).or_insert(value);
        }
    }

    pub(super) fn commit(&mut self, writer: &str, partition: &str, changes: Vec<Change>) {
        self.writers.insert(writer.to_owned());
        let partition = self.partitions.entry(partition.to_owned()).or_default();
        for change in changes {
            match change {
                Change::Put(Entry { sort, value }) => {
                    partition.is_certain = true;
                    partition.entries.insert(sort, value);
                }
                Change::Delete(sort) => {
                    partition.entries.remove(&sort);
                }
            }
        }
    }

    pub(super) fn reclaim(&mut self, partition: &str) {
        let partition = self.partitions.entry(partition.to_owned()).or_default();
        partition.is_reclaimed = true;
    }

    /// The entries of a partition that is not reclaimed.
    pub(super) fn entries(&self, partition: &str) -> Vec<Entry> {
        let entries = self.partitions.get(partition).into_iter();
        let entries = entries.flat_map(|partition| &partition.entries);
        let entries = entries.map(|(sort, value)| Entry {
            sort: sort.clone(),
            value: value.clone(),
        });
        entries.collect()
    }

    /// Panics if these are not the partitions that a driver has to list.
    pub(super) fn check_partitions(&self, listed: &[String]) {
        for name in listed {
            let known = self.partitions.get(name);
            let is_live = known.is_some_and(|partition| !partition.is_reclaimed);
            assert!(is_live, "`{name}` is listed, but {known:?}");
        }
        for (name, partition) in &self.partitions {
            if partition.is_certain && !partition.is_reclaimed {
                assert!(listed.contains(name), "`{name}` is not in {listed:?}");
            }
        }
    }
}
