//! A purge deletes a tenant's data and removes the tenant, so that it no longer counts towards `tenancy.max_tenants`.

use std::sync::Arc;

use futures_util::stream::{self, StreamExt as _};
use larder_model::TenantName;
use larder_model::storage::{self, ErrorKind};
use larder_store as kv;

use super::slot::{Slot, stopping};
use super::{Error, Tenants};
use crate::plugin::Plugin;

/// Tenants that are purged at a time.
const AT_A_TIME: usize = 16;

impl Tenants {
    /// Deletes one tenant's data. The tenant itself is removed too, unless the configuration names it or a call uses it meanwhile. A
    /// write that is acknowledged after this returns is kept.
    ///
    /// # Errors
    /// [`Error`]; where the storage failed, some may be left.
    pub async fn purge(&self, name: &str) -> Result<(), Error> {
        let slot = match self.found(Some(name)).await {
            // It may be stored where this host has never looked.
            Err(unknown @ Error::Unknown { .. }) => {
                let is_outside = self.current.of(name).plugin.reaches_out();
                let parsed = name.parse::<TenantName>();
                let Some(name) = parsed.ok().filter(|_| is_outside && self.options().enabled)
                else {
                    return Err(unknown);
                };
                let slot = self.slot(&name);
                slot.map_err(|source| Error::storage(name.as_str(), source))?
            }
            found => found?,
        };
        let stored = self.stored().await;
        let stored = stored.map_err(|source| Error::storage(name, source))?;
        self.purge_slot(&slot, stored.contains_key(name)).await
    }

    /// Like [`Tenants::purge`], for all tenants, open or not.
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
        // Namespaces whose names no request can have.
        let unnameable = |name: &&String| name.parse::<TenantName>().is_err();
        for name in stored.keys().filter(unnameable) {
            let purged = forget(&*self.kv, name).await;
            failed.extend(purged.err().map(|source| Error::storage(name, source)));
        }
        match failed.into_iter().next() {
            None => Ok(()),
            Some(first) => Err(first),
        }
    }

    pub(super) async fn purge_slot(&self, slot: &Arc<Slot>, stored: bool) -> Result<(), Error> {
        let failed = |source| Error::storage(slot.name().as_str(), source);
        let configured = self.current.of(slot.name().as_str()).plugin;
        let running = slot.peek().map(|plugin| plugin.component());
        let kept = slot.lifecycle().await.kept.clone();
        let mut components = [Some(configured), running, kept].into_iter().flatten();
        if components.any(|component| component.reaches_out())
            && let Some(plugin) = self.enter(slot).await.map_err(failed)?
        {
            // Only the plugin can delete what it keeps elsewhere, and the rest goes with it.
            plugin.purge().await.map_err(failed)?;
            drop(plugin);
            self.remove(slot).await.map_err(failed)?;
            return Ok(());
        }
        if self.remove(slot).await.map_err(failed)? {
            return Ok(());
        }
        // The plugin is in use, or its tenant is in the configuration.
        slot.purge(&*self.kv, stored).await.map_err(failed)?;
        // The call that used it may have ended.
        self.remove(slot).await.map_err(failed)?;
        Ok(())
    }

    /// Stops the tenant's plugin, takes its namespace away, and removes its slot. Returns false, and does nothing, where the
    /// configuration names the tenant, its plugin is in use, or the slot is closed or removed already.
    async fn remove(&self, slot: &Slot) -> Result<bool, storage::Error> {
        if self.is_kept(slot) {
            return Ok(false);
        }
        // Calls from here on wait until the slot is removed, and then make another.
        let mut lifecycle = slot.lifecycle().await;
        if lifecycle.closed || lifecycle.removed {
            return Ok(false);
        }
        let Ok(plugin) = slot.take_unless(Plugin::is_used) else {
            return Ok(false);
        };
        if let Some(plugin) = plugin {
            plugin.shutdown().await;
        }
        forget(&*self.kv, slot.name().as_str()).await?;
        lifecycle.forget_failure();
        slot.forget_reason();
        let mut slots = self.slots_mut();
        // A reload may have named it meanwhile.
        if !self.is_kept(slot) {
            slots.remove(slot.name());
            lifecycle.removed = true;
        }
        Ok(true)
    }

    pub(super) fn is_kept(&self, slot: &Slot) -> bool {
        let options = self.options();
        !options.enabled || options.known.contains(slot.name())
    }
}

impl Slot {
    /// Deletes the tenant's data, whether or not its plugin is open; `stored` is true if it has a namespace.
    async fn purge(&self, kv: &dyn kv::Driver, stored: bool) -> Result<(), storage::Error> {
        let mut lifecycle = self.lifecycle().await;
        if let Some(plugin) = self.call() {
            // It is not evicted meanwhile, as it is in use.
            drop(lifecycle);
            return plugin.purge().await;
        }
        if lifecycle.closed {
            return Err(stopping());
        }
        // Removed by another purge. The data that was stored since then belongs to another slot.
        if lifecycle.removed {
            return Ok(());
        }
        if stored {
            let renewed = kv.renew(self.name().as_str()).await;
            renewed.map_err(|error| unavailable(&error))?;
        }
        // The cause of the last failed opening may be gone.
        lifecycle.forget_failure();
        self.forget_reason();
        Ok(())
    }
}

/// Takes the namespace of a tenant away whose plugin is not open.
async fn forget(kv: &dyn kv::Driver, tenant: &str) -> Result<(), storage::Error> {
    let forgotten = kv.forget(tenant).await;
    forgotten.map_err(|error| unavailable(&error))
}

fn unavailable(error: &kv::Error) -> storage::Error {
    let text = format!("its storage could not be purged: {error}");
    storage::Error::new(ErrorKind::Unavailable, text)
}
