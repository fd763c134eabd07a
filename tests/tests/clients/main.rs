//! Hostile clients: what they send is answered with a status of the table "Errors on the wire" (`host/docs/architecture.md`) or with
//! an answer, the server's memory stays bounded, and a client that behaves is served meanwhile, on a connection of its own.

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
mod giants;
mod mutants;
