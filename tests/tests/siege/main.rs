//! The sandbox, proven by attack: a guest that misbehaves in each of its functions (`tests/guests/rogue`), and files that are no
//! plugins. Each case is a line of a table. After each the caller has the status of the table "Errors on the wire"
//! (`host/docs/architecture.md`), the next call is served, the server's memory is what it was, and log and metrics name the plugin
//! and what it did.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod beginnings;
mod cells;
mod checks;
mod compile;
mod files;
mod leaks;
mod lies;
mod misdeeds;
mod pauses;
mod siege;
mod starts;
