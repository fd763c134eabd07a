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

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use futures_util::{Stream, TryStreamExt as _};
#[cfg(test)]
use larder_core::fair::Scheduler;
use larder_core::telemetry::Metrics;
use larder_model::storage::Error;
use larder_oracle::otlp::{self, SpanBuilder};
use larder_proto::TracesBytes;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, Span, TracesData};
use prost::Message as _;
use tokio::runtime::{Builder, Runtime};

#[cfg(test)]
use super::Omission;
#[cfg(test)]
use super::beside::{Beside, Share};
#[cfg(test)]
use super::budget::Budget;
#[cfg(test)]
use super::session::Session;
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
        dependencies_timeout: Duration::from_mins(10),
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

/// Every piece of a page is worth a task.
#[cfg(test)]
const SMALLEST_TASKS: Share = Share {
    pieces: 1,
    bytes: 1,
    parts: 4,
};

/// The same searcher with tasks beside its queries, which are as small as can be.
#[cfg(test)]
pub(crate) fn with_tasks(searcher: Searcher) -> Searcher {
    // So many turns that there is always one.
    static SCHEDULER: LazyLock<Arc<Scheduler>> =
        LazyLock::new(|| Arc::new(Scheduler::new(1000, 1000)));
    let lane = SCHEDULER.lane("a");
    Searcher {
        beside: Beside::new(Some(lane)).with_share(SMALLEST_TASKS),
        ..searcher
    }
}

/// With tasks for every other seed.
#[cfg(test)]
pub(crate) fn with_tasks_by_seed(searcher: Searcher, seed: u64) -> Searcher {
    if seed.is_multiple_of(2) {
        with_tasks(searcher)
    } else {
        searcher
    }
}

/// The session of a query over the storage.
#[cfg(test)]
pub(crate) fn session(memory: Memory, beside: Beside) -> Session {
    let metrics = Arc::new(Metrics::new());
    let budget = Budget::new(&limits(), Arc::clone(&metrics));
    let omission = Omission::new(metrics);
    Session::new(Arc::new(memory), limits(), budget, omission).with_beside(beside)
}

/// Runs a future to its end.
pub fn run<T>(future: impl Future<Output = T>) -> T {
    // One for all tests: a runtime that is dropped waits for the threads of tasks, which linger.
    static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
        let mut runtime = Builder::new_multi_thread();
        runtime.worker_threads(1).enable_time().build().unwrap()
    });
    RUNTIME.block_on(future)
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
