//! Ways to store what the benches store: sandboxed or not, behind the one trait.

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
    Component, DEFAULT_TENANT, Host, Limits, LoadChecks, PluginConfig, Runtime, RuntimeConfig,
    Source,
};
use larder_store::MemoryDriver;

use super::native::{Native, Opening};

/// As many as one Export of the benchmark has.
pub(crate) const REQUEST_SPANS: u64 = 1_000;
/// An instance's memory: nothing is evicted, and nothing packed.
const MEMORY: u64 = 3 << 30;
/// Often, so that the upkeep of what was just written comes soon.
const MAINTAIN_EVERY: Duration = Duration::from_millis(20);

/// As the server's.
pub(crate) const INGEST: ingest::Limits = ingest::Limits {
    max_fragment_bytes: 1 << 20,
    max_batch_bytes: 8 << 20,
    max_message_bytes: 16 << 20,
};

/// A bundled plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plugin {
    Memory,
    /// `memory` that is soon full, and then evicts as much as it takes in.
    Full,
    Kv,
    /// The smallest that keeps what it is given; only sandboxed.
    Minimal,
}

/// A runtime as the server has it, but that guests' functions have names for `perf` where `LARDER_PERF_MAP` is set.
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

/// A request taken apart.
pub(crate) fn walk(ingest: &mut Ingest, request: &[u8]) -> Result<Vec<Batch>> {
    let ingested = ingest.walk(request).context("a request of the corpus")?;
    Ok(ingested.batches)
}

// === impl Plugin ===

impl Plugin {
    /// The word for tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Full => "full",
            Self::Kv => "kv",
            Self::Minimal => "minimal",
        }
    }

    /// Where the component is.
    fn source(self) -> Source {
        match self {
            Self::Memory | Self::Full => Source::Bundled("memory"),
            Self::Kv => Source::Bundled("kv"),
            Self::Minimal => Source::File(larder_tests::Plugin::Minimal.argument()),
        }
    }

    /// Nothing is evicted, unless it should be.
    fn settings(self) -> Vec<(String, String)> {
        match self {
            Self::Memory => vec![("max_traces".to_owned(), "100000000".to_owned())],
            Self::Full => vec![("max_traces".to_owned(), "5000".to_owned())],
            Self::Kv | Self::Minimal => Vec::new(),
        }
    }

    /// The compiled component, to open one empty store in memory after the other.
    pub(crate) async fn component(self, runtime: &Runtime) -> Result<Arc<Component>> {
        let settings = PluginConfig {
            source: self.source(),
            settings: self.settings(),
            limits: Limits {
                memory: MEMORY,
                maintain_every: MAINTAIN_EVERY,
                ..Limits::default()
            },
        };
        let host = Host {
            runtime: runtime.clone(),
            kv: Arc::new(MemoryDriver::new()),
            metrics: Arc::new(Metrics::new()),
        };
        Ok(Component::load(&host, settings, LoadChecks::Describe).await?)
    }

    /// The plugin in the sandbox, with an empty store in memory.
    pub(crate) async fn sandboxed(self, runtime: &Runtime) -> Result<Arc<dyn Storage>> {
        let component = self.component(runtime).await?;
        Ok(component.open(DEFAULT_TENANT).await?.pinned())
    }

    /// The plugin compiled for the machine at hand, with an empty store in memory. To be called inside a `LocalSet`.
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
