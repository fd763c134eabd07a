//! Access to the ports: TLS, client certificates, tokens, limits.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod authority;
mod certificate_end;
mod exposed;
mod limits;
mod open_files;
mod peer;
mod reload;
mod snapshots;
mod tls;
mod tokens;
