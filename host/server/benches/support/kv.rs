//! The contract's `kv` for a plugin that is compiled natively: the host's driver without the sandbox.

use std::sync::Arc;

use futures_util::future::Future;
use larder_plugin::kv::{Change, Direction, Entry, Error, Key, Object, Page};
use larder_plugin::testing::{Kv, Scan};
use larder_store::{self as kv, Claim, Namespace};

/// The `kv` of one instance.
pub(crate) struct Driven {
    namespace: Arc<dyn Namespace>,
    claim: Option<Claim>,
}

// === impl Driven ===

impl Driven {
    /// The namespace. Writing to it needs a claim.
    pub(crate) fn new(namespace: Arc<dyn Namespace>, claim: Option<Claim>) -> Self {
        Self { namespace, claim }
    }

    fn claim(&self) -> Result<&Claim, Error> {
        let reader = || Error::Other("a reader cannot write to kv".to_owned());
        self.claim.as_ref().ok_or_else(reader)
    }
}

impl Kv for Driven {
    fn put(&self, objects: &[Object]) -> Result<(), Error> {
        let objects = objects.iter().map(|object| kv::Object {
            key: key(&object.key),
            value: object.value.clone(),
        });
        wait(self.namespace.put(self.claim()?, objects.collect()))
    }

    fn commit(&self, partition: &str, changes: &[Change]) -> Result<(), Error> {
        let changes = changes.iter().map(|change| match change {
            Change::Put(entry) => kv::Change::Put(kv::Entry {
                sort: entry.sort.clone(),
                value: entry.value.clone(),
            }),
            Change::Delete(sort) => kv::Change::Delete(sort.clone()),
        });
        let changes = changes.collect();
        wait(self.namespace.commit(self.claim()?, partition, changes))
    }

    fn get(&self, keys: &[Key]) -> Result<Vec<Option<Vec<u8>>>, Error> {
        let keys: Vec<_> = keys.iter().map(key).collect();
        wait(self.namespace.get(&keys))
    }

    fn scan(&self, partition: &str, scan: Scan<'_>) -> Result<Page, Error> {
        let scan = kv::Scan {
            start: scan.range.start.clone(),
            end: scan.range.end.clone(),
            descending: matches!(scan.direction, Direction::Descending),
            max_entries: scan.max_entries,
            max_bytes: scan.max_bytes,
        };
        let page = wait(self.namespace.scan(partition, &scan))?;
        let entries = page.entries.into_iter().map(|entry| Entry {
            sort: entry.sort,
            value: entry.value,
        });
        Ok(Page {
            entries: entries.collect(),
            more: page.more,
        })
    }

    fn reclaim(&self, partition: &str) -> Result<(), Error> {
        wait(self.namespace.reclaim(self.claim()?, partition))
    }

    fn writers(&self) -> Result<Vec<String>, Error> {
        wait(self.namespace.writers())
    }

    fn partitions(&self) -> Result<Vec<String>, Error> {
        wait(self.namespace.partitions())
    }
}

/// Blocks the thread, as a native plugin would. The driver has its own threads for waiting.
fn wait<T>(answer: impl Future<Output = Result<T, kv::Error>>) -> Result<T, Error> {
    futures_executor::block_on(answer).map_err(|error| match error {
        kv::Error::Unavailable(text) => Error::Unavailable(text),
        kv::Error::OutcomeUnknown(text) => Error::OutcomeUnknown(text),
        kv::Error::Fenced | kv::Error::Held(_) => Error::Fenced,
        kv::Error::QuotaExceeded(text) => Error::QuotaExceeded(text),
        kv::Error::TooLarge(text) => Error::TooLarge(text),
        kv::Error::DataLoss(text) => Error::DataLoss(text),
        kv::Error::Other(text) => Error::Other(text),
    })
}

fn key(key: &Key) -> kv::Key {
    kv::Key {
        partition: key.partition.clone(),
        sort: key.sort.clone(),
    }
}
