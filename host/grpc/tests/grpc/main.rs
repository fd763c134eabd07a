//! The gRPC services over TCP on a storage that a test controls, for behaviour that no real plugin can be made to show.
//! Everything else about the wire is tested against the real binary, in the crate `larder-tests`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod age;
mod by_resource;
mod drain;
mod frames;
mod overtaken;
mod panics;
mod serving;
mod store;
mod turns;
