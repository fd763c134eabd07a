//! Small files that take the compiler forever: an untrusted file is compiled within limits, or not at all.

use std::fs;
use std::path::Path;

use larder_tests::{Exit, Home, Options, Plugin};

/// Nested loops, with many changing variables in the innermost one: the compiler's data grows with loops times variables, which takes
/// gigabytes and minutes for some 30 KB.
fn costly(count: usize) -> Vec<u8> {
    let variables = "(local i64)".repeat(count);
    let change = |it| format!("local.get {it} i64.const 1 i64.add local.set {it}");
    let changes: Vec<String> = (1..=count).map(change).collect();
    let changes = changes.join(" ");
    let (opened, closed) = (
        "loop ".repeat(count),
        "local.get 0 br_if 0 end ".repeat(count),
    );
    let body = format!("{variables} {opened} {changes} {closed}");
    let text = format!("(component (core module (func (param i32) {body})))");
    wat::parse_str(text).unwrap()
}

/// Both commands that load a file: serving, and `plugin inspect`.
fn ways(path: &Path, limit: (&str, &str)) -> [Exit; 2] {
    let with = |first: &str| {
        let arguments = if first == "--plugin" {
            vec![first.into(), path.as_os_str().to_owned()]
        } else {
            vec!["plugin".into(), first.into(), path.as_os_str().to_owned()]
        };
        Options::bare()
            .own_cache()
            .environment(limit.0, limit.1)
            .arguments(arguments)
            .run()
    };
    [with("--plugin"), with("inspect")]
}

#[track_caller]
fn assert_refused(limit: (&str, &str), told: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("costly.wasm");
    let bytes = costly(2000);
    assert!(bytes.len() < 64 << 10, "{} bytes", bytes.len());
    fs::write(&path, bytes).unwrap();
    for exit in ways(&path, limit) {
        assert_eq!(exit.status.code(), Some(1), "{exit:?}");
        for told in [told, "costly.wasm", "was not compiled", "raise the limit"] {
            assert!(exit.stderr.contains(told), "{told}: {}", exit.stderr);
        }
    }
}

#[test]
fn a_file_that_compiles_for_ever_is_refused_at_the_time_limit() {
    let limit = ("LARDER_LIMITS_COMPILE_TIMEOUT", "1s");
    assert_refused(limit, "limits.compile_timeout (1s)");
}

#[test]
fn a_file_that_compiles_into_all_memory_is_refused_at_the_memory_limit() {
    let limit = ("LARDER_LIMITS_COMPILE_MEMORY", "256MiB");
    assert_refused(limit, "limits.compile_memory (256 MiB)");
}

/// Within the limits, the compiling process leaves in the cache what the server loads: a single entry, under one key.
#[test]
fn a_file_is_compiled_once_for_both_processes() {
    let home = Home::new();
    let larder = Options::new(Plugin::Minimal).own_cache().start_in(&home);
    assert_eq!(larder.get("/readyz").status, 200);
    let compilers = fs::read_dir(home.data().join("cache/wasmtime/modules")).unwrap();
    let compiled = compilers.flat_map(|compiler| fs::read_dir(compiler.unwrap().path()).unwrap());
    let names = compiled.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let names: Vec<_> = names.filter(|name| !name.contains('.')).collect();
    assert_eq!(names.len(), 1, "{names:?}");
}
