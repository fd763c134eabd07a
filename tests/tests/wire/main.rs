//! The wire: every RPC over TCP, reflection and health, compression, limits, malformed and partially refused requests, and spans that
//! are returned as written.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod compression;
mod cut;
mod every_rpc;
mod frames;
mod health;
mod large;
mod large_values;
mod malformed;
mod nesting;
mod old_clients;
mod partial_success;
mod reflection;
mod span_messages;
mod verbatim;
