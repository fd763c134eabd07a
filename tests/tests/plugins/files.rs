//! Files that are not plugins, or that attack the loader: the server refuses to start, and says why.

use std::fs::{self, File};
use std::io::Write as _;

use larder_tests::{Options, Plugin};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// The first bytes of a component.
const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

/// Builds a component of another world.
fn of_another_world() -> Vec<u8> {
    let module = r#"(module (memory (export "memory") 1)
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 0))
        (func (export "f") (result i32) (i32.const 0)))"#;
    of_world(
        "package a:b; world w { export f: func() -> string; }",
        module,
    )
}

/// A component that exports an interface of a version of the contract that there is not.
fn of_an_unknown_version() -> Vec<u8> {
    let wit = "package larder:storage@0.3.0;
        interface lifecycle { describe: func(); }
        world plugin { export lifecycle; }";
    let module = r#"(module (func (export "larder:storage/lifecycle@0.3.0#describe")))"#;
    of_world(wit, module)
}

/// A component of the only world of `wit`, from a core module in text.
fn of_world(wit: &str, module: &str) -> Vec<u8> {
    let mut resolve = Resolve::default();
    let package = resolve.push_str("test.wit", wit).unwrap();
    let world = resolve.select_world(&[package], None).unwrap();
    let mut module = wat(module);
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    let mut encoder = ComponentEncoder::default();
    let encoded = encoder.module(&module).unwrap().encode();
    encoded.unwrap()
}

fn wat(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap()
}

/// Declares types that are each a list of the one before, or two of them.
fn deep_type(count: usize, ty: impl Fn(usize) -> String) -> Vec<u8> {
    let types = (1..count).map(|number| format!("(type $t{number} {})", ty(number - 1)));
    let types: String = types.collect();
    wat(&format!("(component (type $t0 (list u8)) {types})"))
}

#[test]
fn a_file_that_is_no_plugin_keeps_the_server_from_starting() {
    let whole = fs::read(Plugin::Hostile.argument()).unwrap();
    let list = |before| format!("(list $t{before})");
    let double = |before| format!("(tuple $t{before} $t{before})");
    let body = format!("i32.const 0 {} ", "i32.const 1 i32.add ".repeat(600_000));
    let files: [(&str, Vec<u8>, &str); 12] = [
        ("empty", Vec::new(), "does not start as a wasm component"),
        (
            "text",
            b"#!/bin/sh\n".into(),
            "does not start as a wasm component",
        ),
        ("core module", wat("(module)"), "core module"),
        (
            "header alone",
            COMPONENT.into(),
            "larder:storage/lifecycle@0.2.0",
        ),
        (
            "other world",
            of_another_world(),
            "larder:storage/lifecycle@0.2.0",
        ),
        (
            "truncated",
            whole[..whole.len() / 2].into(),
            "is the file whole",
        ),
        (
            "truncated by a byte",
            whole[..whole.len() - 1].into(),
            "is the file whole",
        ),
        (
            "noise after the header",
            [COMPONENT, &[255; 4096]].concat(),
            "is the file whole",
        ),
        ("a deep type", deep_type(20_000, list), "wasm component"),
        (
            "a type that doubles",
            deep_type(100, double),
            "wasm component",
        ),
        (
            "components in components",
            wat(&format!("{}{}", "(component ".repeat(50), ")".repeat(50))),
            "one inside another",
        ),
        (
            "a giant function",
            wat(&format!(
                "(component (core module (func (result i32) {body})))"
            )),
            "too large a function",
        ),
    ];
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes, told) in files {
        let path = folder.path().join(format!("{name}.wasm"));
        fs::write(&path, bytes).unwrap();
        assert_refused(name, &path, told);
    }
    let path = folder.path().join("large.wasm");
    let mut large = File::create(&path).unwrap();
    large.write_all(COMPONENT).unwrap();
    large.set_len(200 << 20).unwrap();
    assert_refused("large", &path, "more than 67108864 bytes");
}

#[test]
fn a_plugin_of_an_unknown_version_of_the_contract_is_refused_with_the_versions_that_there_are() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("later.wasm");
    fs::write(&path, of_an_unknown_version()).unwrap();
    let told =
        "it was built for version 0.3.0 of `larder:storage`; this server has 0.2.0 and 0.1.0";
    assert_refused("serving", &path, told);
    let inspect = Options::bare()
        .without_port_flags()
        .arguments(["plugin".into(), "inspect".into(), path.into_os_string()])
        .run();
    assert_eq!(inspect.status.code(), Some(1), "{inspect:?}");
    assert!(inspect.stderr.contains(told), "{}", inspect.stderr);
}

fn assert_refused(name: &str, path: &std::path::Path, told: &str) {
    let exit = Options::bare()
        .arguments(["--plugin".into(), path.as_os_str().to_owned()])
        .run();
    assert_eq!(exit.status.code(), Some(1), "{name}: {exit:?}");
    assert!(exit.stderr.contains(told), "{name}: {}", exit.stderr);
    assert!(exit.stderr.contains(".wasm"), "{name}: {}", exit.stderr);
    assert!(exit.stderr.len() < 16 << 10, "{name}");
}
