//! Builds the guests and `plugins/minimal` as components, and tells the harness where they are and in which profile it is built.

#[path = "../host/runtime/build/wasm.rs"]
mod wasm;

use std::env;
use std::path::PathBuf;
use std::process::ExitCode;

/// Packages, where they are built (see `wasm`), and the variables that the harness reads their paths from.
const COMPONENTS: &[(&str, &str, &str)] = &[
    ("larder-minimal", "plugins", "LARDER_TESTS_MINIMAL"),
    ("larder-guest-brittle", "guests", "LARDER_TESTS_BRITTLE"),
    ("larder-guest-hostile", "plugins", "LARDER_TESTS_HOSTILE"),
    (
        "larder-guest-replicated",
        "plugins",
        "LARDER_TESTS_REPLICATED",
    ),
    ("larder-guest-rogue", "guests", "LARDER_TESTS_ROGUE"),
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
        "plugins",
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

    // One after another: built together, a guest would have the one inside it with its exports.
    for (package, folder, variable) in COMPONENTS {
        for component in wasm::build(workspace, folder, &[package])? {
            println!("cargo::rustc-env={variable}={}", component.display());
        }
    }
    Ok(())
}
