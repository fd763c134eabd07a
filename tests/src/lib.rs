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
mod home;
pub mod http;
mod plugins;
mod process;
mod rpc;
mod scene;
mod server;
pub mod status;
mod token;
mod wait;

pub use answers::{Trace, merge};
pub use background::{Background, Progress};
pub use client::{Client, method};
pub use home::{Home, replace};
pub use larder_oracle::{Query, duration, timestamp, unset_duration, unset_timestamp};
pub use larder_oracle::{filter, otlp};
pub use plugins::{Plugin, arm, disarm};
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
        mod kv {
            $(#[tokio::test] async fn $test() { super::$test($crate::Scene::new($crate::Plugin::Kv).await).await; })*
        }
        mod memory {
            $(#[tokio::test] async fn $test() { super::$test($crate::Scene::new($crate::Plugin::Memory).await).await; })*
        }
        mod minimal {
            $(#[tokio::test] async fn $test() { super::$test($crate::Scene::new($crate::Plugin::Minimal).await).await; })*
        }
    };
}

/// Like [`every_plugin`], and also runs two plugins of `fixtures/`, which were built for an earlier version of the contract.
#[macro_export]
macro_rules! every_plugin_and_fixture {
    ($($test:ident),* $(,)?) => {
        $crate::every_plugin![$($test),*];
        mod minimal_0_1 {
            $(#[tokio::test] async fn $test() { super::$test($crate::Scene::new($crate::Plugin::Minimal0_1).await).await; })*
        }
        mod c_0_1 {
            $(#[tokio::test] async fn $test() { super::$test($crate::Scene::new($crate::Plugin::C0_1).await).await; })*
        }
    };
}
