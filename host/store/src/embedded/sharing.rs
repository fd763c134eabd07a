//! Object files with more than one name.
//!
//! A snapshot may have a hard link to an object file. What is appended to that file would be in the snapshot too, and a server that was
//! started on the snapshot would append to the file of this store. So a file with more than one name is never written: the first put gives
//! the partition a copy of its own, in the file's place. Both stores follow this rule, and either may be the one that copies.
//!
//! `StoreState::shared` has the partitions with such a file. They are found when the store is opened, and added by a snapshot before it
//! makes the link. A put checks this under the same lock under which it reserves space in the file. A snapshot links no file in which a put
//! has reserved space and may still write.

use std::path::Path;
use std::sync::Arc;

use parking_lot::MutexGuard;

use super::shared::Shared;
use super::store::{Store, StoreState};
use crate::snapshot::Draft;
use crate::{Error, SnapshotError};

/// A put that has reserved space in an object file, until this is dropped. It must be dropped without the lock of the state.
pub(super) struct Placing<'a> {
    store: &'a Store,
    partition: u64,
}

// === impl Placing ===

impl<'a> Placing<'a> {
    pub(super) fn begin(store: &'a Store, state: &mut StoreState, partition: u64) -> Self {
        *state.writing.entry(partition).or_default() += 1;
        Self { store, partition }
    }
}

impl Drop for Placing<'_> {
    fn drop(&mut self) {
        let mut state = self.store.state();
        if let Some(puts) = state.writing.get_mut(&self.partition) {
            *puts -= 1;
            if *puts == 0 {
                state.writing.remove(&self.partition);
            }
        }
    }
}

// === impl Shared ===

impl Shared {
    /// Locks the state for a put into a partition whose object file has no other name. Gives the partition such a file if need be.
    pub(super) fn state_to_append<'a>(
        &self,
        store: &'a Store,
        partition: u64,
    ) -> Result<MutexGuard<'a, StoreState>, Error> {
        loop {
            let state = store.state();
            if !state.shared.contains(&partition) {
                return Ok(state);
            }
            drop(state);
            self.unshare(store, partition)?;
        }
    }

    /// Gives a partition an object file that has no other name. Commits and puts into other partitions go on meanwhile.
    fn unshare(&self, store: &Store, partition: u64) -> Result<(), Error> {
        let _sharing = self.sharing.lock();
        let length = {
            let mut state = store.state();
            state.check_writable()?;
            match state.partitions.get(&partition) {
                Some(record) if state.shared.contains(&partition) => record.file_length,
                _ => {
                    state.shared.remove(&partition);
                    return Ok(());
                }
            }
        };
        let failed = |error: std::io::Error| {
            Error::Unavailable(format!(
                "the file of a partition, which a snapshot has too, cannot be copied for more objects: {error}"
            ))
        };
        // The other names may be gone.
        let is_shared = store.objects.is_shared(partition).map_err(failed)?;
        let copy = is_shared.then(|| store.objects.copy(partition, length));
        let copy = copy.transpose().map_err(failed)?;
        {
            let mut state = store.state();
            // A partition that was removed meanwhile has no record, and must not get a file.
            if state.partitions.contains_key(&partition) {
                if let Some(copy) = &copy {
                    store.objects.replace(partition, copy).map_err(failed)?;
                }
            } else if let Some(copy) = &copy {
                std::fs::remove_file(copy).map_err(failed)?;
            }
            state.shared.remove(&partition);
        }
        store.objects.sync_names().map_err(failed)
    }

    /// Adds a hard link to a partition's object file to a snapshot, and returns `true`. Returns `false` if more than `length` bytes were
    /// reserved in the file, a put may be writing there, or it cannot be linked.
    pub(super) fn link(
        &self,
        store: &Arc<Store>,
        draft: &mut Draft<'_>,
        (partition, length): (u64, u64),
        (from, to): (&Path, &str),
    ) -> Result<bool, SnapshotError> {
        let _sharing = self.sharing.lock();
        if !Arc::ptr_eq(&self.store(), store) {
            return Err(reopened().into());
        }
        let was_shared = {
            let mut state = store.state();
            state.check_writable()?;
            let record = state.partitions.get(&partition);
            let is_same = record.is_some_and(|record| record.file_length == length);
            if !is_same || state.writing.contains_key(&partition) {
                return Ok(false);
            }
            !state.shared.insert(partition)
        };
        let linked = draft.link(from, to);
        if !was_shared && !matches!(linked, Ok(true)) {
            store.state().shared.remove(&partition);
        }
        linked
    }
}

/// The error of a snapshot of a store that was reopened because the disk failed.
pub(super) fn reopened() -> Error {
    Error::Unavailable(
        "the disk failed and the store was opened anew, so the snapshot was given up: repeat the call"
            .to_owned(),
    )
}
