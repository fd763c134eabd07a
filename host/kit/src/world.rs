//! The plugin under test, and fresh stores to open it on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use larder_core::telemetry::Metrics;
use larder_plugin::testing::{Breach, Called, answered, raised};
use larder_runtime::plugin::{
    Component, Direct, Error, Host, Instancing, LoadChecks, Place, PluginConfig, Runtime,
};
use larder_store::{Claim, Driver as _, MemoryDriver, Namespace};
use parking_lot::Mutex;

use crate::convert::called;
use crate::faults::Faulty;
use crate::notes::Notes;
use crate::sandboxed::Sandboxed;

/// Instances that read beside the writer of a `replicated` plugin.
const READERS: usize = 2;

/// See the module.
pub(crate) struct World {
    tokio: tokio::runtime::Runtime,
    component: Arc<Component>,
    notes: Mutex<Notes>,
    /// The beginning of the names of this run's tenants.
    stem: String,
    /// The stores that were made so far, if the plugin may keep something outside of them.
    made: Mutex<Vec<Place>>,
    numbers: AtomicU64,
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
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let since = since.unwrap_or_default();
        let component = tokio.block_on(Component::load(&host, config, LoadChecks::Describe))?;
        Ok(Self {
            tokio,
            component,
            notes: Mutex::default(),
            stem: format!("larder-test-{:x}", since.as_nanos()),
            made: Mutex::default(),
            numbers: AtomicU64::new(1),
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

    /// A store with nothing in it, of a tenant that nobody has.
    pub(crate) fn place(&self) -> Result<Place, Breach> {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let tenant = format!("{}-{number}", self.stem);
        let namespace = self.block_on(MemoryDriver::new().open(&tenant));
        let place = Place {
            tenant: tenant.into(),
            namespace: namespace.map_err(|error| store(&error))?,
        };
        if self.reaches_out() {
            self.made.lock().push(place.clone());
        }
        Ok(place)
    }

    /// As [`World::place`], with a store that fails when it is told to.
    pub(crate) fn faulty_place(&self) -> Result<(Arc<Faulty>, Place), Breach> {
        let place = self.place()?;
        let faulty = Arc::new(Faulty::new(place.namespace));
        let namespace = Arc::clone(&faulty) as Arc<dyn Namespace>;
        Ok((faulty, Place { namespace, ..place }))
    }

    /// True if the plugin is granted connections.
    pub(crate) fn reaches_out(&self) -> bool {
        self.component.config().grants.reaches_out()
    }

    /// Has the plugin delete what it has kept outside of the stores that were made so far, as far as it can.
    pub(crate) fn tidy(&self) {
        for place in std::mem::take(&mut *self.made.lock()) {
            let purged = self.purge(&place);
            let left = match purged {
                Ok(Ok(())) => continue,
                Ok(Err(error)) => raised(&error),
                Err(breach) => breach.text,
            };
            self.note(|notes| notes.left(&place.tenant, &left));
        }
    }

    /// Calls `purge` of a writer that is opened for it.
    pub(crate) fn purge(&self, place: &Place) -> Called<()> {
        self.block_on(async {
            let claim = claim(place).await?;
            let opened = Direct::open(&self.component, place, Some(&claim)).await;
            let mut writer = match called("open", opened, |instance| instance)? {
                Ok(writer) => writer,
                Err(error) => return Ok(Err(error)),
            };
            called("purge", writer.purge().await, |()| ())
        })
    }

    /// Opens the plugin as configured, on an empty store.
    pub(crate) fn open(&self) -> Result<Sandboxed<'_>, Breach> {
        self.open_in(self.place()?)
    }

    /// Opens the plugin as configured, on a store.
    pub(crate) fn open_in(&self, place: Place) -> Result<Sandboxed<'_>, Breach> {
        answered("open", self.open_on(place, &Opening::default()))
    }

    /// Opens the plugin as configured to repair a store, on which no other instance is called meanwhile.
    pub(crate) fn open_repairer(&self, place: &Place) -> Called<Direct> {
        self.block_on(async {
            let claim = claim(place).await?;
            let opened = Direct::open_repairer(&self.component, place, &claim).await;
            called("open", opened, |instance| instance)
        })
    }

    /// Opens the plugin on a store.
    pub(crate) fn open_on(&self, place: Place, opening: &Opening) -> Called<Sandboxed<'_>> {
        let mut config = self.component.config().clone();
        config.settings.extend(opening.setting.clone());
        config.limits.memory = opening.memory.unwrap_or(config.limits.memory);
        let component = self.component.with(config);
        let opened = self.block_on(async {
            let claim = claim(&place).await?;
            let open = async |claim| {
                let opened = Direct::open(&component, &place, claim).await;
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
        Ok(opened.map(|instances| Sandboxed::new(self, place, instances)))
    }
}

/// A writer's claim of a store, which fences the one before.
async fn claim(place: &Place) -> Result<Claim, Breach> {
    let id = MemoryDriver::new().writer_id();
    let claimed = place.namespace.claim(&id).await;
    claimed.map_err(|error| store(&error))
}

/// The kit's own store has failed, which it does not.
pub(crate) fn store(error: &larder_store::Error) -> Breach {
    Breach::new(
        "kit.store",
        format!("the kit's store in memory failed: {error}"),
    )
}
