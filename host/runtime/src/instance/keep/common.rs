//! The place that all hosts of a shared store have together in a tenant's namespace. One of them at a time holds it: the one that claimed its id
//! last, which another takes over once that host is dead.
//!
//! | partition | contents |
//! |---|---|
//! | `_host/graph-holder/host` | the id of the host that holds it, under the key `host` |
//! | `_host/graph-holder/state/PLUGIN` | the state |
//! | `_host/graph-holder/group/NAME` | a group |

use std::sync::Arc;
use std::time::{Duration, Instant};

use larder_model::storage::{Common, Error, Keep};
use larder_store::{self as kv, Change, Claim, Entry, Key, Namespace};
use tokio::sync::{Mutex, RwLock};

use super::super::fence::Fence;
use super::hosts::IN_USE;
use super::{
    Claimed, Entries, KeepChange, committed_as, failed, groups, keys, objects, page, unclaimed,
    upkeep,
};

/// The id of the place's writer.
const HOLDER: &str = "_host/graph-holder";
/// The partition that tells which host holds the place.
const HOST: &str = "_host/graph-holder/host";
const HOST_KEY: &[u8] = b"host";
const GROUP: &str = "_host/graph-holder/group/";

/// Time after which a host tries again to take hold of what another one has.
const TRY_AGAIN: Duration = Duration::from_secs(10);

/// See the module.
pub(super) struct CommonPlace {
    namespace: Arc<dyn Namespace>,
    is_durable: bool,
    /// The id of this host, and what it has claimed itself.
    host: String,
    claimed: Arc<RwLock<Option<Claimed>>>,
    state: String,
    /// Locked for writing while the place's id is claimed. `None` while this host does not hold it.
    held: RwLock<Option<Claim>>,
    tried: Mutex<Option<Instant>>,
    fence: Fence,
}

/// The same as a place to keep things.
struct Together(Arc<CommonPlace>);

/// What an observer is given.
pub(super) struct Shown(pub(super) Arc<CommonPlace>);

// === impl CommonPlace ===

impl CommonPlace {
    pub(super) fn new(
        namespace: Arc<dyn Namespace>,
        is_durable: bool,
        (host, plugin): (&str, &str),
        claimed: Arc<RwLock<Option<Claimed>>>,
    ) -> Self {
        Self {
            namespace,
            is_durable,
            host: host.to_owned(),
            claimed,
            state: format!("{HOLDER}/state/{plugin}"),
            held: RwLock::default(),
            tried: Mutex::default(),
            fence: Fence::default(),
        }
    }

