//! State shared by the driver, its namespaces and its upkeep: the open store.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lsm_tree::AbstractTree;
use parking_lot::{Mutex, RwLock};
use tracing::{info, warn};

use super::durable::{self, Syncs};
use super::faults::Faults;
use super::open::Access;
use super::space::Space;
use super::store::Store;
use super::{Options, open};
use crate::{Error, Quotas};

/// The open store with the state that survives reopening it.
pub(super) struct Shared {
    pub(super) options: Options,
    store: RwLock<Arc<Store>>,
    quotas: RwLock<Quotas>,
    /// Number of times that the store was reopened and unsynced writes were lost.
    pub(super) generation: AtomicU64,
    /// Held by the call that syncs for all waiting calls.
    pub(super) leader: tokio::sync::Mutex<()>,
    /// Held by the call that makes a snapshot.
    pub(super) snapshotting: Mutex<()>,
    /// Read-locked while object files are removed. A snapshot holds the other lock until it has the files that it needs.
    pub(super) removals: RwLock<()>,
    /// Held while an object file is given another name, or a file of its own, and while the store is reopened. Locked before the store's
    /// locks.
    pub(super) sharing: Mutex<()>,
    pub(super) space: Space,
    pub(super) syncs: Syncs,
    pub(super) damage: AtomicU64,
    pub(super) faults: Faults,
}

// === impl Shared ===

impl Shared {
    pub(super) fn open(
        options: Options,
        access: Access<'_>,
        space: Space,
        faults: Faults,
    ) -> Result<Self, Error> {
        let store = open::open(&options, access, faults.clone())?;
        Ok(Self {
            quotas: RwLock::new(options.quotas.clone()),
            options,
            store: RwLock::new(Arc::new(store)),
            generation: AtomicU64::new(0),
            leader: tokio::sync::Mutex::default(),
            snapshotting: Mutex::default(),
            removals: RwLock::default(),
            sharing: Mutex::default(),
            space,
            syncs: Syncs::default(),
            damage: AtomicU64::default(),
            faults,
        })
    }

    pub(super) fn store(&self) -> Arc<Store> {
        Arc::clone(&self.store.read())
    }

    pub(super) fn quota(&self, tenant: &str) -> Option<u64> {
        self.quotas.read().of(tenant)
    }

    pub(super) fn set_quotas(&self, quotas: Quotas) {
        *self.quotas.write() = quotas;
    }

    /// Current time in Unix milliseconds.
    #[expect(clippy::unused_self, reason = "the clock belongs to the store")]
    pub(super) fn now(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        since.map_or(0, |since| {
            u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
        })
    }

    /// Reopens the store if the disk has failed, at the last synced frame and with every writer fenced.
    ///
    /// # Errors
    /// As `open::open`. The call can be repeated.
    pub(super) fn recover(&self) -> Result<(), Error> {
        let old = self.store();
        // The lock keeps the old tree from being flushed while the new one reads its tables. Later it is not flushed because it has failed.
        let _flushing = old.tree.get_flush_lock();
        let last_synced = {
            let state = old.state();
            let Some(failed) = &state.failed else {
                return Ok(());
            };
            warn!(error = failed, "opening the kv store anew");
            state.synced
        };
        let access = Access::Write {
            last_synced: Some(last_synced),
        };
        // The new store finds the files with more than one name when it is opened, so none may get another name until it is in use.
        let _sharing = self.sharing.lock();
        let store = open::open(&self.options, access, self.faults.clone())?;
        let mut current = self.store.write();
        self.generation.fetch_add(1, Ordering::SeqCst);
        *current = Arc::new(store);
        info!("the kv store is open again");
        Ok(())
    }

    /// Removes partitions that were reclaimed more than `linger` ago, and those of purged namespaces. Removes none while a snapshot is made.
    pub(super) fn remove_reclaimed(&self, linger: Duration) -> Result<(), Error> {
        let Some(_removing) = self.removals.try_read() else {
            return Ok(());
        };
        let store = self.store();
        let before = self
            .now()
            .saturating_sub(u64::try_from(linger.as_millis()).unwrap_or(u64::MAX));
        let (to_remove, dropped): (_, Vec<u64>) = {
            let mut state = store.state();
            if state.failed.is_some() {
                return Ok(());
            }
            let expired = state.partitions.iter();
            let expired =
                expired.filter(|(_, partition)| partition.reclaimed.is_some_and(|at| at <= before));
            let expired: Vec<u64> = expired.map(|(number, _)| *number).collect();
            let mut to_remove = std::mem::take(&mut state.to_remove);
            to_remove.extend(expired);
            if to_remove.is_empty() {
                return Ok(());
            }
            let mut garbage = 0;
            for number in &to_remove {
                let Some(partition) = state.partitions.remove(number) else {
                    continue;
                };
                garbage += partition.in_tree;
                state.changed.remove(number);
                state.unsynced.remove(number);
                state.untruncated.remove(number);
                state.shared.remove(number);
                if let Some(namespace) = state.namespaces.get_mut(&partition.namespace) {
                    namespace.names.remove(&partition.name);
                }
            }
            state.head.garbage += garbage;
            store.write_batch(&mut state, |batch| {
                for number in &to_remove {
                    batch.delete(&super::record::key(super::record::PARTITION, *number, &[]));
                    batch.mark_dropped(*number);
                }
                let head = batch.state().head.encode();
                batch.put(super::record::HEAD, &head);
            });
            (to_remove, state.dropped.iter().copied().collect())
        };
        // If the process ends before the files are removed, opening the store finds the records that they were dropped. The other way
        // round, a crash could leave records of partitions without files.
        durable::sync(&store, &self.syncs)?;
        for number in to_remove {
            store.live.remove(number);
        }
        remove_dropped(&store, &dropped);
        Ok(())
    }
}

/// Removes the files of dropped partitions, and then the records that they were dropped. Those records are on disk.
pub(super) fn remove_dropped(store: &Store, dropped: &[u64]) {
    if dropped.is_empty() {
        return;
    }
    let mut removed = Vec::with_capacity(dropped.len());
    for number in dropped {
        match store.objects.remove(*number) {
            Ok(()) => removed.push(*number),
            Err(error) => {
                warn!(%error, "the file of a reclaimed partition could not be removed");
            }
        }
    }
    // Sync before the records are deleted: a file that reappears after a crash without its record would be an orphan.
    if let Err(error) = store.objects.sync_names() {
        warn!(%error, "the removal of files could not be brought to disk");
        return;
    }
    let mut state = store.state();
    let state = &mut *state;
    let partitions = state.partitions.values();
    let needed: HashSet<u64> = partitions.map(|partition| partition.namespace).collect();
    store.write_batch(state, |batch| {
        for number in removed {
            if !needed.contains(&number) {
                batch.clear_dropped(number);
            }
        }
    });
}
