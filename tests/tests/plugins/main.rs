//! Plugins that fail, misbehave or are full: a guest that does each misdeed in each of its functions (`tests/guests`), files that are
//! no plugins, and limits that are reached. After each the caller has the status of the architecture's table, the next call is
//! served, the server's memory is what it was, and log and metrics name the plugin and what it did.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod attack;
mod attacked;
mod beginnings;
mod budgets;
mod checks;
mod compile;
mod eviction;
mod files;
mod leaks;
mod lies;
mod misdeeds;
mod pauses;
mod poison;
mod replicated;
mod starts;
