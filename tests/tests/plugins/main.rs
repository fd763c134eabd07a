//! Plugins that fail, misbehave or are full: a guest that does each misdeed in each of its functions (`tests/guests`), invalid plugin
//! files, and limits. After each case the caller has the status of the table in architecture.md, the next call is served, the
//! server's memory is as before, and log and metrics name the plugin and the misdeed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod attack;
mod attacked;
mod backoff;
mod bench;
mod budgets;
mod checks;
mod compile;
mod eviction;
mod files;
mod instantiation;
mod kit;
mod leaks;
mod lies;
mod misdeeds;
mod new;
mod poison;
mod replicated;
mod starts;
