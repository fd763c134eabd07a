//! Hostile clients: every call gets an answer or a status of the table "Errors on the wire" (`host/docs/architecture.md`), the
//! server's memory stays bounded, and a well-behaved client on another connection is served meanwhile.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod attacked;
mod bombs;
mod connections;
mod frames;
mod honest;
mod mutations;
mod oversized;
