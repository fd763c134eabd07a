#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::fmt::Write as _;

use super::*;
use crate::component::Limits;
use crate::sandbox::ContractVersion;
use crate::test_support::guest::{Guest, of_world};
use crate::test_support::{GuestFile, runtime};

#[track_caller]
fn check_refused(bytes: &[u8], expected: &[&str]) {
    let file = GuestFile::new(bytes);
    let source = file.settings(Limits::default()).source;
    let loaded = read(&source).and_then(|bytes| load(&runtime(), &source, &bytes));
    let text = loaded.err().unwrap().to_string();
    for part in expected.iter().chain(&["guest.wasm"]) {
        assert!(text.contains(part), "{text:?} lacks {part:?}");
    }
}

#[test]
fn bytes_that_are_not_a_component_are_refused_with_the_reason() {
    check_refused(b"", &["does not start as a wasm component"]);
    check_refused(b"#!/bin/sh\n", &["does not start as a wasm component"]);
    let module = wat::parse_str("(module)").unwrap();
    check_refused(&module, &["core module", "wasm32-wasip2"]);
    let whole = Guest::new().build();
    check_refused(&whole[..whole.len() / 2], &["is the file whole"]);
}

#[test]
fn a_component_of_each_version_is_loaded_as_what_it_is() {
    let components = [
        (Guest::new().build(), ContractVersion::V0_2),
        (Guest::new().build_for_0_1(), ContractVersion::V0_1),
    ];
    for (bytes, version) in components {
        let source = Source::File("guest.wasm".into());
        let loaded = load(&runtime(), &source, &bytes).unwrap();
        assert_eq!(loaded.component.version(), version);
        let kv = version.name_of("kv");
        assert!(loaded.names.imports.contains(&kv), "{:?}", loaded.names);
        let reader = version.name_of("reader");
        assert!(loaded.names.exports.contains(&reader), "{:?}", loaded.names);
    }
}

#[test]
fn a_component_of_another_world_is_told_what_it_lacks() {
    check_refused(
        &of_world("package a:b; world w { }", "w", "(module)"),
        &[
            "export `larder:storage/lifecycle@0.2.0` or `larder:storage/lifecycle@0.1.0`",
            "export `larder:storage/reader@0.2.0` or `larder:storage/reader@0.1.0`",
            "export `larder:storage/writer@0.2.0` or `larder:storage/writer@0.1.0`",
        ],
    );
}

/// A component that exports these interfaces of `larder:storage` in a version, each with a function `f`.
fn of_interfaces(version: &str, interfaces: &[&str]) -> Vec<u8> {
    let mut wit = format!("package larder:storage@{version}; world plugin {{");
    let mut module = "(module".to_owned();
    for name in interfaces {
        write!(wit, "export {name};").unwrap();
        let function = format!("larder:storage/{name}@{version}#f");
        write!(module, "(func (export \"{function}\"))").unwrap();
    }
    wit.push('}');
    for name in interfaces {
        write!(wit, "interface {name} {{ f: func(); }}").unwrap();
    }
    of_world(&wit, "plugin", &(module + ")"))
}

#[test]
fn a_component_of_an_unknown_version_is_refused_with_its_and_the_known_versions() {
    for interfaces in [&["lifecycle"][..], &["writer", "reader", "lifecycle"]] {
        check_refused(
            &of_interfaces("0.3.0", interfaces),
            &[
                "it was built for version 0.3.0 of `larder:storage`; this server has 0.2.0 and 0.1.0",
            ],
        );
    }
}

#[test]
fn a_component_that_lacks_something_is_told_in_its_own_version() {
    for version in ["0.1.0", "0.2.0"] {
        let lacks = |name: &str| format!("does not export `larder:storage/{name}@{version}`");
        check_refused(
            &of_interfaces(version, &["reader"]),
            &[
                &lacks("lifecycle"),
                &lacks("writer"),
                &format!("`larder:storage/reader@{version}` lacks the function `find`"),
            ],
        );
    }
}

#[test]
fn a_function_that_lacks_or_has_another_type_is_named() {
    for version in ["0.1.0", "0.2.0"] {
        let wit = "package larder:storage@VERSION;
            interface lifecycle { describe: func(); open: func() -> u32; }
            world plugin { export lifecycle; }";
        let module = r#"(module
            (func (export "larder:storage/lifecycle@VERSION#describe"))
            (func (export "larder:storage/lifecycle@VERSION#open") (result i32) (i32.const 0)))"#;
        let of = |text: &str| text.replace("VERSION", version);
        check_refused(
            &of_world(&of(wit), "plugin", &of(module)),
            &[
                &of("`describe` of `larder:storage/lifecycle@VERSION` has another type"),
                &of("`open` of `larder:storage/lifecycle@VERSION` has another type"),
                &of("does not export `larder:storage/writer@VERSION`"),
            ],
        );
    }
}

#[test]
fn what_may_be_left_out_has_to_fit_where_it_is_not() {
    let smallest = Guest::new().build_smallest();
    let source = Source::File("guest.wasm".into());
    let loaded = load(&runtime(), &source, &smallest).unwrap();
    let reason = loaded.component.check_repair().unwrap_err();
    assert!(reason.contains("`integrity`"), "{reason}");
    let whole = load(&runtime(), &source, &Guest::new().build()).unwrap();
    assert_eq!(whole.component.check_repair(), Ok(()));
    check_refused(
        &of_interfaces("0.2.0", &["lifecycle", "writer", "reader", "upkeep"]),
        &["`larder:storage/upkeep@0.2.0` lacks the function `maintain`"],
    );
}

/// From 0.2.0 on versions that differ in the last number only are equal.
#[test]
fn a_later_patch_of_a_version_is_taken_for_it() {
    let wit = include_str!("../../../../../wit/storage.wit").replace("@0.2.0", "@0.2.7");
    let source = Source::File("guest.wasm".into());
    let bytes = Guest::new().build_as("0.2.7", &wit);
    let loaded = load(&runtime(), &source, &bytes).unwrap();
    assert_eq!(loaded.component.version(), ContractVersion::V0_2);
    assert_eq!(loaded.component.check_repair(), Ok(()));
}

#[test]
fn an_import_that_there_is_not_is_named() {
    let mut wit = include_str!("../../../../../wit/storage.wit").replace(
        "import log;",
        "import log; import a: interface { f: func(); }",
    );
    wit.push('\n');
    let more = r#"(import "a" "f" (func $f))"#;
    check_refused(&Guest::new().and_import(more).build_for(&wit), &["`a`"]);
}
