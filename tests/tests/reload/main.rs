//! A server that is told to read its configuration again, by SIGHUP and by `POST /reload`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod by;
mod doors;
mod load;
mod plugin_file;
mod refused;
mod settings;
mod tenants;
mod tokens;

use std::path::PathBuf;

use larder_tests::http::{self, Response};
use larder_tests::otlp::{service, span};
use larder_tests::{Client, Home, Larder, Options, Plugin, replace};
use serde_json::Value;

/// Where a server of [`of_file`] has its plugin.
fn plugin_path(home: &Home) -> PathBuf {
    home.path().join("plugin.wasm")
}

/// A server with deadlines that a loaded machine keeps, and its plugin in a file of its own.
fn of_file(home: &Home, plugin: Plugin, build: u8) -> Options {
    write_build(home, plugin, build);
    let path = plugin_path(home).display().to_string();
    Options::bare().patient().arguments(["--plugin", &path])
}

/// Puts another build of the plugin in the place of the file: the same code, told apart by a section that means nothing.
fn write_build(home: &Home, plugin: Plugin, build: u8) {
    let mut bytes = std::fs::read(plugin.argument()).unwrap();
    // A custom section: its id, the length of what follows, the name with its length, the content.
    bytes.extend([0, 7, 5]);
    bytes.extend(b"build");
    bytes.push(build);
    replace(&plugin_path(home), &bytes);
}

/// Changes the file that `Options::config` has written.
fn configure(home: &Home, yaml: &str) {
    replace(&home.path().join("larder.yaml"), yaml);
}

/// `POST /reload`, which has to be answered by a report.
fn reload(larder: &Larder) -> Value {
    let answer = larder.post("/reload");
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()
}

/// `POST /reload`, which has to be refused in words that hold this.
#[track_caller]
fn is_refused(larder: &Larder, text: &str) -> Response {
    let answer = larder.post("/reload");
    assert_eq!(answer.status, 422, "{}", answer.body);
    assert!(
        answer.body.starts_with("nothing has changed: "),
        "{}",
        answer.body
    );
    assert!(answer.body.contains(text), "{}", answer.body);
    answer
}

/// How many reloads ended so.
fn reloads(larder: &Larder, outcome: &str) -> u64 {
    let label = format!("outcome=\"{outcome}\"");
    http::count(&larder.metrics(), "larder_reloads_total", &[&label])
}

/// The settings that a report lists under `needs_restart`.
fn need_restart(report: &Value) -> Vec<&str> {
    let listed = report["needs_restart"].as_array().unwrap();
    let paths = listed.iter().map(|it| it["setting"].as_str().unwrap());
    paths.collect()
}

/// The hash of the component that runs.
fn hash(larder: &Larder) -> String {
    let status = larder.get("/plugin").json();
    status["hash"].as_str().unwrap().to_owned()
}

/// Stores a trace of one span.
async fn store(client: &Client, number: u8) {
    let one = span([number; 16], 1).name("op").at(u64::from(number));
    client.store([service("a").span(one)]).await;
}

/// Whether the trace is there.
async fn has(client: &Client, number: u8) -> bool {
    !client.get_traces([[number; 16]]).await.unwrap().is_empty()
}
