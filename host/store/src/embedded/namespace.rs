//! A tenant's namespace. Work that may wait for the disk runs on tokio's blocking threads.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use larder_core::fair::Lane;
use tokio::task::JoinError;

use super::Durability;
use super::durable;
use super::objects::Wait;
use super::shared::Shared;
use crate::{Change, Claim, Error, Key, Namespace, Object, Page, Scan, Stored};

/// Maximum number of values to read on the async thread, if they are in memory. Decompressing a block takes about 30 us.
const MAX_INLINE_KEYS: usize = 16;

/// A namespace of the embedded driver.
pub(super) struct EmbeddedNamespace {
    shared: Arc<Shared>,
    number: u64,
    /// The tenant's lane. Writes are compressed within its turns.
    lane: Lane,
}

/// The claim of a write, and the quota of its tenant.
pub(super) struct Writing {
    pub(super) namespace: u64,
    pub(super) by: Claim,
    pub(super) quota: Option<u64>,
}

/// Runs work that may wait for the disk.
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

// === impl EmbeddedNamespace ===

impl EmbeddedNamespace {
    pub(super) fn new(shared: Arc<Shared>, number: u64, tenant: &str) -> Self {
        Self {
            number,
            lane: shared.options.scheduler.lane(tenant),
            shared,
        }
    }

    fn writing(&self, by: &Claim) -> Writing {
        Writing {
            namespace: self.number,
            by: by.clone(),
            quota: self.shared.quota(self.lane.tenant()),
        }
    }
}

#[async_trait::async_trait]
impl Namespace for EmbeddedNamespace {
    async fn claim(&self, writer: &str) -> Result<Claim, Error> {
        let (shared, number, writer) = (Arc::clone(&self.shared), self.number, writer.to_owned());
        blocking(move || shared.claim(number, &writer)).await
    }

    async fn retire(&self, by: &Claim) -> Result<(), Error> {
        let (shared, number, by) = (Arc::clone(&self.shared), self.number, by.clone());
        blocking(move || shared.retire(number, &by)).await
    }

    async fn is_current(&self) -> Result<bool, Error> {
        let store = self.shared.store();
        let state = store.state();
        Ok(state.namespaces.contains_key(&self.number))
    }

    async fn put(&self, by: &Claim, objects: Vec<Object>) -> Result<(), Error> {
        let (shared, writing) = (Arc::clone(&self.shared), self.writing(by));
        let put = move |turn| shared.put(&writing, objects, turn);
        ended(self.lane.aside(put).await)
    }

    async fn commit(&self, by: &Claim, partition: &str, changes: Vec<Change>) -> Result<(), Error> {
        let (shared, writing) = (Arc::clone(&self.shared), self.writing(by));
        let partition = partition.to_owned();
        let commit = move |turn| shared.commit(&writing, &partition, changes, turn);
        ended(self.lane.aside(commit).await)
    }

    async fn get(&self, keys: &[Key]) -> Result<Vec<Option<Vec<u8>>>, Error> {
        // Reading from the system's page cache is faster than switching to another thread.
        if keys.len() <= MAX_INLINE_KEYS
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
        blocking(move || shared.scan(number, &partition, None, &scan)).await
    }

    async fn scan_stored(&self, partition: &str, kind: Stored, scan: &Scan) -> Result<Page, Error> {
        let (shared, number, scan) = (Arc::clone(&self.shared), self.number, scan.clone());
        let partition = partition.to_owned();
        blocking(move || shared.scan(number, &partition, Some(kind), &scan)).await
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
        match self.shared.options.durability {
            Durability::Periodic(_) => return Ok(()),
            Durability::Sync => {}
        }
        let store = self.shared.store();
        // Read after `store`: if the store is reopened in between, the old one syncs nothing.
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

    fn partition_bytes(&self, partition: &str) -> Option<u64> {
        let store = self.shared.store();
        let state = store.state();
        let number = state.find(self.number, partition)?;
        state.partitions.get(&number).map(|it| it.stored)
    }

    fn host_bytes(&self) -> u64 {
        let store = self.shared.store();
        let state = store.state();
        let namespace = state.namespaces.get(&self.number);
        namespace.map_or(0, |namespace| namespace.of_host)
    }
}
