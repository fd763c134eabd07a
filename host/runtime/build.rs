//! Builds the bundled plugins for wasm, to be embedded in the binary by `src/component/bundled.rs`.

#[path = "build/wasm.rs"]
mod wasm;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The plugins of this workspace. `larder-minimal` is no part of the binary, but built here so that its file is there for `--plugin`.
const PLUGINS: &[&str] = &[
    "--lib",
    "--package=larder-kv",
    "--package=larder-memory",
    "--package=larder-minimal",
];
/// Those that `src/component/bundled.rs` embeds, from `OUT_DIR`.
const EMBEDDED: &[&str] = &["larder_kv.wasm", "larder_memory.wasm"];

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
    let host = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").ok_or("run by cargo only")?);
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("run by cargo only")?);
    let workspace = host
        .ancestors()
        .nth(2)
        .ok_or("host/runtime/ is not in the workspace")?;
    for input in [
        "plugins/kv",
        "plugins/memory",
        "plugins/minimal",
        "plugins/sdk",
        "wit",
        "Cargo.toml",
        "Cargo.lock",
        "rust-toolchain.toml",
        "host/runtime/build.rs",
        "host/runtime/build",
    ] {
        println!(
            "cargo::rerun-if-changed={}",
            workspace.join(input).display()
        );
    }

    for component in wasm::build(workspace, "plugins", PLUGINS, EMBEDDED)? {
        copy_if_changed(&component, &out)?;
    }
    Ok(())
}

/// Leaves an equal file alone, so that nothing is compiled again for it.
fn copy_if_changed(file: &Path, folder: &Path) -> Result<(), String> {
    let name = file.file_name().ok_or("a component has a name")?;
    let to = folder.join(name);
    let new = fs::read(file).map_err(|error| format!("cannot read {}: {error}", file.display()))?;
    if fs::read(&to).is_ok_and(|old| old == new) {
        return Ok(());
    }
    fs::write(&to, new).map_err(|error| format!("cannot write {}: {error}", to.display()))
}
