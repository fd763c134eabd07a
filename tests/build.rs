//! Builds the guests and `plugins/minimal` as components, and passes their paths and the build profile to the harness.

#[path = "../host/runtime/build/wasm.rs"]
mod wasm;

use std::env;
use std::path::PathBuf;
use std::process::ExitCode;

/// The guests, each with the variable that holds its path.
const GUESTS: [(&str, &str); 5] = [
    ("examples/brittle.wasm", "LARDER_TESTS_BRITTLE"),
    ("examples/hostile.wasm", "LARDER_TESTS_HOSTILE"),
    (
        "examples/hostile_exclusive.wasm",
        "LARDER_TESTS_HOSTILE_EXCLUSIVE",
    ),
    ("examples/mistaken.wasm", "LARDER_TESTS_MISTAKEN"),
    ("examples/reaching.wasm", "LARDER_TESTS_REACHING"),
];

fn main() -> ExitCode {
    match build() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            for line in error.lines() {
                println!("cargo::error={line}");
            }
            ExitCode::FAILURE
        }
    }
}

fn build() -> Result<(), String> {
    let tests = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").ok_or("run by cargo only")?);
    let workspace = tests.parent().ok_or("tests/ is not in the workspace")?;
    for input in [
        "plugins/kv",
        "plugins/memory",
        "plugins/minimal",
        "plugins/sdk",
        "wit",
        "Cargo.toml",
        "Cargo.lock",
        "rust-toolchain.toml",
        "host/runtime/build",
        "tests/build.rs",
        "tests/guests",
    ] {
        let input = workspace.join(input);
        println!("cargo::rerun-if-changed={}", input.display());
    }
    let profile = env::var("PROFILE").map_err(|error| error.to_string())?;
    println!("cargo::rustc-env=LARDER_TESTS_PROFILE={profile}");

    let minimal = ["--lib", "--package=larder-minimal"];
    let minimal = wasm::build(workspace, "plugins", &minimal, &["larder_minimal.wasm"])?;
    let guests = ["--examples", "--package=larder-guests"];
    let guests = wasm::build(workspace, "guests", &guests, &GUESTS.map(|(file, _)| file))?;
    let variables = ["LARDER_TESTS_MINIMAL"].into_iter();
    let variables = variables.chain(GUESTS.map(|(_, variable)| variable));
    for (variable, path) in variables.zip(minimal.iter().chain(&guests)) {
        println!("cargo::rustc-env={variable}={}", path.display());
    }
    Ok(())
}
