//! Gets, scans, and the check of all values.

use std::ops::Bound;
use std::sync::atomic::Ordering;

use larder_model::Hex;
use lsm_tree::{AbstractTree, Guard, SeqNo, UserKey, UserValue};
use tracing::error;

use super::objects::Wait;
use super::record::{self, VALUE};
use super::shared::Shared;
use super::store::Store;
use super::value::{Payload, Slot};
use super::write::viewing;
use crate::{Entry, Error, Key, Page, Scan, Stored};

/// Result of checking a store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckSummary {
    /// Number of values read.
    pub values: u64,
    /// Compressed size of the values, in bytes.
    pub bytes: u64,
    /// Number of partitions read.
    pub partitions: u64,
    /// Number of values that cannot be read.
    pub damaged: u64,
}

/// A value that cannot be read or, if `sort` is `None`, the rest of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The tenant.
    pub tenant: String,
    /// The partition.
    pub partition: String,
    /// The sort key inside the partition.
    pub sort: Option<Vec<u8>>,
}

// === impl Shared ===

impl Shared {
    /// Reads the values of these keys. Returns `None` if that would have to wait for the disk and `wait` forbids it.
    pub(super) fn get(
        &self,
        namespace: u64,
        keys: &[Key],
        wait: Wait,
    ) -> Result<Option<Vec<Option<Vec<u8>>>>, Error> {
        let store = self.store();
        let numbers: Vec<_> = {
            let state = store.state();
            keys.iter()
                .map(|key| state.find(namespace, &key.partition))
                .collect()
        };
        let mut found = Vec::with_capacity(keys.len());
        {
            let _view = viewing(&store);
            for (key, number) in keys.iter().zip(numbers) {
                found.push(match number {
                    None => None,
                    Some(number) => {
                        let at = record::key(VALUE, number, &key.sort);
                        let slot = store.slot(&at).map_err(|error| self.damaged(key, &error))?;
                        slot.map(|slot| (number, at, slot))
                    }
                });
            }
        }
        let mut values = Vec::with_capacity(keys.len());
        for (key, found) in keys.iter().zip(found) {
            let Some((number, at, slot)) = found else {
                values.push(None);
                continue;
            };
            let value = value(&store, number, (&at, &slot), wait);
            match value.map_err(|why| self.damaged(key, &why))? {
                Some(value) => values.push(Some(value)),
                None => return Ok(None),
            }
        }
        Ok(Some(values))
    }

    /// A page of a partition; of what is of one kind, if one is given. What is not is not read.
    pub(super) fn scan(
        &self,
        namespace: u64,
        partition: &str,
        kind: Option<Stored>,
        scan: &Scan,
    ) -> Result<Page, Error> {
        let store = self.store();
        let Some(number) = store.state().find(namespace, partition) else {
            return Ok(Page::default());
        };
        if scan.end.as_ref().is_some_and(|end| *end <= scan.start) {
            return Ok(Page::default());
        }
        let key = |sort: &[u8]| Key {
            partition: partition.to_owned(),
            sort: sort.to_vec(),
        };
        let mut slots: Vec<(UserKey, UserValue)> = Vec::new();
        let (mut page, mut bytes) = (Page::default(), 0);
        {
            // No commit takes place between the entries of one page, so they can be read at the newest sequence number.
            let _view = viewing(&store);
            let mut range = range(&store, number, scan);
            while let Some(entry) = if scan.descending {
                range.next_back()
            } else {
                range.next()
            } {
                let (at, slot) = entry
                    .into_inner()
                    .map_err(|error| self.damaged(&key(&[]), &error))?;
                let parsed = Slot::parse(&slot);
                // Where it is not known what a slot is, it is read, which tells the damage.
                let stored = parsed.as_ref().map(Slot::kind);
                if kind.is_some() && stored.is_some() && stored != kind {
                    continue;
                }
                let length = parsed.map_or(0, |slot| slot.length());
                bytes += (at.len().saturating_sub(9) + length) as u64;
                let full = slots.len() as u64 >= u64::from(scan.max_entries)
                    || bytes > u64::from(scan.max_bytes);
                if full && !slots.is_empty() {
                    page.more = true;
                    break;
                }
                slots.push((at, slot));
            }
        }
        for (at, slot) in slots {
            let sort = at.get(9..).unwrap_or_default();
            match value(&store, number, (&at, &slot), Wait::ForDisk) {
                Ok(value) => page.entries.push(Entry {
                    sort: sort.to_vec(),
                    value: value.unwrap_or_default(),
                }),
                Err(why) if page.entries.is_empty() => return Err(self.damaged(&key(sort), &why)),
                // The page that begins with it returns the error.
                Err(_) => {
                    page.more = true;
                    break;
                }
            }
        }
        Ok(page)
    }

