//! One tenant's namespace, off the async threads: what may wait for the disk runs on tokio's blocking ones.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use larder_core::fair::Lane;
use tokio::task::JoinError;

use super::Durability;
use super::durable;
use super::objects::Wait;
use super::shared::Shared;
use crate::{Change, Claim, Error, Key, Namespace, Object, Page, Scan};

/// So many values are read on the thread that asks, if they are in memory: unpacking a block takes some 30 us.
const KEYS_AT_ONCE: usize = 16;

/// See the module.
pub(super) struct FjallNamespace {
    shared: Arc<Shared>,
    number: u64,
    /// The tenant's: what is written is compressed within its turns.
    lane: Lane,
}

/// Who writes, and how much may be stored there.
pub(super) struct Writing<'a> {
    pub(super) namespace: u64,
    pub(super) by: &'a Claim,
    pub(super) quota: Option<u64>,
}

/// Runs what may wait for the disk.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    ended(tokio::task::spawn_blocking(work).await)
}

fn ended<T>(done: Result<Result<T, Error>, JoinError>) -> Result<T, Error> {
    done.unwrap_or_else(|error| {
        Err(Error::Unavailable(format!(
            "a call of kv ended early: {error}"
        )))
    })
}

// === impl FjallNamespace ===

impl FjallNamespace {
    pub(super) fn new(shared: Arc<Shared>, number: u64, tenant: &str) -> Self {
        Self {
            number,
            lane: shared.options.scheduler.lane(tenant),
            shared,
        }
    }
}

#[async_trait::async_trait]
impl Namespace for FjallNamespace {
    async fn claim(&self, writer: &str) -> Result<Claim, Error> {
        let (shared, number, writer) = (Arc::clone(&self.shared), self.number, writer.to_owned());
        blocking(move || shared.claim(number, &writer)).await
    }

    async fn put(&self, by: &Claim, objects: Vec<Object>) -> Result<(), Error> {
        let (shared, namespace, by) = (Arc::clone(&self.shared), self.number, by.clone());
        let quota = shared.quota(self.lane.tenant());
        let written = self.lane.aside(move |turn| {
            let by = &by;
            let writing = Writing {
                namespace,
                by,
                quota,
            };
            shared.put(&writing, objects, turn)
        });
        ended(written.await)
    }

    async fn commit(&self, by: &Claim, partition: &str, changes: Vec<Change>) -> Result<(), Error> {
        let (shared, namespace, by) = (Arc::clone(&self.shared), self.number, by.clone());
        let (partition, quota) = (partition.to_owned(), shared.quota(self.lane.tenant()));
        let written = self.lane.aside(move |turn| {
            let by = &by;
            let writing = Writing {
                namespace,
                by,
                quota,
            };
            shared.commit(&writing, &partition, changes, turn)
        });
        ended(written.await)
    }

    async fn get(&self, keys: &[Key]) -> Result<Vec<Option<Vec<u8>>>, Error> {
        // What is in the system's page cache is here sooner than another thread would be.
        if keys.len() <= KEYS_AT_ONCE
            && let Some(values) = self.shared.get(self.number, keys, Wait::Never)?
        {
            return Ok(values);
        }
        let (shared, number, keys) = (Arc::clone(&self.shared), self.number, keys.to_vec());
        let values = blocking(move || shared.get(number, &keys, Wait::ForDisk)).await?;
        values.ok_or_else(|| Error::Unavailable("kv did not wait for the disk".to_owned()))
    }

    async fn scan(&self, partition: &str, scan: &Scan) -> Result<Page, Error> {
        let (shared, number, scan) = (Arc::clone(&self.shared), self.number, scan.clone());
        let partition = partition.to_owned();
        blocking(move || shared.scan(number, &partition, &scan)).await
    }

    async fn reclaim(&self, by: &Claim, partition: &str) -> Result<(), Error> {
        let (shared, number, by) = (Arc::clone(&self.shared), self.number, by.clone());
        let partition = partition.to_owned();
        blocking(move || shared.reclaim(number, &by, &partition)).await
    }

    async fn writers(&self) -> Result<Vec<String>, Error> {
        let store = self.shared.store();
        let state = store.state();
        let writers = state.namespaces.get(&self.number).into_iter();
        let writers = writers.flat_map(|namespace| &namespace.writers);
        let mut names: Vec<_> = writers
            .filter(|(_, writer)| writer.committed)
            .map(|(name, _)| name.clone())
            .collect();
        names.sort();
        Ok(names)
    }

    async fn partitions(&self) -> Result<Vec<String>, Error> {
        let store = self.shared.store();
        let state = store.state();
        let names = state.namespaces.get(&self.number).into_iter();
        let names = names.flat_map(|namespace| &namespace.names);
        let live = names.filter(|(_, number)| {
            let partition = state.partitions.get(*number);
            partition.is_some_and(|partition| partition.reclaimed.is_none())
        });
        let mut names: Vec<_> = live.map(|(name, _)| name.clone()).collect();
        names.sort();
        Ok(names)
    }

    fn generation(&self) -> u64 {
        self.shared.generation.load(Ordering::SeqCst)
    }

    async fn sync(&self, generation: u64) -> Result<(), Error> {
        if matches!(self.shared.options.durability, Durability::Periodic(_)) {
            return Ok(());
        }
        let store = self.shared.store();
        // Asked after the store was taken: should it be opened anew meanwhile, the old one syncs nothing.
        if self.generation() != generation {
            return Err(Error::Unavailable(
                "the disk failed before this was on it, and the store was opened anew without it"
                    .to_owned(),
            ));
        }
        let before = store.state().changes;
        let _leader = self.shared.leader.lock().await;
        if store.state().synced_changes >= before {
            return Ok(());
        }
        let shared = Arc::clone(&self.shared);
        blocking(move || durable::sync(&store, &shared.syncs)).await
    }

    fn stored_bytes(&self) -> u64 {
        let store = self.shared.store();
        let state = store.state();
        state
            .namespaces
            .get(&self.number)
            .map_or(0, |namespace| namespace.stored)
    }
}
