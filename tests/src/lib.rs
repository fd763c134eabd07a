//! The harness of the end-to-end tests: the real `larder` binary on free ports, a client for every RPC, and an HTTP client for the
//! admin port.
//!
//! Architecture invariant: nothing here links the host's library. Tests see only what Jaeger sees.

#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "tests: a harness that cannot go on says so by a panic"
)]

mod answers;
mod background;
mod binary;
mod client;
mod cluster;
mod home;
pub mod http;
mod ledger;
mod plugins;
mod process;
mod rng;
mod rpc;
mod scene;
mod server;
pub mod status;
mod token;
mod wait;

pub use answers::{Trace, merge};
pub use background::{Background, Progress};
pub use client::{Client, method};
pub use cluster::{Cluster, Forwarder};
pub use home::{Home, replace};
pub use larder_oracle::{Query, SpanSearch, duration, timestamp, unset_duration, unset_timestamp};
pub use larder_oracle::{filter, otlp};
pub use ledger::{Export, Ledger};
pub use plugins::{Plugin, arm, disarm};
pub use rng::Rng;
pub use rpc::{Call, Reply};
pub use scene::Scene;
pub use server::{Exit, Larder, Options};
pub use token::{Tokens, token};
pub use wait::{PATIENCE, eventually, pace, patiently};

/// Runs each function of the list as one tokio test per plugin, in `mod kv`, `mod memory` and `mod minimal`. Each test has its own
/// [`Scene`] on a server that the suite shares. All plugins must give equal answers: they may be slow but never wrong.
#[macro_export]
macro_rules! every_plugin {
    ($($test:ident),* $(,)?) => {
        $crate::scenes![kv = Kv: $($test),*];
        $crate::scenes![memory = Memory: $($test),*];
        $crate::scenes![minimal = Minimal: $($test),*];
    };
}

/// Like [`every_plugin`], and also runs two plugins of `fixtures/`, which were built for an earlier version of the contract.
#[macro_export]
macro_rules! every_plugin_and_fixture {
    ($($test:ident),* $(,)?) => {
        $crate::every_plugin![$($test),*];
        $crate::scenes![minimal_0_1 = Minimal0_1: $($test),*];
        $crate::scenes![c_0_1 = C0_1: $($test),*];
    };
}

/// Runs each function of the list as a tokio test in `mod $name`, with a [`Scene`] of this plugin.
#[doc(hidden)]
#[macro_export]
macro_rules! scenes {
    ($name:ident = $plugin:ident: $($test:ident),*) => {
        mod $name {
            $(#[tokio::test] async fn $test() { super::$test($crate::Scene::new($crate::Plugin::$plugin).await).await; })*
        }
    };
}

/// Runs a function, which takes a [`Plugin`], as one tokio test per plugin, in a module of the function's name:
/// `with_plugins!(purges: kv = Kv, memory = Memory)`.
#[macro_export]
macro_rules! with_plugins {
    ($test:ident: $($name:ident = $plugin:ident),* $(,)?) => {
        mod $test {
            $(#[tokio::test] async fn $name() { super::$test($crate::Plugin::$plugin).await; })*
        }
    };
}