    async fn hold(&self) -> Result<Option<u64>, kv::Error> {
        let held = self.held.read().await.as_ref().map(|it| it.epoch);
        if held.is_some() && !self.fence.is_met() {
            return Ok(held);
        }
        let mut tried = self.tried.lock().await;
        let is_soon = tried.is_some_and(|it| it.elapsed() < TRY_AGAIN);
        if held.is_none() && is_soon {
            return Ok(None);
        }
        *tried = Some(Instant::now());
        let mut held = self.held.write().await;
        *held = None;
        match self.take().await {
            Ok(claim) => {
                self.fence.clear();
                let epoch = claim.as_ref().map(|it| it.epoch);
                *held = claim;
                Ok(epoch)
            }
            // Another host was faster, or another process has this host's id.
            Err(kv::Error::Fenced | kv::Error::Held(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn take(&self) -> Result<Option<Claim>, kv::Error> {
        self.check_own().await?;
        let is_known = self.namespace.writers().await?;
        if is_known.iter().any(|id| id == HOLDER)
            && self.namespace.adopt(HOLDER).await?.is_none()
            && !self.is_free().await?
        {
            return Ok(None);
        }
        // Also after an adoption, so that the driver knows it for this host's.
        let claim = upkeep(&self.namespace.claim(HOLDER).await?);
        let host = Change::Put(Entry {
            sort: HOST_KEY.to_vec(),
            value: self.host.clone().into_bytes(),
        });
        self.namespace.commit(&claim, HOST, vec![host]).await?;
        Ok(Some(claim))
    }

    /// Checks that no other process has this host's id.
    async fn check_own(&self) -> Result<(), kv::Error> {
        let claimed = self.claimed.read().await;
        let Some(Claimed { claim, state, .. }) = claimed.as_ref() else {
            return Err(kv::Error::Fenced);
        };
        let in_use = Change::Put(Entry {
            sort: IN_USE.to_vec(),
            value: Vec::new(),
        });
        let claim = upkeep(claim);
        self.namespace.commit(&claim, state, vec![in_use]).await
    }

    /// True if nobody has the place, or an earlier process of this host had it.
    async fn is_free(&self) -> Result<bool, kv::Error> {
        let key = Key {
            partition: HOST.to_owned(),
            sort: HOST_KEY.to_vec(),
        };
        let found = self.namespace.get(&[key]).await?;
        let holder = found.into_iter().next().flatten();
        Ok(holder.is_none_or(|holder| holder == self.host.as_bytes()))
    }

    async fn release(&self) -> Result<(), kv::Error> {
        let Some(claim) = self.held.write().await.take() else {
            return Ok(());
        };
        let nobody = vec![Change::Delete(HOST_KEY.to_vec())];
        self.namespace.commit(&claim, HOST, nobody).await
    }

    fn noted(&self, written: Result<(), kv::Error>) -> Result<(), Error> {
        self.fence.noted(written).map_err(|error| failed(&error))
    }
}

#[async_trait::async_trait]
impl Common for Shown {
    fn keep(&self) -> Arc<dyn Keep> {
        Arc::new(Together(Arc::clone(&self.0)))
    }

    async fn hold(&self) -> Result<Option<u64>, Error> {
        self.0.hold().await.map_err(|error| failed(&error))
    }

    async fn release(&self) -> Result<(), Error> {
        self.0.release().await.map_err(|error| failed(&error))
    }
}

#[async_trait::async_trait]
impl Keep for Together {
    fn is_durable(&self) -> bool {
        self.0.is_durable
    }

    async fn put(&self, name: &str, values: Vec<(Vec<u8>, Vec<u8>)>) -> Result<(), Error> {
        let objects = objects(&format!("{GROUP}{name}"), values);
        let held = self.0.held.read().await;
        let claim = held.as_ref().ok_or_else(unclaimed)?;
        self.0.noted(self.0.namespace.put(claim, objects).await)
    }

    async fn get(&self, name: &str, names: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>, Error> {
        let keys = keys(&format!("{GROUP}{name}"), names);
        let found = self.0.namespace.get(&keys).await;
        found.map_err(|error| failed(&error))
    }

    async fn commit(&self, changes: Vec<KeepChange>) -> Result<(), Error> {
        let changes = committed_as(changes);
        let held = self.0.held.read().await;
        let claim = held.as_ref().ok_or_else(unclaimed)?;
        let state = &self.0.state;
        let committed = self.0.namespace.commit(claim, state, changes);
        self.0.noted(committed.await)
    }

    async fn scan(&self, start: &[u8]) -> Result<Entries, Error> {
        page(&*self.0.namespace, &self.0.state, start.to_vec()).await
    }

    async fn reclaim(&self, name: &str) -> Result<(), Error> {
        let held = self.0.held.read().await;
        let claim = held.as_ref().ok_or_else(unclaimed)?;
        let group = format!("{GROUP}{name}");
        self.0.noted(self.0.namespace.reclaim(claim, &group).await)
    }

    async fn groups(&self) -> Result<Vec<String>, Error> {
        groups(&*self.0.namespace, GROUP).await
    }

    fn generation(&self) -> u64 {
        self.0.namespace.generation()
    }

    fn is_shared(&self) -> bool {
        true
    }
}
