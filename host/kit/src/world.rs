//! The plugin under test, and fresh stores to open it on.

use std::sync::Arc;

use larder_core::telemetry::Metrics;
use larder_model::DEFAULT_TENANT;
use larder_plugin::testing::{Breach, Called, answered};
use larder_runtime::plugin::{
    Component, Direct, Error, Host, Instancing, LoadChecks, PluginConfig, Runtime,
};
use larder_store::{Driver as _, MemoryDriver, Namespace};
use parking_lot::Mutex;

use crate::convert::called;
use crate::notes::Notes;
use crate::sandboxed::Sandboxed;

/// Instances that read beside the writer of a `replicated` plugin.
const READERS: usize = 2;

/// See the module.
pub(crate) struct World {
    tokio: tokio::runtime::Runtime,
    component: Arc<Component>,
    notes: Mutex<Notes>,
}

/// How a plugin is opened.
#[derive(Clone, Debug, Default)]
pub(crate) struct Opening {
    /// Its memory limit in bytes, if it is another than the configured one.
    pub(crate) memory: Option<u64>,
    /// A setting besides the configured ones.
    pub(crate) setting: Option<(String, String)>,
}

// === impl World ===

impl World {
    /// Compiles the plugin and asks what it is.
    pub(crate) fn load(runtime: &Runtime, config: PluginConfig) -> Result<Self, Error> {
        let tokio = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .map_err(|error| Error::Load {
                plugin: config.source.to_string(),
                reason: format!("no threads to run it on: {error}"),
            })?;
        let host = Host {
            runtime: runtime.clone(),
            kv: Arc::new(MemoryDriver::new()),
            metrics: Arc::new(Metrics::new()),
            observers: None,
        };
        let component = tokio.block_on(Component::load(&host, config, LoadChecks::Describe))?;
        Ok(Self {
            tokio,
            component,
            notes: Mutex::default(),
        })
    }

    pub(crate) fn component(&self) -> &Component {
        &self.component
    }

    pub(crate) fn is_replicated(&self) -> bool {
        self.component.instancing() == Instancing::Replicated
    }

    /// What was seen, in words.
    pub(crate) fn notes(&self) -> Vec<String> {
        let timeout = self.component.config().limits.call_timeout;
        self.notes.lock().told(timeout)
    }

    pub(crate) fn note(&self, change: impl FnOnce(&mut Notes)) {
        change(&mut self.notes.lock());
    }

    pub(crate) fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.tokio.block_on(future)
    }

    /// A store with nothing in it.
    pub(crate) fn namespace(&self) -> Result<Arc<dyn Namespace>, Breach> {
        self.block_on(MemoryDriver::new().open(DEFAULT_TENANT))
            .map_err(|error| store(&error))
    }

    /// Opens the plugin as configured, on an empty store.
    pub(crate) fn open(&self) -> Result<Sandboxed<'_>, Breach> {
        self.open_in(self.namespace()?)
    }

    /// Opens the plugin as configured, on a store.
    pub(crate) fn open_in(&self, namespace: Arc<dyn Namespace>) -> Result<Sandboxed<'_>, Breach> {
        answered("open", self.open_on(namespace, &Opening::default()))
    }

    /// Opens the plugin as configured to repair a store, on which no other instance is called meanwhile.
    pub(crate) fn open_repairer(&self, namespace: Arc<dyn Namespace>) -> Called<Direct> {
        self.block_on(async {
            let claim = namespace.claim(&MemoryDriver::new().writer_id()).await;
            let claim = claim.map_err(|error| store(&error))?;
            let opened = Direct::open_repairer(&self.component, namespace, &claim).await;
            called("open", opened, |instance| instance)
        })
    }

    /// Opens the plugin on a store.
    pub(crate) fn open_on(
        &self,
        namespace: Arc<dyn Namespace>,
        opening: &Opening,
    ) -> Called<Sandboxed<'_>> {
        let mut config = self.component.config().clone();
        config.settings.extend(opening.setting.clone());
        config.limits.memory = opening.memory.unwrap_or(config.limits.memory);
        let component = self.component.with(config);
        let opened = self.block_on(async {
            let claim = namespace.claim(&MemoryDriver::new().writer_id()).await;
            let claim = claim.map_err(|error| store(&error))?;
            let open = async |claim| {
                let opened =
                    Direct::open(&component, DEFAULT_TENANT, Arc::clone(&namespace), claim).await;
                called("open", opened, |instance| instance)
            };
            let writer = match open(Some(&claim)).await? {
                Ok(writer) => writer,
                Err(error) => return Ok(Err(error)),
            };
            let mut readers = Vec::new();
            while self.is_replicated() && readers.len() < READERS {
                match open(None).await? {
                    Ok(reader) => readers.push(reader),
                    Err(error) => return Ok(Err(error)),
                }
            }
            Ok(Ok((writer, readers)))
        })?;
        Ok(opened.map(|instances| Sandboxed::new(self, namespace, instances)))
    }
}

/// The kit's own store has failed, which it does not.
pub(crate) fn store(error: &larder_store::Error) -> Breach {
    Breach::new(
        "kit.store",
        format!("the kit's store in memory failed: {error}"),
    )
}
