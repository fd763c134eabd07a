//! A purge: what a tenant has stored goes, and its name with it, so that it takes no place among `tenancy.max_tenants`.

use std::sync::Arc;

use futures_util::stream::{self, StreamExt as _};
use larder_model::TenantName;
use larder_model::storage::{self, ErrorKind};
use larder_store as kv;

use super::slot::{Slot, stopping};
use super::{Error, Tenants};
use crate::plugin::Tenant;

/// How many tenants are purged at a time.
const AT_A_TIME: usize = 16;

impl Tenants {
    /// Forgets what one tenant has stored, and then its name, unless the configuration names it or somebody calls it meanwhile. A write
    /// that is acknowledged after this returns is kept.
    ///
    /// # Errors
    /// [`Error`]; where the storage failed, some may be left.
    pub async fn purge(&self, name: &str) -> Result<(), Error> {
        let slot = self.find(Some(name))?;
        let stored = self.stored().await;
        let stored = stored.map_err(|source| Error::storage(name, source))?;
        self.purge_slot(&slot, stored.contains_key(name)).await
    }

    /// As [`Tenants::purge`], of all, also of those that are not open.
    ///
    /// # Errors
    /// The first failure; the others are purged nevertheless.
    pub async fn purge_all(&self) -> Result<(), Error> {
        let stored = self.stored().await;
        let stored = stored.map_err(|source| Error::storage("(all)", source))?;
        let known = stream::iter(self.slots()).map(|slot| {
            let stored = stored.contains_key(slot.name().as_str());
            async move { self.purge_slot(&slot, stored).await }
        });
        let mut failed: Vec<Error> = known
            .buffer_unordered(AT_A_TIME)
            .filter_map(|purged| std::future::ready(purged.err()))
            .collect()
            .await;
        // Names that no request can have, but that somebody has stored under.
        let nobodys = |name: &&String| name.parse::<TenantName>().is_err();
        for name in stored.keys().filter(nobodys) {
            let purged = forget(&*self.kv, name).await;
            failed.extend(purged.err().map(|source| Error::storage(name, source)));
        }
        match failed.into_iter().next() {
            None => Ok(()),
            Some(first) => Err(first),
        }
    }

    pub(super) async fn purge_slot(&self, slot: &Slot, stored: bool) -> Result<(), Error> {
        let failed = |source| Error::storage(slot.name().as_str(), source);
        slot.purge(&*self.kv, stored).await.map_err(failed)?;
        self.let_go(slot).await.map_err(failed)
    }

    /// Lets the name of a tenant go that has just been purged: the next call of it is the first one of a new tenant. It stays where
    /// the configuration names it, or somebody uses it now.
    async fn let_go(&self, slot: &Slot) -> Result<(), storage::Error> {
        if self.is_kept(slot) {
            return Ok(());
        }
        // Whoever calls from here on waits until the name is gone, and then makes it anew.
        let mut door = slot.door().await;
        let used = |tenant: &Arc<Tenant>| Arc::strong_count(tenant) > 1 || tenant.is_busy();
        if door.closed || door.gone {
            return Ok(());
        }
        let Ok(tenant) = slot.take_unless(used) else {
            return Ok(());
        };
        if let Some(tenant) = tenant {
            tenant.shutdown().await;
        }
        forget(&*self.kv, slot.name().as_str()).await?;
        let mut slots = self.slots_mut();
        // A reload may have named it meanwhile.
        if !self.is_kept(slot) {
            slots.remove(slot.name());
            door.gone = true;
        }
        Ok(())
    }

    fn is_kept(&self, slot: &Slot) -> bool {
        let options = self.options();
        !options.enabled || options.known.contains(slot.name())
    }
}

impl Slot {
    /// Forgets what the tenant has stored, whether or not its plugin is open; `stored` says whether it has a namespace.
    async fn purge(&self, kv: &dyn kv::Driver, stored: bool) -> Result<(), storage::Error> {
        let mut door = self.door().await;
        if let Some(tenant) = self.call() {
            // It cannot be put away meanwhile, as it is in use.
            drop(door);
            return tenant.purge().await;
        }
        if door.closed {
            return Err(stopping());
        }
        // By another purge; what is stored since then is another slot's.
        if door.gone {
            return Ok(());
        }
        if stored {
            let renewed = kv.renew(self.name().as_str()).await;
            renewed.map_err(|error| unavailable(&error))?;
        }
        // What kept it from opening may be gone.
        door.forget_failure();
        self.forget_reason();
        Ok(())
    }
}

/// Takes the namespace of a tenant that is not open.
async fn forget(kv: &dyn kv::Driver, tenant: &str) -> Result<(), storage::Error> {
    let forgotten = kv.forget(tenant).await;
    forgotten.map_err(|error| unavailable(&error))
}

fn unavailable(error: &kv::Error) -> storage::Error {
    let text = format!("its storage could not be purged: {error}");
    storage::Error::new(ErrorKind::Unavailable, text)
}
