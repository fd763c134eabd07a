//! Loading a plugin twice: the first time it is compiled, the second time what was compiled is there.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use larder_core::telemetry::Metrics;
use larder_runtime::plugin::{self, Component, Host, LoadChecks, PluginConfig, Runtime};
use larder_store::MemoryDriver;

use crate::error::Error;

/// A plugin that was loaded twice.
pub(crate) struct Loaded {
    pub(crate) component: Arc<Component>,
    first: Duration,
    cached: Duration,
}

/// Loads a plugin into a cache of its own, and once more from it.
pub(crate) async fn load(
    engine: impl Fn(&Path) -> Result<Runtime, plugin::Error>,
    config: PluginConfig,
) -> Result<Loaded, Error> {
    let folder = tempfile::tempdir();
    let folder = folder.map_err(|error| Error::setup("no folder for what is compiled", &error))?;
    let load = async || {
        let host = Host {
            runtime: engine(folder.path()).map_err(Error::Load)?,
            kv: Arc::new(MemoryDriver::new()),
            metrics: Arc::new(Metrics::new()),
            observers: None,
        };
        let begun = Instant::now();
        let loaded = Component::load(&host, config.clone(), LoadChecks::Open).await;
        Ok::<_, Error>((loaded.map_err(Error::Load)?, begun.elapsed()))
    };
    let (_, first) = load().await?;
    let (component, cached) = load().await?;
    Ok(Loaded {
        component,
        first,
        cached,
    })
}

// === impl Loaded ===

impl Loaded {
    /// Seconds that the first load took.
    pub(crate) fn first(&self) -> f64 {
        self.first.as_secs_f64()
    }

    /// Seconds that the second load took.
    pub(crate) fn cached(&self) -> f64 {
        self.cached.as_secs_f64()
    }
}
