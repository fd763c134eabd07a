//! Test data for Larder and the expected answers, for unit tests, property tests and benchmarks.
//!
//! - [`otlp`], [`filter`] and [`Query`] build spans and queries.
//! - `strategies` generates random exports, queries and filters.
//! - [`Oracle`] evaluates queries by brute force.
//! - [`corpus`] generates the spans of the benchmarks from a seed.
//!
//! Architecture invariant: nothing here shares code with the server, except the messages of OTLP and of Jaeger.

#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "tests: what cannot be built or judged ends them"
)]

pub mod filter;
#[cfg(feature = "grpc")]
pub mod grpc;
mod oracle;
pub mod otlp;
mod query;
#[cfg(feature = "strategies")]
pub mod strategies;

pub use larder_corpus as corpus;
pub use oracle::{
    Oracle, TraceId, calls, compare, depth, kind, newest_match, service, string_form, summary,
    times,
};
pub use query::{Query, SpanSearch, duration, timestamp, unset_duration, unset_timestamp};
