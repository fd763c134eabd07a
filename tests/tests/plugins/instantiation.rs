//! Misdeeds before a component is opened: while it is instantiated, and in `describe`, which a server calls first. No setting exists at
//! that point, so each misdeed is a component of its own, written by hand. The server refuses to start, and says why.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use larder_tests::{Exit, Home, Options};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::abi::{AbiVariant, WasmType};
use wit_parser::{Resolve, WorldId, WorldItem};

use crate::misdeeds::assert_log_was_limited;
use crate::starts::assert_refused;

/// The contract's world, and one import of WASI.
const WORLD: &str =
    "package a:b; world w { include larder:storage/plugin@0.2.0; import wasi:cli/exit@0.2.0; }";
const EXIT: &str = "package wasi:cli@0.2.0; interface exit { exit: func(status: result); }";

/// A module whose functions all succeed. The success result is at 4096, as zeros; the result of `describe` is at 1024.
const MODULE: &str = r#"
    (import "wasi:cli/exit@0.2.0" "exit" (func $exit (param i32)))
    (import "larder:storage/log@0.2.0" "write" (func $log (param i32 i32 i32)))
    (import "larder:storage/kv@0.2.0" "get" (func $get (param i32 i32 i32)))
    (import "larder:storage/kv@0.2.0" "commit" (func $commit (param i32 i32 i32 i32 i32)))
    (memory (export "memory") 3)
    (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 65536))
    (data (i32.const 1024) "\00\08\00\00\08\00\00\00\10\08\00\00\03\00\00\00\00")
    (data (i32.const 2048) "beginner") (data (i32.const 2064) "1.0")
    ;; the key "k" in the partition "p"; and the change that deletes it
    (data (i32.const 3072) "pk")
    (data (i32.const 3080) "\00\0c\00\00\01\00\00\00\01\0c\00\00\01\00\00\00")
    (data (i32.const 3104) "\01\00\00\00\01\0c\00\00\01\00\00\00\00\00\00\00\00\00\00\00")
    (global $left (mut i32) (i32.const 5000))
    (func $deep (param i32) (result i32) (i32.add (local.get 0) (call $deep (local.get 0))))
    (func $name (param i32 i32) (result i32)
        (i32.store (i32.const 1024) (local.get 0))
        (i32.store (i32.const 1028) (local.get 1))
        (i32.const 1024))"#;

/// The place of a misdeed: fields of the module, for a body of the type `[] -> [i32]`.
type Injection = fn(&str) -> (String, String);

/// Runs the body while the component is instantiated.
fn at_start(body: &str) -> (String, String) {
    let start = "(func $start (drop (call $early))) (start $start)";
    let early = format!("(func $early (result i32) {body}) {start}");
    (early, "(i32.const 1024)".to_owned())
}

fn in_describe(body: &str) -> (String, String) {
    (String::new(), body.to_owned())
}

/// Builds a component with these fields in the module, and this body of `describe`.
fn guest((fields, describe): &(String, String)) -> Vec<u8> {
    let mut resolve = Resolve::default();
    let contract = include_str!("../../../wit/storage.wit");
    for (name, wit) in [("storage.wit", contract), ("exit.wit", EXIT)] {
        resolve.push_str(name, wit).unwrap();
    }
    let package = resolve.push_str("world.wit", WORLD).unwrap();
    let world = resolve.select_world(&[package], None).unwrap();
    let functions = functions(&resolve, world, describe);
    let mut module = wat::parse_str(format!("(module {MODULE} {fields} {functions})")).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    let mut encoder = ComponentEncoder::default();
    encoder.module(&module).unwrap().encode().unwrap()
}

/// Generates every function that the world exports.
fn functions(resolve: &Resolve, world: WorldId, describe: &str) -> String {
    let mut text = String::new();
    for (key, item) in &resolve.worlds[world].exports {
        let WorldItem::Interface { id, .. } = item else {
            panic!("an export that is no interface");
        };
        for (name, function) in &resolve.interfaces[*id].functions {
            let signature = resolve.wasm_signature(AbiVariant::GuestExport, function);
            let types = |types: &[WasmType]| types.iter().map(|it| core(*it)).collect::<String>();
            let (params, results) = (types(&signature.params), types(&signature.results));
            let body = if name == "describe" {
                describe
            } else {
                "(i32.const 4096)"
            };
            let interface = resolve.name_world_key(key);
            writeln!(
                text,
                "(func (export \"{interface}#{name}\") (param {params}) (result {results}) {body})"
            )
            .unwrap();
        }
    }
    text
}

fn core(ty: WasmType) -> &'static str {
    match ty {
        WasmType::I64 | WasmType::PointerOrI64 => "i64 ",
        WasmType::F32 => "f32 ",
        WasmType::F64 => "f64 ",
        WasmType::I32 | WasmType::Pointer | WasmType::Length => "i32 ",
    }
}

fn options() -> Options {
    Options::bare()
        .environment("LARDER_LIMITS_CALL_TIMEOUT", "3s")
        .environment("LARDER_LIMITS_MEMORY", "128MiB")
}

