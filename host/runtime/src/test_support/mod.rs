//! Shared by the unit tests of this crate.

#![allow(clippy::unwrap_used, reason = "tests")]

pub(crate) mod guest;

use std::path::{Path, PathBuf};

use larder_model::storage::{
    Batch, BatchBuilder, DurationRange, FragmentFacts, SpanKind, TimeRange, TraceId,
};
use tempfile::TempDir;

use crate::component::{Limits, PluginConfig, Source};
use crate::sandbox::{Grants, Runtime, RuntimeConfig};

/// A component in a file of its own, as an operator has it; the file goes when this is dropped.
pub(crate) struct GuestFile {
    _folder: TempDir,
    path: PathBuf,
}

// === impl GuestFile ===

impl GuestFile {
    pub(crate) fn new(component: &[u8]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("guest.wasm");
        let file = Self {
            _folder: folder,
            path,
        };
        file.replace(component);
        file
    }

    /// Puts another component in its place.
    pub(crate) fn replace(&self, component: &[u8]) {
        std::fs::write(&self.path, component).unwrap();
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// To open it within these limits, with no settings of its own.
    pub(crate) fn settings(&self, limits: Limits) -> PluginConfig {
        PluginConfig {
            source: Source::File(self.path.clone()),
            settings: Vec::new(),
            limits,
            grants: Grants::default(),
        }
    }
}

/// A runtime without a compilation cache.
pub(crate) fn runtime() -> Runtime {
    Runtime::new(&RuntimeConfig::default()).unwrap()
}

/// A batch of one fragment with one operation.
pub(crate) fn batch(trace: u128, otlp: &[u8]) -> Batch {
    batch_with(trace, otlp, "service")
}

/// A batch of one fragment with one operation of `service`.
pub(crate) fn batch_with(trace: u128, otlp: &[u8], service: &str) -> Batch {
    let mut builder = BatchBuilder::default();
    let service = builder.push_service(service);
    let operation = builder.push_operation(service, "name", SpanKind::Server);
    builder.terms().extend([1, 2, 3]);
    builder.fragment_operations().push(operation);
    builder.digest().extend_from_slice(b"digest");
    builder.otlp().extend_from_slice(otlp);
    builder.finish_fragment(FragmentFacts {
        trace_id: TraceId(trace),
        span_count: 1,
        starts: TimeRange { start: 5, end: 5 },
        durations: DurationRange {
            shortest: 1,
            longest: 1,
        },
    });
    builder.build()
}
