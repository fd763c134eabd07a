//! A model of `kv` that tells what is read.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use larder_plugin::kv::{Change, Error, Key, Object, Page};
use larder_plugin::testing::{self, Scan, environment, kv, with_kv};
use larder_plugin::{Environment, Role};

/// The model of `kv`, with the keys of the values that are read.
#[derive(Default)]
pub(crate) struct Reads {
    keys: RefCell<Vec<Key>>,
    calls: Cell<usize>,
    bytes: Cell<usize>,
}

/// What reads cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Costs {
    /// The number of calls of `get` and of `scan`.
    pub(crate) calls: usize,
    /// The number of keys that `get` was called with, and of bytes that it returned.
    pub(crate) keys: usize,
    pub(crate) bytes: usize,
}

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
        let reads = self.keys.borrow();
        let of_kind = reads.iter().filter(|it| it.sort.first() == Some(&kind));
        of_kind.count()
    }

    /// Forgets all reads, and returns what they cost since the last call.
    pub(crate) fn costs(&self) -> Costs {
        Costs {
            calls: self.calls.take(),
            keys: self.keys.take().len(),
            bytes: self.bytes.take(),
        }
    }

    /// Forgets all reads, and returns for each kind how many values were read, and how many times in all.
    pub(crate) fn take(&self) -> BTreeMap<char, (usize, usize)> {
        let mut keys = self.keys.take();
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
        self.keys.borrow_mut().extend(keys.iter().cloned());
        self.calls.set(self.calls.get() + 1);
        let values = kv::get(keys)?;
        let bytes: usize = values.iter().flatten().map(Vec::len).sum();
        self.bytes.set(self.bytes.get() + bytes);
        Ok(values)
    }

    fn scan(&self, partition: &str, scan: Scan<'_>) -> Result<Page, Error> {
        self.calls.set(self.calls.get() + 1);
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
