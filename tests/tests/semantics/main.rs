//! The semantics that Jaeger expects beyond its protos, item by item (`host/docs/rules.md`): W1 to W8, E1 to E9, G1 to G3, Q1 to Q16,
//! S1 to S8, O1 and O2, D1 to D5, F1 to F4 and A1 to A3, with Larder's choices where the reference leaves some. Each test runs against
//! `kv`, `memory` and `minimal`, and against plugins that were built for an earlier version of the contract; all must give equal answers.
//! A4, Jaeger's own acceptance, is `jaeger_cases`.
//!
//! `LARDER_TESTS_ENDPOINT=127.0.0.1:17271` runs them against another storage, to compare with Jaeger's own.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod capabilities;
mod contract_0_1;
mod dependencies;
mod find;
mod find_attributes;
mod find_special_keys;
mod get_traces;
mod pages;
mod services;
mod span_order;
mod span_pages;
mod span_times;
mod spans;
mod summaries;
mod wire;
mod writes;
