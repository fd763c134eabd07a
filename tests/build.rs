//! Builds the guests and `plugins/minimal` as components, and tells the harness where they are and in which profile it is built.

#[path = "../host/build/wasm.rs"]
mod wasm;

use std::env;
use std::path::PathBuf;
use std::process::ExitCode;

/// Packages and the variables that the harness reads their paths from.
const COMPONENTS: &[(&str, &str)] = &[
    ("larder-minimal", "LARDER_TESTS_MINIMAL"),
    ("larder-guest-brittle", "LARDER_TESTS_BRITTLE"),
    ("larder-guest-hostile", "LARDER_TESTS_HOSTILE"),
    // It has the next one inside, which it leaves without its exports under the same name.
    ("larder-guest-rogue", "LARDER_TESTS_ROGUE"),
    ("larder-guest-replicated", "LARDER_TESTS_REPLICATED"),
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
        "host/build",
        "tests/build.rs",
        "tests/guests",
    ] {
        let input = workspace.join(input);
        println!("cargo::rerun-if-changed={}", input.display());
    }
    let profile = env::var("PROFILE").map_err(|error| error.to_string())?;
    println!("cargo::rustc-env=LARDER_TESTS_PROFILE={profile}");

    // One after another: a guest that has another one inside wants it without its exports.
    for (package, variable) in COMPONENTS {
        for component in wasm::build(workspace, &[package])? {
            println!("cargo::rustc-env={variable}={}", component.display());
        }
    }
    Ok(())
}
