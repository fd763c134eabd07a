//! The wire, complete: every RPC over TCP, reflection and health, compression, limits, what is malformed, what is refused in
//! part, and that what is read is what was written.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod compression;
mod every_rpc;
mod frames;
mod health;
mod large;
mod malformed;
mod partial_success;
mod reflection;
mod verbatim;
