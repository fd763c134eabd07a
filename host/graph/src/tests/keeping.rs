//! A place to keep things that can lose what was not synced, fail, and hold what was reclaimed for as long as a query lasts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use larder_model::storage::{Error, ErrorKind, Keep, KeepChange};
use parking_lot::Mutex;

/// Entries of a page of the state.
const PAGE: usize = 3;

type Values = BTreeMap<Vec<u8>, Vec<u8>>;

/// What is kept.
#[derive(Clone, Debug, Default)]
pub(super) struct Contents {
    pub(super) state: Values,
    pub(super) groups: BTreeMap<String, Values>,
}

/// The place.
#[derive(Debug, Default)]
pub(super) struct Keeping {
    pub(super) now: Mutex<Contents>,
    /// Groups that were reclaimed, which a query may still read.
    reclaimed: Mutex<BTreeMap<String, Values>>,
    used: Mutex<BTreeSet<String>>,
    generation: AtomicU64,
    /// Number of commits.
    pub(super) commits: AtomicUsize,
    /// Number of `get` calls.
    pub(super) gets: AtomicUsize,
    /// The next calls fail; every other commit happens all the same.
    pub(super) fails: AtomicBool,
    /// No value can be read back.
    pub(super) loses: AtomicBool,
}

impl Keeping {
    /// Returns to what was there before, as a crash does.
    pub(super) fn lose(&self, kept: &Contents) {
        *self.now.lock() = kept.clone();
        self.generation.fetch_add(1, Ordering::Relaxed);
    }

    /// The names of the groups.
    pub(super) fn names(&self) -> Vec<String> {
        self.now.lock().groups.keys().cloned().collect()
    }

    /// No query lasts as long as what was reclaimed.
    pub(super) fn expire(&self) {
        self.reclaimed.lock().clear();
    }

    fn fail(&self) -> Result<(), Error> {
        if self.fails.load(Ordering::Relaxed) {
            return Err(Error::new(ErrorKind::Unavailable, "the place has failed"));
        }
        Ok(())
    }
}

#[async_trait::async_trait]
impl Keep for Keeping {
    fn is_durable(&self) -> bool {
        true
    }

    async fn put(&self, group: &str, values: Vec<(Vec<u8>, Vec<u8>)>) -> Result<(), Error> {
        self.fail()?;
        assert!(!values.is_empty());
        assert!(values.iter().all(|(_, value)| value.len() <= 5 << 20));
        let mut now = self.now.lock();
        if !now.groups.contains_key(group) {
            assert!(
                self.used.lock().insert(group.to_owned()),
                "used again: {group}"
            );
        }
        now.groups
            .entry(group.to_owned())
            .or_default()
            .extend(values);
        Ok(())
    }

    async fn get(&self, group: &str, names: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>, Error> {
        self.gets.fetch_add(1, Ordering::Relaxed);
        if self.loses.load(Ordering::Relaxed) {
            return Err(Error::new(ErrorKind::DataLoss, "the value is damaged"));
        }
        let (now, reclaimed) = (self.now.lock(), self.reclaimed.lock());
        let values = now.groups.get(group).or_else(|| reclaimed.get(group));
        let get = |name: &Vec<u8>| values?.get(name).cloned();
        Ok(names.iter().map(get).collect())
    }

    async fn commit(&self, changes: Vec<KeepChange>) -> Result<(), Error> {
        let number = self.commits.fetch_add(1, Ordering::Relaxed);
        let failed = self.fail();
        if failed.is_err() && number.is_multiple_of(2) {
            return failed;
        }
        let mut bytes = 0;
        let mut now = self.now.lock();
        for change in changes {
            match change {
                KeepChange::Put(key, value) => {
                    bytes += key.len() + value.len();
                    now.state.insert(key, value);
                }
                KeepChange::Delete(key) => {
                    bytes += key.len();
                    now.state.remove(&key);
                }
            }
        }
        assert!(bytes <= 256 << 10);
        failed
    }

    async fn scan(&self, start: &[u8]) -> Result<(Vec<(Vec<u8>, Vec<u8>)>, bool), Error> {
        self.fail()?;
        let now = self.now.lock();
        let mut entries = now.state.range(start.to_vec()..);
        let page = entries.by_ref().take(PAGE);
        let page = page
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        Ok((page, entries.next().is_some()))
    }

    async fn reclaim(&self, group: &str) -> Result<(), Error> {
        self.fail()?;
        if let Some(values) = self.now.lock().groups.remove(group) {
            self.reclaimed.lock().insert(group.to_owned(), values);
        }
        Ok(())
    }

    async fn groups(&self) -> Result<Vec<String>, Error> {
        Ok(self.now.lock().groups.keys().cloned().collect())
    }

    fn generation(&self) -> u64 {
        self.generation.load(Ordering::Relaxed)
    }
}
