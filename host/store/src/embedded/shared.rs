//! What the driver, its namespaces and its upkeep share: the store that is open now.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lsm_tree::AbstractTree;
use parking_lot::RwLock;
use tracing::{info, warn};

use super::durable::{self, Syncs};
use super::faults::Faults;
use super::open::Access;
use super::space::Space;
use super::store::Store;
use super::{Options, open};
use crate::{Error, Quotas};

/// See the module.
pub(super) struct Shared {
    pub(super) options: Options,
    store: RwLock<Arc<Store>>,
    quotas: RwLock<Quotas>,
    /// Grows each time the store is opened anew and what was not synced is lost.
    pub(super) generation: AtomicU64,
    /// Whoever has it syncs for all that wait.
    pub(super) leader: tokio::sync::Mutex<()>,
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
        let store = open::open(&options.dir, access, faults.clone())?;
        Ok(Self {
            quotas: RwLock::new(options.quotas.clone()),
            options,
            store: RwLock::new(Arc::new(store)),
            generation: AtomicU64::new(0),
            leader: tokio::sync::Mutex::default(),
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

    /// Unix milliseconds.
    #[expect(clippy::unused_self, reason = "the clock belongs to the store")]
    pub(super) fn now(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        since.map_or(0, |since| {
            u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
        })
    }

    /// Opens the store anew if the disk has failed it: at the last frame that was synced, with every writer fenced.
    ///
    /// # Errors
    /// As `open::open`; it can be tried again.
    pub(super) fn recover(&self) -> Result<(), Error> {
        let old = self.store();
        // Nobody flushes the old tree while the new one reads its tables; nor afterwards, as it has failed.
        let _flushing = old.tree.get_flush_lock();
        let good = {
            let state = old.state();
            let Some(failed) = &state.failed else {
                return Ok(());
            };
            warn!(error = failed, "opening the kv store anew");
            state.synced
        };
        let access = Access::Write { good: Some(good) };
        let store = open::open(&self.options.dir, access, self.faults.clone())?;
        let mut current = self.store.write();
        self.generation.fetch_add(1, Ordering::SeqCst);
        *current = Arc::new(store);
        info!("the kv store is open again");
        Ok(())
    }

    /// Removes what was reclaimed more than `linger` ago, and what belongs to purged namespaces.
    pub(super) fn remove_reclaimed(&self, linger: Duration) -> Result<(), Error> {
        let store = self.store();
        let before = self
            .now()
            .saturating_sub(u64::try_from(linger.as_millis()).unwrap_or(u64::MAX));
        let (doomed, given_up): (_, Vec<u64>) = {
            let mut state = store.state();
            if state.failed.is_some() {
                return Ok(());
            }
            let expired = state.partitions.iter();
            let expired =
                expired.filter(|(_, partition)| partition.reclaimed.is_some_and(|at| at <= before));
            let expired: Vec<u64> = expired.map(|(number, _)| *number).collect();
            let mut doomed = std::mem::take(&mut state.doomed);
            doomed.extend(expired);
            if doomed.is_empty() {
                return Ok(());
            }
            let mut garbage = 0;
            for number in &doomed {
                let Some(partition) = state.partitions.remove(number) else {
                    continue;
                };
                garbage += partition.in_tree;
                state.changed.remove(number);
                state.unsynced.remove(number);
                state.uncut.remove(number);
                if let Some(namespace) = state.namespaces.get_mut(&partition.namespace) {
                    namespace.names.remove(&partition.name);
                }
            }
            state.head.garbage += garbage;
            store.change(&mut state, |change| {
                for number in &doomed {
                    change.delete(&super::record::key(super::record::PARTITION, *number, &[]));
                    change.give_up(*number);
                }
                let head = change.state().head.encode();
                change.put(super::record::HEAD, &head);
            });
            (doomed, state.given_up.iter().copied().collect())
        };
        // Should the process end before the files are gone, opening the store finds the records that they are given up. The other
        // way round, a crash could leave records of partitions without their files.
        durable::sync(&store, &self.syncs)?;
        for number in doomed {
            store.live.remove(number);
        }
        remove_given_up(&store, &given_up);
        Ok(())
    }
}

/// Removes the files of these, whose records that they are given up are on disk; then the records.
pub(super) fn remove_given_up(store: &Store, given_up: &[u64]) {
    if given_up.is_empty() {
        return;
    }
    let mut removed = Vec::with_capacity(given_up.len());
    for number in given_up {
        match store.objects.remove(*number) {
            Ok(()) => removed.push(*number),
            Err(error) => {
                warn!(%error, "the file of a reclaimed partition could not be removed");
            }
        }
    }
    // A file that a crash brings back after its record has gone would be one that nothing refers to.
    if let Err(error) = store.objects.sync_names() {
        warn!(%error, "the removal of files could not be brought to disk");
        return;
    }
    let mut state = store.state();
    let state = &mut *state;
    let partitions = state.partitions.values();
    let needed: HashSet<u64> = partitions.map(|partition| partition.namespace).collect();
    store.change(state, |change| {
        for number in removed {
            if !needed.contains(&number) {
                change.is_gone(number);
            }
        }
    });
}