fn file(home: &Home, parts: &(String, String)) -> PathBuf {
    let path = home.path().join("beginner.wasm");
    fs::write(&path, guest(parts)).unwrap();
    path
}

/// Both commands that load a file: serving, and `plugin inspect`.
fn ways(home: &Home, path: &Path) -> [Exit; 2] {
    let path = || path.as_os_str().to_owned();
    let serve = options().arguments(["--plugin".into(), path()]);
    let inspect = options().arguments(["plugin".into(), "inspect".into(), path()]);
    [serve.run_in(home), inspect.without_port_flags().run()]
}

#[track_caller]
fn assert_each_refused(cells: impl IntoIterator<Item = (String, (String, String), &'static str)>) {
    let home = Home::new();
    for (cell, parts, told) in cells {
        let path = file(&home, &parts);
        for exit in ways(&home, &path) {
            assert_refused(&cell, &exit, &["beginner.wasm`", told]);
        }
    }
}

#[test]
fn a_server_does_not_start_with_a_plugin_that_fails_before_it_is_open() {
    let places: [(&str, Injection); 2] = [("the start", at_start), ("describe", in_describe)];
    let grow = "(loop $more (br_if $more (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) (unreachable)";
    let cells = places.map(|(name, place)| {
        [
            ("trap", "(unreachable)", "a trap"),
            (
                "exit with 0",
                "(call $exit (i32.const 0)) (unreachable)",
                "xit",
            ),
            (
                "exit with 1",
                "(call $exit (i32.const 1)) (unreachable)",
                "xit",
            ),
            (
                "recurse",
                "(call $deep (i32.const 1))",
                "call stack exhausted",
            ),
            ("allocate", grow, "limits.memory"),
            (
                "spin",
                "(loop $again (br $again)) (unreachable)",
                "limits.call_timeout",
            ),
        ]
        .map(|(misdeed, body, told)| (format!("{misdeed} at {name}"), place(body), told))
    });
    assert_each_refused(cells.into_iter().flatten());
}

/// Declares large memory or tables without storing them in the file.
#[test]
fn a_server_does_not_start_with_a_plugin_that_declares_too_much() {
    let cells = [
        ("(memory $big 40000)", "limits.memory"),
        ("(table 100000000 funcref)", "table limits"),
        ("(data (i32.const 196600) \"beyond its end\")", "a trap"),
    ];
    assert_each_refused(cells.map(|(fields, told)| {
        let parts = (fields.to_owned(), "(i32.const 1024)".to_owned());
        (fields.to_owned(), parts, told)
    }));
}

/// Names that would forge a log line, fill the log, or lie outside of memory.
#[test]
fn a_server_does_not_start_with_a_plugin_with_an_invalid_name() {
    let data = "(data (i32.const 7000) \"a\\nb\\1b[2J\\ff\")";
    let cells = [
        ("two lines", (7000, 3_u32), "printable ASCII"),
        ("nothing", (7000, 0), "printable ASCII"),
        ("no UTF-8", (7000, 8), "utf-8"),
        ("50 kB", (8192, 50_000), "printable ASCII"),
        ("4 GB", (2048, 4_000_000_000), "a trap"),
    ];
    assert_each_refused(cells.map(|(name, (at, bytes), told)| {
        let body = format!("(call $name (i32.const {at}) (i32.const {bytes}))");
        (name.to_owned(), (data.to_owned(), body), told)
    }));
}

#[tokio::test]
async fn a_server_starts_with_a_plugin_whose_describe_tries_forbidden_calls() {
    let shout = "the guest shouts at describe, ".repeat(34);
    let data = format!("(data (i32.const 10000) \"{shout}\")");
    let again = "(global.set $left (i32.sub (global.get $left) (i32.const 1)))
        (br_if $again (global.get $left))";
    let announce = "about to flood the log at describe";
    let flood = format!(
        "(call $log (i32.const 3) (i32.const 9000) (i32.const {}))
        (loop $again (call $log (i32.const 3) (i32.const 10000) (i32.const {})) {again})",
        announce.len(),
        shout.len()
    );
    let calls = format!(
        "(loop $again (call $get (i32.const 3080) (i32.const 1) (i32.const 5000))
            (if (i32.load8_u (i32.const 5000)) (then (unreachable))) {again})"
    );
    // It has no claim on the storage yet.
    let commit = "(call $commit (i32.const 3072) (i32.const 1) (i32.const 3104) (i32.const 1) (i32.const 5000))
        (if (i32.eqz (i32.load8_u (i32.const 5000))) (then (unreachable)))";
    for body in [&flood, &calls, commit] {
        let home = Home::new();
        let data = format!("{data} (data (i32.const 9000) \"{announce}\")");
        let path = file(&home, &(data, format!("{body} (i32.const 1024)")));
        let served = options().arguments(["--plugin".into(), path.into_os_string()]);
        let larder = served.start_in(&home);
        assert!(larder.client().await.services().await.unwrap().is_empty());
        let plugin = larder.get("/plugin").json();
        assert_eq!(plugin["name"], "beginner", "{plugin}");
        assert_eq!(plugin["state"], "ready", "{plugin}");
        if body == flood {
            assert_log_was_limited(&larder, "describe");
        }
    }
}
