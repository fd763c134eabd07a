//! The invariants that a compiler does not see: who may know whom.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::fs;
use std::path::{Path, PathBuf};

/// Every source file of the crate, with its path below `src`.
fn sources() -> Vec<(PathBuf, String)> {
    fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    walk(&src, &mut found);
    found
        .into_iter()
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            (path.strip_prefix(&src).unwrap().to_owned(), text)
        })
        .collect()
}

/// Fails where a line of code holds `needle` as a name of its own, outside of the folders and files that may know it.
fn check(needle: &str, allowed: &[&str]) {
    let names_it = |line: &&str| {
        let code = line.split("//").next().unwrap();
        // A crate of messages, which happens to have a module of this name.
        let code = code.replace("opentelemetry_proto::tonic::", "");
        code.match_indices(needle).any(|(at, _)| {
            let before = &code[..at];
            !before.ends_with(|c: char| c.is_alphanumeric() || c == '_')
        })
    };
    let mut known = false;
    for (path, text) in sources() {
        let Some(line) = text.lines().find(names_it) else {
            continue;
        };
        known = true;
        assert!(
            allowed.iter().any(|allowed| path.starts_with(allowed)),
            "{} may not know `{needle}`: {line}",
            path.display()
        );
    }
    assert!(known, "nothing knows `{needle}`: this checks nothing");
}

#[test]
fn only_grpc_knows_tonic() {
    for needle in [
        "tonic::",
        "tonic_health::",
        "tonic_reflection::",
        "tonic_types::",
    ] {
        check(needle, &["grpc"]);
    }
}

#[test]
fn only_plugin_knows_wasmtime() {
    check("wasmtime::", &["plugin"]);
    check("wasmtime_wasi::", &["plugin"]);
}

/// tonic's generated code apart; `opentelemetry_proto`'s `Status` of a span is another one, and only tests make it.
#[test]
fn only_the_table_makes_a_status() {
    let allowed = [
        "grpc/status.rs",
        "grpc/status",
        "grpc/generated",
        "search/property.rs",
    ];
    check("Status::", &allowed);
}
