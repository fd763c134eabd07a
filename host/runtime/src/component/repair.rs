//! Repairs the data of a stopped server: calls the plugin's `repair` until it has come to the end.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use larder_model::storage::{Remade, Repaired};
use larder_store as kv;

use super::offline::{Offline, OfflineRole};
use super::{Error, PluginConfig};
use crate::instance::keep;
use crate::instance::starter::Starter;
use crate::sandbox::guest::Instance;
use crate::sandbox::{Runtime, check, refusal};

/// An instance of a plugin that repairs what a tenant has stored.
pub struct Repair {
    name: Arc<str>,
    /// None for a plugin that keeps its data in memory alone, and after the end.
    instance: Option<Instance>,
    starter: Starter,
}

/// Gives back all that the host derives from a tenant's traces and keeps beside them: it is derived anew once the tenant is open. `false`,
/// and nothing is changed, if there is none. For a store that no server has open; in one that several hosts share, what the others keep is
/// theirs, and stays.
///
/// # Errors
/// The driver's.
pub async fn forget_derived(kv: &dyn kv::Driver, tenant: &str) -> Result<bool, kv::Error> {
    let namespace = kv.open(tenant).await?;
    let forgotten = keep::forget(&*namespace, kv).await?;
    if forgotten {
        namespace.sync(namespace.generation()).await?;
    }
    Ok(forgotten)
}

// === impl Repair ===

impl Repair {
    /// Loads the plugin, and opens it to repair what one tenant has stored, if it keeps anything in `kv`.
    ///
    /// # Errors
    /// Everything that makes the plugin unusable, or its store: see [`Error`]. [`Error::Repair`] for a version of the contract without
    /// `repair`.
    pub async fn open(
        runtime: &Runtime,
        settings: PluginConfig,
        kv: Arc<dyn kv::Driver>,
        tenant: &str,
    ) -> Result<Self, Error> {
        let opened = Offline::open(runtime, settings, kv, (tenant, OfflineRole::Repairer)).await?;
        Ok(Self {
            name: opened.name,
            instance: opened.instance,
            starter: opened.starter,
        })
    }

    /// False for a plugin that keeps nothing in `kv`.
    pub fn has_own_data(&self) -> bool {
        self.instance.is_some()
    }

    /// The next step; none after the last. `remade` answers what the step before asked for.
    ///
    /// # Errors
    /// [`Error::Repair`]: the plugin failed, broke the contract, or cannot go on. Nothing follows.
    pub async fn step(&mut self, remade: &[Remade]) -> Result<Option<Repaired>, Error> {
        let Some(mut instance) = self.instance.take() else {
            return Ok(None);
        };
        let failed = |reason| Error::Repair {
            plugin: self.name.to_string(),
            reason,
        };
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = since.map_or(0, |it| u64::try_from(it.as_nanos()).unwrap_or(u64::MAX));
        let step = match instance.repair(now, remade).await {
            Ok(Ok(step)) => step,
            Ok(Err(raised)) => return Err(failed(refusal::describe(&raised))),
            Err(failure) => {
                return Err(failed(format!("{}: {}", failure.cause, failure.detail)));
            }
        };
        let broken = |breach: check::Breach| failed(breach.into_error(&self.name).to_string());
        check::repaired(&step).map_err(broken)?;
        if step.more || !step.remake.is_empty() {
            self.instance = Some(instance);
        }
        Ok(Some(step))
    }

    /// Brings to disk what the steps have written.
    ///
    /// # Errors
    /// [`Error::Kv`] if the disk fails.
    pub async fn sync(&self) -> Result<(), Error> {
        let namespace = self.starter.namespace();
        let synced = namespace.sync(namespace.generation()).await;
        synced.map_err(|source| Error::Kv {
            plugin: self.name.to_string(),
            source,
        })
    }
}

#[cfg(test)]
mod tests;
