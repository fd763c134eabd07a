//! The binary as an operator meets it: what it prints, how it exits, how it stops.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod binary {
    mod commands;
    mod serving;
    mod support;
}
