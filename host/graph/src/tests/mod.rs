//! Tests of the whole: writes, work in the background and queries, on a native storage.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

mod bounds;
mod days;
mod explained;
mod graphs;
mod hosts;
mod keeping;
mod marks;
mod property;
mod races;
mod retention;
mod settling;
mod world;
