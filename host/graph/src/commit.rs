//! Makes changes of the state durable, and reads it back.

use std::sync::Arc;

use larder_model::storage::{Error, ErrorKind, Keep, KeepChange};

use crate::entries::{self, Loaded, put_head};
use crate::shared::{Gate, Shared, unique};
use crate::state::{Drops, State};

/// Bytes of changes that are committed at once. A commit may have 256 KiB.
const COMMIT: usize = 128 << 10;

// === impl Shared ===

impl Shared {
    async fn load(&self, keep: &dyn Keep) -> Result<Loaded, Error> {
        entries::load(keep, unique(), self.config.day_buckets).await
    }

    /// Makes changes durable, a bounded number at a time, and with them the head, if it is not.
    pub(crate) async fn commit(&self, gate: &Gate, changes: Vec<KeepChange>) -> Result<(), Error> {
        let mut some = Vec::new();
        let mut bytes = 0;
        for change in changes {
            bytes += weight(&change);
            some.push(change);
            if bytes > COMMIT {
                self.commit_once(gate, std::mem::take(&mut some)).await?;
                bytes = 0;
            }
        }
        if some.is_empty() {
            return Ok(());
        }
        self.commit_once(gate, some).await
    }

    /// Makes changes durable at once, and with them the head, if it is not. The sums of the days whose buckets change are deleted.
    pub(crate) async fn commit_once(
        &self,
        _: &Gate,
        mut changes: Vec<KeepChange>,
    ) -> Result<(), Error> {
        let (keep, head, days) = {
            let inner = self.inner.lock();
            let head = (!inner.is_head_saved).then(|| (put_head(&inner.state), inner.head()));
            let days = inner.days_of(&self.config, &changes);
            changes.extend(inner.delete_days(&days));
            (Arc::clone(&inner.keep), head, days)
        };
        let saved = head.map(|(put, saved)| {
            changes.insert(0, put);
            saved
        });
        let committed = keep.commit(changes).await;
        let now = self.now();
        let mut inner = self.inner.lock();
        if committed.is_err() {
            // It may have happened all the same, so the state is read again.
            inner.is_unreadable = true;
            return committed;
        }
        inner.days_changed(days, &self.config, now);
        if let Some(saved) = saved {
            inner.is_head_saved = inner.head() == saved;
        }
        committed
    }

    /// Reads the state again if what was not durable has been lost, or if it could not be read.
    pub(crate) async fn refresh(&self, gate: &Gate) -> Result<(), Error> {
        let (keep, is_current) = {
            let inner = self.inner.lock();
            (Arc::clone(&inner.keep), inner.is_current())
        };
        if is_current {
            return Ok(());
        }
        let generation = keep.generation();
        match self.load(&*keep).await {
            Ok(loaded) => {
                let mut inner = self.inner.lock();
                inner.generation = generation;
                inner.install(loaded, self.now());
            }
            Err(error) if error.kind() == ErrorKind::DataLoss => {
                tracing::warn!(tenant = self.tenant, %error, "the service graph is made anew");
                self.inner.lock().generation = generation;
                self.begin_anew(gate).await?;
            }
            Err(error) => return Err(error),
        }
        self.changed.notify_one();
        Ok(())
    }

    /// Leaves all that is kept, and begins with the newest trace again.
    pub(crate) async fn begin_anew(&self, gate: &Gate) -> Result<(), Error> {
        {
            let mut inner = self.inner.lock();
            let drops = Drops {
                is_unknown: false,
                ..inner.state.drops
            };
            let mut state = State::unknown(unique());
            state.drops = drops;
            // Nothing is answered from it until it is durable.
            inner.replace(state);
            inner.is_unreadable = true;
            inner.has_orphans = true;
        }
        self.commit_once(gate, Vec::new()).await?;
        let keep = {
            let mut inner = self.inner.lock();
            inner.is_unreadable = false;
            Arc::clone(&inner.keep)
        };
        // What is left of the former series is deleted later.
        if let Ok(loaded) = self.load(&*keep).await {
            self.inner.lock().remains = loaded.remains;
        }
        Ok(())
    }
}

/// Bytes of a change, about.
fn weight(change: &KeepChange) -> usize {
    16 + match change {
        KeepChange::Put(key, value) => key.len() + value.len(),
        KeepChange::Delete(key) => key.len(),
    }
}
