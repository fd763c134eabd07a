//! What a plugin is granted, and what it is refused: a guest that reaches for everything (`tests/guests/src/reaching.rs`) through the real
//! binary, beside servers that it may reach and others that it may not. What is refused is counted and logged.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod bounds;
mod http;
mod outside;
mod peer;
mod purges;
mod tcp;

use larder_tests::http as admin;
use larder_tests::otlp::{service, span};
use larder_tests::{Client, Larder, Options, Plugin};

/// A server with the guest, and these grants.
fn granted<'a>(grants: impl IntoIterator<Item = &'a str>) -> Options {
    let options = Options::new(Plugin::Reaching);
    grants.into_iter().fold(options, Options::grant)
}

/// Has the guest attempt something, and returns what came of it.
async fn attempt(client: &Client, attempt: &str) -> String {
    let one = span([7; 16], 1).at(5);
    client.store([service(attempt).span(one)]).await;
    outcome(client, attempt).await
}

async fn outcome(client: &Client, attempt: &str) -> String {
    let outcomes = client.services().await.unwrap();
    let start = format!("{attempt}: ");
    let outcome = outcomes.iter().find_map(|it| it.strip_prefix(&start));
    outcome
        .unwrap_or_else(|| panic!("no `{attempt}` in {outcomes:?}"))
        .to_owned()
}

#[track_caller]
fn assert_failed(outcome: &str, attempt: &str) {
    assert!(outcome.starts_with("failed: "), "{attempt}: {outcome}");
}

/// How often the guest was refused something for this reason.
fn refused(larder: &Larder, reason: &str) -> u64 {
    let reason = format!("reason=\"{reason}\"");
    let labels = ["tenant=\"default\"", "plugin=\"reaching\"", &reason];
    let name = "larder_plugin_connections_refused_total";
    admin::count(&larder.metrics(), name, &labels)
}
