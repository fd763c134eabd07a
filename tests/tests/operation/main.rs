//! The operator's view: configuration from three sources and its errors, the admin port, metrics, logs, start and stop.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod admin;
mod attributes;
mod behind_jaeger;
mod cassandra;
mod clock;
mod configuration;
mod metrics;
mod start;
mod starting;
mod stop;
