//! Acknowledged data is never lost: kills at random moments, torn and damaged files, full and failing disks, and plugins that are killed
//! while they write.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod checks;
mod copies;
mod dependencies;
mod disk;
mod folder;
mod incomplete;
mod journal;
mod killed_plugins;
mod kills;
mod listed;
mod load;
mod purges;
mod repair;
mod retention;
mod snapshots;
