//! Builds crates of this workspace as wasm components, from a build script.
//!
//! Self-contained: `host/runtime/build.rs` and `tests/build.rs` both take it in with `#[path]`. The nested cargo has a target directory of its
//! own (`<target>/plugins`), so that it never waits for the lock that the outer cargo holds, and dev, release, clippy and doc share
//! what it built. The guests of the tests have another one, `<target>/guests`: the kv plugin inside one of them is built without its
//! exports, and cargo gives its file the same name either way.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The target of the plugins.
pub(crate) const TARGET: &str = "wasm32-wasip2";
/// The profile of the workspace's Cargo.toml that they are compiled with.
const PROFILE: &str = "plugin";

/// Vectors, which every wasmtime has: checksums and loops over terms take a tenth less of a span's time.
const RUSTFLAGS: &str = "-Ctarget-feature=+simd128";

/// Variables that the outer cargo sets for its own compilers and build scripts, and that are wrong for wasm: a native `-C target-cpu`, clippy
/// in place of rustc, a target or a target directory from the environment.
const NOT_FOR_THE_NESTED_CARGO: &[&str] = &[
    "CARGO_BUILD_RUSTC_WORKSPACE_WRAPPER",
    "CARGO_BUILD_RUSTC_WRAPPER",
    "CARGO_BUILD_RUSTFLAGS",
    "CARGO_BUILD_TARGET",
    "CARGO_BUILD_TARGET_DIR",
    "CARGO_MAKEFLAGS",
    "CARGO_TARGET_DIR",
    "CLIPPY_ARGS",
    "CLIPPY_CONF_DIR",
    "MAKEFLAGS",
    "MFLAGS",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTC_WRAPPER",
    "RUSTDOCFLAGS",
    "RUSTFLAGS",
];

/// Runs `cargo build` for wasm in `<target>/<folder>`, with these further arguments, in the workspace at `workspace`. Returns the paths
/// of these files of what it built, in the same order.
///
/// # Errors
/// A message for the caller of cargo: the target is not installed, or the build failed (with its output).
pub(crate) fn build(
    workspace: &Path,
    folder: &str,
    arguments: &[&str],
    files: &[&str],
) -> Result<Vec<PathBuf>, String> {
    let target_dir = target_dir(folder)?;
    require_target(&target_dir)?;
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .current_dir(workspace)
        .args(["build", "--locked", "--quiet"])
        .args(["--target", TARGET, "--profile", PROFILE])
        .arg("--target-dir")
        .arg(&target_dir)
        .args(arguments);
    for name in NOT_FOR_THE_NESTED_CARGO {
        command.env_remove(name);
    }
    // Never absent: this overrules the flags of a `.cargo/config.toml` as well.
    command.env("CARGO_ENCODED_RUSTFLAGS", RUSTFLAGS);
    run(&mut command)?;

    let folder = target_dir.join(TARGET).join(PROFILE);
    let built = |file: &&str| {
        let path = folder.join(file);
        if path.is_file() {
            Ok(path)
        } else {
            Err(format!(
                "cargo left no {}: the Cargo.toml must say crate-type = [\"cdylib\"]",
                path.display()
            ))
        }
    };
    files.iter().map(built).collect()
}

/// `<target>/<folder>`, from `OUT_DIR`, which is `<target>/<profile>/build/<package>/out`.
fn target_dir(folder: &str) -> Result<PathBuf, String> {
    let out = PathBuf::from(
        env::var_os("OUT_DIR").ok_or("OUT_DIR is not set: this runs in build scripts only")?,
    );
    let target = out
        .ancestors()
        .nth(4)
        .ok_or_else(|| format!("OUT_DIR is too short: {}", out.display()))?;
    Ok(target.join(folder))
}

/// Adds the target where it is missing. Two build scripts may come here at once, and rustup does not wait for itself.
fn require_target(target_dir: &Path) -> Result<(), String> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let rustc = Path::new(&rustc);
    if target_is_installed(rustc)? {
        return Ok(());
    }
    let path = target_dir.join("rustup.lock");
    let lock = fs::create_dir_all(target_dir)
        .and_then(|()| File::create(&path))
        .and_then(|file| file.lock().map(|()| file));
    let _lock = lock.map_err(|error| format!("cannot lock {}: {error}", path.display()))?;
    if target_is_installed(rustc)? {
        return Ok(());
    }
    install_target()?;
    if target_is_installed(rustc)? {
        return Ok(());
    }
    Err(format!(
        "`rustup target add {TARGET}` succeeded, but `{}` still has no standard library for {TARGET}; \
         is it another toolchain than rustup's active one?",
        rustc.display()
    ))
}

fn target_is_installed(rustc: &Path) -> Result<bool, String> {
    let mut command = Command::new(rustc);
    command.args(["--print", "target-libdir", "--target", TARGET]);
    let folder = PathBuf::from(run(&mut command)?.trim());
    let mut files = fs::read_dir(folder).into_iter().flatten().flatten();
    Ok(files.any(|file| file.file_name().to_string_lossy().starts_with("libstd-")))
}

/// Needed where rustup does not install by itself what rust-toolchain.toml names (`RUSTUP_AUTO_INSTALL=0`).
fn install_target() -> Result<(), String> {
    let mut command = Command::new("rustup");
    command.args(["target", "add", TARGET]);
    let toolchain = env::var("RUSTUP_TOOLCHAIN").ok();
    if let Some(toolchain) = &toolchain {
        command.args(["--toolchain", toolchain]);
    }
    let toolchain = toolchain.as_deref().unwrap_or("the active toolchain");
    println!(
        "cargo::warning=the target {TARGET} is missing from {toolchain}: adding it with `rustup target add {TARGET}`"
    );
    run(&mut command).map(drop).map_err(|error| {
        format!(
            "the plugins need the target {TARGET}, which is missing from {toolchain}, and adding it failed. \
             Run `rustup target add {TARGET}` in this folder; without rustup, install the target's standard \
             library with the compiler. {error}"
        )
    })
}

/// Runs a command to its end and returns what it printed.
fn run(command: &mut Command) -> Result<String, String> {
    let words = [command.get_program()]
        .into_iter()
        .chain(command.get_args());
    let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
    let line = format!("`{}`", words.join(" "));
    let output = command
        .output()
        .map_err(|error| format!("cannot run {line}: {error}"))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(format!(
            "{line} failed ({}):\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        ))
    }
}
