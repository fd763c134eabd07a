//! A model of `kv` that tells what is read.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use larder_plugin::kv::{Change, Error, Key, Object, Page};
use larder_plugin::testing::{self, Scan, environment, kv, with_kv};
use larder_plugin::{Environment, Role};

/// The model of `kv`, with the keys of the values that are read.
#[derive(Default)]
pub(crate) struct Reads(RefCell<Vec<Key>>);

/// Returns the environment of a reader, without settings.
pub(crate) fn reader() -> Environment {
    Environment {
        role: Role::Reader,
        ..environment(&[])
    }
}

/// Runs `call` with the model that tells what it reads.
pub(crate) fn with_reads<R>(call: impl FnOnce(&Reads) -> R) -> R {
    let reads = Rc::new(Reads::default());
    with_kv(Rc::clone(&reads) as Rc<dyn testing::Kv>, || call(&reads))
}

// === impl Reads ===

impl Reads {
    /// Returns the number of reads of values of a kind.
    pub(crate) fn count(&self, kind: u8) -> usize {
        let reads = self.0.borrow();
        let of_kind = reads.iter().filter(|it| it.sort.first() == Some(&kind));
        of_kind.count()
    }

    /// Forgets all reads, and returns for each kind how many values were read, and how many times in all.
    pub(crate) fn take(&self) -> BTreeMap<char, (usize, usize)> {
        let mut keys = self.0.take();
        let mut counts = BTreeMap::<char, (usize, usize)>::new();
        let order = |it: &Key| (it.sort.clone(), it.partition.clone());
        keys.sort_by_key(order);
        let each = keys.chunk_by(|a, b| order(a) == order(b));
        for same in each {
            let kind = same.first().and_then(|it| it.sort.first());
            let (values, reads) = counts.entry(kind.copied().unwrap_or(0).into()).or_default();
            *values += 1;
            *reads += same.len();
        }
        counts
    }
}

impl testing::Kv for Reads {
    fn put(&self, objects: &[Object]) -> Result<(), Error> {
        kv::put(objects)
    }

    fn commit(&self, partition: &str, changes: &[Change]) -> Result<(), Error> {
        kv::commit(partition, changes)
    }

    fn get(&self, keys: &[Key]) -> Result<Vec<Option<Vec<u8>>>, Error> {
        self.0.borrow_mut().extend(keys.iter().cloned());
        kv::get(keys)
    }

    fn scan(&self, partition: &str, scan: Scan<'_>) -> Result<Page, Error> {
        let (entries, bytes) = (scan.max_entries, scan.max_bytes);
        kv::scan(partition, scan.range, scan.direction, entries, bytes)
    }

    fn reclaim(&self, partition: &str) -> Result<(), Error> {
        kv::reclaim(partition)
    }

    fn writers(&self) -> Result<Vec<String>, Error> {
        kv::writers()
    }

    fn partitions(&self) -> Result<Vec<String>, Error> {
        kv::partitions()
    }
}
