//! Checks the data of a stopped server: calls the plugin's `check` until all of it was read.

use std::collections::HashSet;
use std::sync::Arc;

use larder_model::storage::Checked;
use larder_store as kv;
use xxhash_rust::xxh3::xxh3_128;

use super::offline::{Offline, OfflineRole};
use super::{Error, PluginConfig};
use crate::sandbox::guest::Instance;
use crate::sandbox::{Runtime, check, refusal};

/// A reader of a plugin on a store without writers.
pub struct Checkup {
    name: Arc<str>,
    version: String,
    /// None for a plugin that keeps its data in memory alone, and after the end.
    instance: Option<Instance>,
    resume: Option<Vec<u8>>,
    /// XXH3-128 of every `resume` so far: one that comes back would never end.
    seen: HashSet<u128>,
}

// === impl Checkup ===

impl Checkup {
    /// Loads the plugin, and opens it as a reader of one tenant if it keeps anything in `kv`.
    ///
    /// # Errors
    /// Everything that makes the plugin unusable, or its store: see [`Error`].
    pub async fn open(
        runtime: &Runtime,
        settings: PluginConfig,
        kv: Arc<dyn kv::Driver>,
        tenant: &str,
    ) -> Result<Self, Error> {
        let opened = Offline::open(runtime, settings, kv, (tenant, OfflineRole::Reader)).await?;
        Ok(Self {
            name: opened.name,
            version: opened.version,
            instance: opened.instance,
            resume: None,
            seen: HashSet::new(),
        })
    }

    /// The name that the plugin gives itself.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The version that the plugin gives itself.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The next step; none after the last.
    ///
    /// # Errors
    /// [`Error::Check`]: the plugin failed, broke the contract, or cannot go on. Nothing follows.
    pub async fn step(&mut self) -> Result<Option<Checked>, Error> {
        let Some(mut instance) = self.instance.take() else {
            return Ok(None);
        };
        let failed = |reason| Error::Check {
            plugin: self.name.to_string(),
            reason,
        };
        let resume = self.resume.as_deref();
        let step = match instance.check(resume).await {
            Ok(Ok(step)) => step,
            Ok(Err(raised)) => return Err(failed(refusal::describe(&raised))),
            Err(failure) => {
                return Err(failed(format!("{}: {}", failure.cause, failure.detail)));
            }
        };
        let broken = |breach: check::Breach| failed(breach.into_error(&self.name).to_string());
        check::checked(&step, resume).map_err(broken)?;
        if let Some(next) = &step.resume {
            if !self.seen.insert(xxh3_128(next)) {
                return Err(broken(check::repeated_resume()));
            }
            self.instance = Some(instance);
        }
        self.resume.clone_from(&step.resume);
        Ok(Some(step))
    }
}

#[cfg(test)]
mod tests;
