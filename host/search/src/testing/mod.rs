//! Fixtures of the tests of search: a naive storage that pages as oddly as the contract allows, and spans to put into it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "tests"
)]

mod memory;
#[cfg(test)]
mod respell;

use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, TryStreamExt as _};
use larder_core::telemetry::Metrics;
use larder_model::storage::Error;
use larder_oracle::otlp::{self, SpanBuilder};
use larder_proto::TracesBytes;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, Span, TracesData};
use prost::Message as _;

use super::{Limits, Searcher};

pub use memory::Memory;
#[cfg(test)]
pub(crate) use respell::respelled;

/// Limits that no test runs into unless it means to.
pub fn limits() -> Limits {
    Limits {
        default_depth: 100,
        max_depth: 1000,
        timeout: Duration::from_mins(10),
        judged_spans: u64::MAX,
        read_bytes: u64::MAX,
        max_message_bytes: 1 << 20,
        pagination: true,
    }
}

/// A searcher over the storage, within these limits.
pub fn searcher(memory: &Arc<Memory>, limits: Limits) -> Searcher {
    let storage: Arc<Memory> = Arc::clone(memory);
    Searcher::new(storage, limits, Arc::new(Metrics::new()))
}

/// Runs a future to its end.
pub fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap()
        .block_on(future)
}

/// All messages of a stream.
pub fn all<T>(stream: impl Stream<Item = Result<T, Error>>) -> Result<Vec<T>, Error> {
    run(stream.try_collect())
}

/// A resource of a service with one span.
pub fn of(service: &str, span: SpanBuilder) -> ResourceSpans {
    otlp::service(service).span(span).0
}

/// A span named "op" that lasts from `start` to `end`, in nanoseconds.
pub fn op(trace: u128, id: u64, start: u64, end: u64) -> SpanBuilder {
    let mut built = otlp::span(trace.to_be_bytes(), id).name("op").at(start);
    built.0.end_time_unix_nano = end;
    built
}

/// The spans of a message, in order.
pub fn spans(message: &TracesBytes) -> Vec<Span> {
    let data = TracesData::decode(message.0.clone()).unwrap();
    let spans = otlp::spans_of(&data.resource_spans);
    spans.map(|one| one.span.clone()).collect()
}
