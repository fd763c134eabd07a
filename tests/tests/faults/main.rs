//! What goes wrong and how it is told: plugins that trap, spin, grow, lie and raise errors, limits that are reached, and every row
//! of the table "Errors on the wire" (`host/docs/architecture.md`). After each, the next call is served.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod budgets;
mod crashes;
mod eviction;
mod lies;
mod misbehaviour;
mod poison;
mod raised;
mod replicated;
