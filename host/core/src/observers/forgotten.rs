//! The observer of what is turned off.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use larder_model::storage::{
    Batch, Error, ErrorKind, Keep, KeepChange, Observer, Observers, Statistics, StorageSource,
};
use tokio::sync::Mutex;
use tracing::warn;

/// Bytes of keys in one commit.
const MAX_COMMIT: usize = 128 << 10;

/// Gives back what an observer has kept that is turned off. It does not follow the writes any more, so it must not find anything when it is
/// turned on again.
pub struct Forgotten;

struct ForgottenOfTenant {
    own: Mutex<State>,
    /// What dead hosts have kept whose data this host keeps up.
    dead: Mutex<HashMap<String, State>>,
}

struct State {
    keep: Arc<dyn Keep>,
    /// The generation in which everything was given back.
    cleared: Option<u64>,
}

// === impl Forgotten ===

#[async_trait::async_trait]
impl Observers for Forgotten {
    async fn open(
        &self,
        tenant: &str,
        keep: Arc<dyn Keep>,
        _storage: Weak<dyn StorageSource>,
    ) -> Arc<dyn Observer> {
        let mut state = State {
            keep,
            cleared: None,
        };
        if let Err(error) = state.clear().await {
            warn!(tenant.id = tenant, %error, "what is turned off is given back before the next write");
        }
        Arc::new(ForgottenOfTenant {
            own: Mutex::new(state),
            dead: Mutex::default(),
        })
    }
}

// === impl ForgottenOfTenant ===

#[async_trait::async_trait]
impl Observer for ForgottenOfTenant {
    async fn before_write(&self, _now: u64, _batches: &[&Batch]) -> Result<(), Error> {
        self.own.lock().await.clear().await
    }

    fn after_write(&self) {}

    fn counted(&self, _now: u64, _statistics: &Statistics) {}

    async fn forget(&self, keep: Arc<dyn Keep>) -> Result<(), Error> {
        self.dead.lock().await.clear();
        let mut state = self.own.lock().await;
        state.keep = keep;
        state.cleared = None;
        state.clear().await
    }

    /// What a dead host has kept does not tell what upkeep by this one drops.
    async fn before_upkeep(&self, dead: Option<&str>) -> Result<(), Error> {
        let Some(dead) = dead else {
            return Ok(());
        };
        let mut all = self.dead.lock().await;
        let Some(state) = all.get_mut(dead) else {
            let text = format!("what the dead host `{dead}` has kept is not adopted here");
            return Err(Error::new(ErrorKind::Unavailable, text));
        };
        state.clear().await
    }

    async fn adopted(&self, dead: &str, keep: Arc<dyn Keep>) {
        let state = State {
            keep,
            cleared: None,
        };
        self.dead.lock().await.insert(dead.to_owned(), state);
    }

    async fn close(&self) {}
}

// === impl State ===

impl State {
    /// Gives everything back, unless that has been done and was not lost.
    async fn clear(&mut self) -> Result<(), Error> {
        let generation = self.keep.generation();
        if self.cleared == Some(generation) {
            return Ok(());
        }
        loop {
            let (entries, more) = self.keep.scan(b"").await?;
            if entries.is_empty() {
                break;
            }
            let mut changes = Vec::new();
            let mut bytes = 0;
            for (key, _) in entries {
                if bytes + key.len() > MAX_COMMIT {
                    let full = std::mem::take(&mut changes);
                    self.keep.commit(full).await?;
                    bytes = 0;
                }
                bytes += key.len();
                changes.push(KeepChange::Delete(key));
            }
            self.keep.commit(changes).await?;
            if !more {
                break;
            }
        }
        for group in self.keep.groups().await? {
            self.keep.reclaim(&group).await?;
        }
        self.cleared = Some(generation);
        Ok(())
    }
}
