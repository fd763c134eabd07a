//! What stands between the network and the services: TLS, certificates of clients, tokens, limits.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod authority;
mod exposed;
mod limits;
mod peer;
mod reload;
mod tls;
mod tokens;