    /// Reads every value, and calls `found` for each damaged one.
    pub(super) fn check(&self, found: &mut dyn FnMut(Damage)) -> CheckSummary {
        let store = self.store();
        let mut partitions: Vec<(String, String, u64)> = Vec::new();
        {
            let state = store.state();
            for (tenant, namespace) in &state.tenants {
                let names = state
                    .namespaces
                    .get(namespace)
                    .into_iter()
                    .flat_map(|namespace| &namespace.names);
                partitions
                    .extend(names.map(|(name, number)| (tenant.clone(), name.clone(), *number)));
            }
        }
        partitions.sort();
        let mut checked = CheckSummary::default();
        for (tenant, partition, number) in partitions {
            checked.partitions += 1;
            for entry in store
                .tree
                .prefix(record::key(VALUE, number, &[]), SeqNo::MAX, None)
            {
                let damage = |sort| Damage {
                    tenant: tenant.clone(),
                    partition: partition.clone(),
                    sort,
                };
                let Ok((at, slot)) = entry.into_inner() else {
                    checked.damaged += 1;
                    found(damage(None));
                    break;
                };
                checked.values += 1;
                checked.bytes += Slot::parse(&slot).map_or(0, |slot| slot.stored());
                if value(&store, number, (&at, &slot), Wait::ForDisk).is_err() {
                    checked.damaged += 1;
                    found(damage(Some(at.get(9..).unwrap_or_default().to_vec())));
                }
            }
        }
        checked
    }

    fn damaged(&self, key: &Key, why: &dyn std::fmt::Display) -> Error {
        self.damage.fetch_add(1, Ordering::Relaxed);
        let sort = Hex(&key.sort).to_string();
        error!(partition = key.partition, sort, %why, "a stored value cannot be read back");
        Error::DataLoss(format!("partition `{}`, key {sort}: {why}", key.partition))
    }
}

type Range = Box<dyn DoubleEndedIterator<Item = lsm_tree::IterGuardImpl> + Send>;

fn range(store: &Store, partition: u64, scan: &Scan) -> Range {
    let start = Bound::Included(record::key(VALUE, partition, &scan.start));
    let end = match &scan.end {
        Some(end) => record::key(VALUE, partition, end),
        None => record::key(VALUE, partition + 1, &[]),
    };
    store
        .tree
        .range::<Vec<u8>, _>((start, Bound::Excluded(end)), SeqNo::MAX, None)
}

/// Reads the value of a slot. Returns `None` if that would have to wait for the disk and `wait` forbids it.
pub(super) fn value(
    store: &Store,
    partition: u64,
    (key, slot): (&[u8], &[u8]),
    wait: Wait,
) -> Result<Option<Vec<u8>>, String> {
    let slot = Slot::parse(slot).ok_or("its slot is no slot")?;
    let value = match slot.payload {
        Payload::Inline(payload) => slot.open(key, payload),
        Payload::InFile { offset, length } => {
            let payload = store.objects.read(partition, (offset, length), wait);
            match payload.map_err(|error| format!("its file cannot be read: {error}"))? {
                Some(payload) => slot.open(key, &payload),
                None => return Ok(None),
            }
        }
    };
    let value = value.ok_or_else(|| "its checksum does not match".to_owned())?;
    Ok(Some(value))
}
