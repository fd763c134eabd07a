//! Nothing acknowledged is ever lost: kills at random moments, torn and damaged files, disks that are full or refuse, and plugins
//! that are killed while they write.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod checks;
mod dice;
mod disk;
mod folder;
mod incomplete;
mod killed_plugins;
mod kills;
mod ledger;
mod load;
mod retention;
mod tails;
