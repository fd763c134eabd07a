//! The `larder` binary: built once per test process, in the profile of the tests.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use serde_json::Value;

/// Returns the path of the freshly built binary.
pub(crate) fn path() -> &'static PathBuf {
    static PATH: LazyLock<PathBuf> = LazyLock::new(build);
    &PATH
}

/// Builds what `cargo test` has built, so that nothing is compiled twice: with the features of the whole workspace, and with those of
/// its dev-dependencies, which cargo adds only if a test is built as well.
fn build() -> PathBuf {
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args([
            "build",
            "--workspace",
            "--bin",
            "larder",
            "--test",
            "hashing",
        ])
        .args(["--message-format", "json-render-diagnostics"])
        .stderr(Stdio::inherit());
    // Cargo's variables about the tests: `ring` depends on them, and would be rebuilt whenever they change.
    for (name, _) in std::env::vars_os() {
        let of_the_tests = |name: &str| {
            name == "OUT_DIR"
                || name.starts_with("CARGO_PKG_")
                || name.starts_with("CARGO_MANIFEST_")
        };
        if name.to_str().is_some_and(of_the_tests) {
            cargo.env_remove(name);
        }
    }
    if env!("LARDER_TESTS_PROFILE") == "release" {
        cargo.arg("--release");
    }
    let built = cargo.output().expect("cargo could not be started");
    assert!(built.status.success(), "`{cargo:?}` failed");
    String::from_utf8_lossy(&built.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["target"]["name"] == "larder")
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .expect("cargo named no executable `larder`")
}
