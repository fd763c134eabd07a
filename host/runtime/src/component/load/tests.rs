#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use super::*;
use crate::component::Limits;
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
fn what_is_no_component_is_refused_with_the_reason() {
    check_refused(b"", &["does not start as a wasm component"]);
    check_refused(b"#!/bin/sh\n", &["does not start as a wasm component"]);
    let module = wat::parse_str("(module)").unwrap();
    check_refused(&module, &["core module", "wasm32-wasip2"]);
    let whole = Guest::new().build();
    check_refused(&whole[..whole.len() / 2], &["is the file whole"]);
}

#[test]
fn a_component_of_another_world_is_told_what_it_lacks() {
    check_refused(
        &of_world("package a:b; world w { }", "(module)"),
        &[
            "larder:storage/lifecycle@0.1.0",
            "larder:storage/reader@0.1.0",
            "larder:storage/writer@0.1.0",
        ],
    );
}

#[test]
fn a_component_of_another_version_is_told_which() {
    let wit = "package larder:storage@0.2.0;
        interface lifecycle { describe: func(); }
        world plugin { export lifecycle; }";
    let module = r#"(module (func (export "larder:storage/lifecycle@0.2.0#describe")))"#;
    check_refused(
        &of_world(wit, module),
        &["exports `larder:storage/lifecycle@0.2.0` where `larder:storage/lifecycle@0.1.0`"],
    );
}

#[test]
fn a_function_that_lacks_or_has_another_type_is_named() {
    let wit = "package larder:storage@0.1.0;
        interface lifecycle { describe: func(); statistics: func() -> u32; }
        world plugin { export lifecycle; }";
    let module = r#"(module
        (func (export "larder:storage/lifecycle@0.1.0#describe"))
        (func (export "larder:storage/lifecycle@0.1.0#statistics") (result i32) (i32.const 0)))"#;
    check_refused(
        &of_world(wit, module),
        &[
            "`larder:storage/lifecycle@0.1.0` lacks the function `open`",
            "`describe` of `larder:storage/lifecycle@0.1.0` has another type",
            "`statistics` of `larder:storage/lifecycle@0.1.0` has another type",
        ],
    );
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
