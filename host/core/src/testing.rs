//! For tests of observers: a place in memory that can lose what was not synced, and fail.

mod hosts;

use std::collections::BTreeMap;

use larder_model::storage::{Error, Keep, KeepChange};
use parking_lot::Mutex;

pub use hosts::{HostKeep, MemoryHosts};

/// Entries of one page of a scan: few, so that tests read several pages.
const PAGE: usize = 4;

type Entries = BTreeMap<Vec<u8>, Vec<u8>>;

/// A [`Keep`] in memory.
#[derive(Default)]
pub struct MemoryKeep(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    now: Contents,
    synced: Contents,
    generation: u64,
    commits: usize,
    largest: usize,
    failure: Option<Error>,
}

#[derive(Clone, Default)]
struct Contents {
    state: Entries,
    groups: BTreeMap<String, Entries>,
}

// === impl MemoryKeep ===

impl MemoryKeep {
    /// Makes all that is kept durable.
    pub fn sync(&self) {
        let mut inner = self.0.lock();
        inner.synced = inner.now.clone();
    }

    /// Loses what is not durable.
    pub fn lose(&self) {
        let mut inner = self.0.lock();
        inner.now = inner.synced.clone();
        inner.generation += 1;
    }

    /// Loses all, durable or not, as where the place begins anew.
    pub fn lose_all(&self) {
        let mut inner = self.0.lock();
        inner.synced = Contents::default();
        inner.now = Contents::default();
        inner.generation += 1;
    }

    /// Has every call fail with this error, or none.
    pub fn fail(&self, failure: Option<Error>) {
        self.0.lock().failure = failure;
    }

    /// Number of commits so far.
    pub fn commits(&self) -> usize {
        self.0.lock().commits
    }

    /// Bytes of the largest commit so far.
    pub fn largest_commit(&self) -> usize {
        self.0.lock().largest
    }

    /// All entries of the state.
    pub fn entries(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let inner = self.0.lock();
        let entries = inner.now.state.iter();
        entries
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    }

    /// Sets a value, behind the observer's back.
    pub fn set(&self, key: &[u8], value: &[u8]) {
        let mut inner = self.0.lock();
        inner.now.state.insert(key.to_owned(), value.to_owned());
    }

    fn with<T>(&self, call: impl FnOnce(&mut Inner) -> T) -> Result<T, Error> {
        let mut inner = self.0.lock();
        match &inner.failure {
            Some(error) => Err(error.clone()),
            None => Ok(call(&mut inner)),
        }
    }
}

#[async_trait::async_trait]
impl Keep for MemoryKeep {
    fn is_durable(&self) -> bool {
        true
    }

    async fn put(&self, group: &str, values: Vec<(Vec<u8>, Vec<u8>)>) -> Result<(), Error> {
        self.with(|inner| {
            let group = inner.now.groups.entry(group.to_owned()).or_default();
            group.extend(values);
        })
    }

    async fn get(&self, group: &str, names: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>, Error> {
        self.with(|inner| {
            let group = inner.now.groups.get(group);
            let value = |name: &Vec<u8>| group?.get(name).cloned();
            names.iter().map(value).collect()
        })
    }

    async fn commit(&self, changes: Vec<KeepChange>) -> Result<(), Error> {
        self.with(|inner| {
            inner.commits += 1;
            let mut bytes = 0;
            for change in changes {
                match change {
                    KeepChange::Put(key, value) => {
                        bytes += key.len() + value.len();
                        inner.now.state.insert(key, value);
                    }
                    KeepChange::Delete(key) => {
                        bytes += key.len();
                        inner.now.state.remove(&key);
                    }
                }
            }
            inner.largest = inner.largest.max(bytes);
        })
    }

    async fn scan(&self, start: &[u8]) -> Result<(Vec<(Vec<u8>, Vec<u8>)>, bool), Error> {
        self.with(|inner| {
            let entries = inner.now.state.range(start.to_owned()..);
            let mut entries = entries.map(|(key, value)| (key.clone(), value.clone()));
            let page: Vec<_> = entries.by_ref().take(PAGE).collect();
            (page, entries.next().is_some())
        })
    }

    async fn reclaim(&self, group: &str) -> Result<(), Error> {
        self.with(|inner| {
            inner.now.groups.remove(group);
        })
    }

    async fn groups(&self) -> Result<Vec<String>, Error> {
        self.with(|inner| inner.now.groups.keys().cloned().collect())
    }

    fn generation(&self) -> u64 {
        self.0.lock().generation
    }
}
