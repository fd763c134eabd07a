//! The storages of the benches: plugins, sandboxed or native, behind one trait.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use larder_core::telemetry::Metrics;
use larder_ingest::{self as ingest, Ingest};
use larder_kv::Kv;
use larder_memory::Memory;
use larder_model::storage::{Batch, Storage};
use larder_oracle::corpus::Corpus;
use larder_runtime::plugin::{
    Component, DEFAULT_TENANT, Grants, Host, Limits, LoadChecks, PluginConfig, Runtime,
    RuntimeConfig, Source,
};
use larder_store::MemoryDriver;

use super::native::{Native, Opening};

/// Spans of an Export, as in `tests/bench`.
pub(crate) const REQUEST_SPANS: u64 = 1_000;
/// Memory of an instance, enough that nothing is evicted or packed.
const MEMORY: u64 = 3 << 30;
/// A short interval, so that maintenance follows soon after the writes.
const MAINTAIN_EVERY: Duration = Duration::from_millis(20);

/// The limits of the server.
pub(crate) const INGEST: ingest::Limits = ingest::Limits {
    max_fragment_bytes: 1 << 20,
    max_batch_bytes: 8 << 20,
    max_span_bytes: 16 << 20,
    max_listed_bytes: 16 << 20,
};

/// A bundled plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plugin {
    Memory,
    /// `memory` with little room, which evicts as much as it stores.
    Full,
    Kv,
    /// `minimal`; only sandboxed.
    Minimal,
}

/// The runtime of the server; with `LARDER_PERF_MAP` set, `perf` finds the names of guest functions.
pub(crate) fn runtime() -> Result<Runtime> {
    let config = RuntimeConfig {
        perf_map: std::env::var_os("LARDER_PERF_MAP").is_some(),
        ..RuntimeConfig::default()
    };
    Ok(Runtime::new(&config)?)
}

/// The requests of the corpus, encoded.
pub(crate) fn requests(corpus: &Corpus) -> Vec<bytes::Bytes> {
    let all = 0..corpus.requests();
    all.map(|index| corpus.request(index).bytes).collect()
}

/// The batches of a request.
pub(crate) fn walk(ingest: &mut Ingest, request: &[u8]) -> Result<Vec<Batch>> {
    let ingested = ingest.walk(request).context("a request of the corpus")?;
    Ok(ingested.batches)
}

// === impl Plugin ===

impl Plugin {
    /// The name in tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Full => "full",
            Self::Kv => "kv",
            Self::Minimal => "minimal",
        }
    }

    /// The path of the component.
    fn source(self) -> Source {
        match self {
            Self::Memory | Self::Full => Source::Bundled("memory"),
            Self::Kv => Source::Bundled("kv"),
            Self::Minimal => Source::File(larder_tests::Plugin::Minimal.argument()),
        }
    }

    /// Settings with which only `full` evicts.
    fn settings(self) -> Vec<(String, String)> {
        match self {
            Self::Memory => vec![("max_traces".to_owned(), "100000000".to_owned())],
            Self::Full => vec![("max_traces".to_owned(), "5000".to_owned())],
            Self::Kv | Self::Minimal => Vec::new(),
        }
    }

    /// The compiled component, for opening empty stores in memory.
    pub(crate) async fn component(self, runtime: &Runtime) -> Result<Arc<Component>> {
        let settings = PluginConfig {
            source: self.source(),
            settings: self.settings(),
            limits: Limits {
                memory: MEMORY,
                maintain_every: MAINTAIN_EVERY,
                ..Limits::default()
            },
            grants: Grants::default(),
        };
        let host = Host {
            runtime: runtime.clone(),
            kv: Arc::new(MemoryDriver::new()),
            metrics: Arc::new(Metrics::new()),
            observers: None,
        };
        Ok(Component::load(&host, settings, LoadChecks::Describe).await?)
    }

    /// The sandboxed plugin, on an empty store in memory.
    pub(crate) async fn sandboxed(self, runtime: &Runtime) -> Result<Arc<dyn Storage>> {
        let component = self.component(runtime).await?;
        Ok(component.open(DEFAULT_TENANT).await?.pinned())
    }

    /// The native plugin, on an empty store in memory. Call it inside a `LocalSet`.
    pub(crate) async fn native(self) -> Result<Arc<dyn Storage>> {
        let opening = Opening {
            settings: self.settings(),
            memory: MEMORY,
            maintain_every: MAINTAIN_EVERY,
        };
        let driver = MemoryDriver::new();
        Ok(match self {
            Self::Memory | Self::Full => Arc::new(Native::<Memory>::open(&opening, &driver).await?),
            Self::Kv => Arc::new(Native::<Kv>::open(&opening, &driver).await?),
            Self::Minimal => bail!("minimal is there as a component only"),
        })
    }
}
