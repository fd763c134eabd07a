//! Observers: what the host derives from a tenant's data learns from these traits what happens to it.

use std::sync::{Arc, Weak};

use super::keep::Keep;
use super::{Batch, Error, Statistics, Storage};

/// Told of what happens to one tenant's data, by the one task that writes it.
///
/// [`Observer::before_write`] and [`Observer::forget`] are called with the plugin's writer locked, which also reads where the plugin has
/// but one instance. So they must not wait for a read of the tenant's [`Storage`].
#[async_trait::async_trait]
pub trait Observer: Send + Sync + 'static {
    /// Returns an error for a batch that can no longer be written, as it refers to what is gone. It is refused with that, and the others of its
    /// write are not. Asked of each batch right before [`Observer::before_write`], at the same time and with the writer locked.
    fn admit(&self, _now: u64, _batch: &Batch) -> Result<(), Error> {
        Ok(())
    }

    /// Before these batches are given to the plugin, at `now`. On an error they are refused with it.
    async fn before_write(&self, now: u64, batches: &[&Batch]) -> Result<(), Error>;

    /// The write of the last [`Observer::before_write`] that succeeded has ended, whatever came of it.
    fn after_write(&self);

    /// The plugin's counters, after its upkeep; those of an exclusive plugin also after each write, and before [`Observer::after_write`].
    fn counted(&self, now: u64, statistics: &Statistics);

    /// Everything that was stored is gone: a purge, or an exclusive plugin's new instance. `keep` is the new place, which is empty; no
    /// write is under way. On an error nothing that was kept is used any more either.
    async fn forget(&self, keep: Arc<dyn Keep>) -> Result<(), Error>;

    /// The tenant is being closed: ends its work in the background.
    async fn close(&self);

    /// Before the plugin's upkeep changes anything that is stored under this host's id, or under that of a dead host whose data this one keeps
    /// up. On an error it changes nothing. Not asked where the data is not shared.
    ///
    /// # Errors
    /// `Unavailable` where it cannot be noted durably.
    async fn before_upkeep(&self, _dead: Option<&str>) -> Result<(), Error> {
        Ok(())
    }

    /// A step of upkeep has ended. Where it may have changed something, [`Observer::before_upkeep`] was told, and `upkept` says what came of it.
    async fn after_upkeep(&self, _dead: Option<&str>, _now: u64, _upkept: Upkept) {}

    /// This host keeps up the data of a dead one from now on: whatever that one has under way is fenced. `keep` is the dead host's place.
    async fn adopted(&self, _dead: &str, _keep: Arc<dyn Keep>) {}

    /// Bytes of memory that are held for the tenant, about. It may be asked at any time.
    fn memory(&self) -> u64 {
        0
    }
}

/// What came of a step of upkeep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upkept {
    /// Whether the instance has counted something that it dropped in this step; `None` if the step has changed nothing.
    pub has_dropped: Option<bool>,
    /// [`Statistics::oldest_write`] after the step.
    pub oldest_write: Option<u64>,
}

/// Makes the observers of tenants.
#[async_trait::async_trait]
pub trait Observers: Send + Sync + 'static {
    /// A tenant is opened. `storage` reads it; it gives none once the tenant is closed. An error does not keep the tenant from opening:
    /// the observer then answers as if nothing were kept.
    async fn open(
        &self,
        tenant: &str,
        keep: Arc<dyn Keep>,
        storage: Weak<dyn StorageSource>,
    ) -> Arc<dyn Observer>;
}

/// Gives the storage for reads in the background.
pub trait StorageSource: Send + Sync + 'static {
    /// The tenant's storage for one piece of work, which sees all that was written before this call. The tenant may be closed meanwhile, and
    /// calls fail then.
    fn storage(self: Arc<Self>) -> Arc<dyn Storage>;
}
