//! Reloading the configuration by SIGHUP and by `POST /reload`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod dictionary;
mod load;
mod plugin_file;
mod refused;
mod server_settings;
mod settings;
mod tenants;
mod tokens;
mod triggers;
mod word_terms;

use std::path::PathBuf;

use larder_tests::http::{self, Response};
use larder_tests::otlp::{service, span};
use larder_tests::{Client, Home, Larder, Options, Plugin, replace};
use serde_json::Value;

/// Returns the path of the plugin of a server of [`of_file`].
fn plugin_path(home: &Home) -> PathBuf {
    home.path().join("plugin.wasm")
}

/// Configures a server with deadlines for a loaded machine, and with its own plugin file.
fn of_file(home: &Home, plugin: Plugin, build: u8) -> Options {
    write_build(home, plugin, build);
    let path = plugin_path(home).display().to_string();
    Options::bare().patient().arguments(["--plugin", &path])
}

/// Replaces the plugin file by another build: the same code, distinguished by a custom section without meaning.
fn write_build(home: &Home, plugin: Plugin, build: u8) {
    let mut bytes = std::fs::read(plugin.argument()).unwrap();
    // A custom section: its id, the length of the rest, the name with its length, the content.
    bytes.extend([0, 7, 5]);
    bytes.extend(b"build");
    bytes.push(build);
    replace(&plugin_path(home), &bytes);
}

/// Starts a server with this configuration, and deadlines for a loaded machine.
fn start(home: &Home, yaml: &str) -> Larder {
    Options::bare().patient().config(yaml).start_in(home)
}

/// Changes the file that `Options::config` has written.
fn configure(home: &Home, yaml: &str) {
    replace(&home.path().join("larder.yaml"), yaml);
}

/// Sends `POST /reload`, and returns the report.
fn reload(larder: &Larder) -> Value {
    let answer = larder.post("/reload");
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()
}

/// Asserts that `POST /reload` is refused with a message that contains this text.
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

/// Counts the reloads with this outcome.
fn reloads(larder: &Larder, outcome: &str) -> u64 {
    let label = format!("outcome=\"{outcome}\"");
    http::count(&larder.metrics(), "larder_reloads_total", &[&label])
}

/// Returns the settings that a report lists under `needs_restart`.
fn need_restart(report: &Value) -> Vec<&str> {
    let listed = report["needs_restart"].as_array().unwrap();
    let paths = listed.iter().map(|it| it["setting"].as_str().unwrap());
    paths.collect()
}

/// Returns the hash of the running component.
fn hash(larder: &Larder) -> String {
    let status = larder.get("/plugin").json();
    status["hash"].as_str().unwrap().to_owned()
}

/// Stores a trace of one span.
async fn store(client: &Client, number: u8) {
    let one = span([number; 16], 1).name("op").at(u64::from(number));
    client.store([service("a").span(one)]).await;
}

/// Returns true if the trace is stored.
async fn has(client: &Client, number: u8) -> bool {
    !client.get_traces([[number; 16]]).await.unwrap().is_empty()
}
