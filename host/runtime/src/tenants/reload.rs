//! Reload: other plugins, settings and tenants while the server runs.
//!
//! Plugins that are open are replaced without a failed call; the others open with the new configuration. A tenant
//! whose plugin cannot be replaced goes on with the one it has, also after it was evicted, until a later reload succeeds.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::stream::{self, StreamExt as _};
use larder_core::telemetry::Chain;
use larder_model::TenantName;
use serde::Serialize;

use super::Tenants;
use super::config::{ComponentFiles, Config, LoadError, LoadedConfig};
use super::registry::Options;
use super::slot::Slot;
use crate::plugin::{self, Component, Exchanged};

/// Tenants that are changed at a time. Each opens instances.
const AT_A_TIME: usize = 4;

/// The effect of a reload on the tenants that are open.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Reloaded {
    /// Tenants with new instances.
    pub replaced: Vec<TenantName>,
    /// Tenants whose plugin could not be replaced and goes on as it was.
    pub failed: Vec<NotReplaced>,
}

/// A tenant whose plugin goes on as it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NotReplaced {
    /// Its name.
    pub tenant: TenantName,
    /// The reason.
    pub reason: String,
}

impl Tenants {
    /// The component of tenants without an override.
    pub fn default_component(&self) -> Arc<Component> {
        Arc::clone(&self.current.get().default.plugin)
    }

    /// Loads the components of a changed configuration, for [`Tenants::reload`]. No tenant changes.
    ///
    /// # Errors
    /// The first component that cannot be loaded, or that refuses its settings.
    pub async fn load(
        &self,
        config: Config,
        files: ComponentFiles,
    ) -> Result<LoadedConfig, LoadError> {
        self.current.get().reload(config, files).await
    }

    /// Takes another configuration: tenants that are open run it when this returns, others once they are opened.
    ///
    /// # Errors
    /// Without tenancy, a plugin that cannot replace the running one. Nothing has changed then.
    pub async fn reload(&self, config: LoadedConfig) -> Result<Reloaded, LoadError> {
        let enabled = self.options().enabled;
        if !enabled {
            let may = self.default_component().may_become(&config.default.plugin);
            may.map_err(|source| LoadError::new(None, source))?;
        }
        let before = self.replace_config(Arc::new(config));
        let now = self.current.get();
        // Also where nothing has changed: a tenant that failed at the last reload may succeed now.
        let slots = stream::iter(self.slots());
        let changed = slots.map(|slot| {
            let name = slot.name().clone();
            let before = Arc::clone(&before.of(name.as_str()).plugin);
            let next = Arc::clone(&now.of(name.as_str()).plugin);
            async move {
                let exchanged = slot.exchange(&before, &next).await;
                (name, exchanged)
            }
        });
        let changed: Vec<_> = changed.buffer_unordered(AT_A_TIME).collect().await;
        let mut reloaded = Reloaded::default();
        for (tenant, exchanged) in changed {
            match exchanged {
                Ok(Exchanged::Unchanged) => {}
                Ok(Exchanged::Replaced) => reloaded.replaced.push(tenant),
                Err(error) if !enabled => {
                    self.replace_config(before);
                    return Err(LoadError::new(None, error));
                }
                Err(error) => reloaded.failed.push(NotReplaced {
                    tenant,
                    reason: Chain(&error).to_string(),
                }),
            }
        }
        reloaded.replaced.sort();
        reloaded
            .failed
            .sort_by(|one, two| one.tenant.cmp(&two.tenant));
        Ok(reloaded)
    }

    /// Takes another list of tenants, other defaults and limits. Tenancy cannot be turned on or off by it. Tenants that are no longer in
    /// the list are evicted if they are idle, and their data stays.
    pub async fn set(&self, options: Options) {
        let gone: Vec<Arc<Slot>> = {
            let mut slots = self.slots_mut();
            for name in &options.known {
                let known = slots.entry(name.clone());
                known.or_insert_with_key(|name| {
                    Slot::away(name.clone(), &self.current.of(name.as_str()))
                });
            }
            let is_gone = |slot: &&Arc<Slot>| {
                let known = self.options();
                known.known.contains(slot.name()) && !options.known.contains(slot.name())
            };
            let gone = slots.values().filter(is_gone).cloned().collect();
            // Under the lock, so that no purge removes a tenant that is to be kept.
            self.set_options(options);
            gone
        };
        for slot in gone {
            slot.evict(Instant::now(), Duration::ZERO).await;
        }
    }
}

impl Slot {
    /// Has the tenant run `next`, if its plugin is open. Where that fails, it keeps the component that it runs: `before`, or an older
    /// one if an earlier reload failed too.
    async fn exchange(
        &self,
        before: &Arc<Component>,
        next: &Arc<Component>,
    ) -> Result<Exchanged, plugin::Error> {
        let mut lifecycle = self.lifecycle().await;
        let Some(plugin) = self.peek() else {
            let kept = lifecycle.kept.as_ref();
            // What is taken away does not come back with a component from before.
            let is_withdrawn = kept.is_some_and(|kept| next.withdraws_from(kept));
            if is_withdrawn || !before.is_same_as(next) {
                lifecycle.kept = None;
                lifecycle.forget_failure();
            }
            return Ok(Exchanged::Unchanged);
        };
        let exchanged = plugin.exchange(next).await;
        if exchanged.is_ok() || Arc::ptr_eq(&plugin.component(), next) {
            lifecycle.kept = None;
        } else if lifecycle.kept.is_none() {
            lifecycle.kept = Some(Arc::clone(before));
        }
        exchanged
    }
}
