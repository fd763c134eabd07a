//! Small guests for tests: a core module in text, every function replaceable, made into a component of the contract's world.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::collections::BTreeMap;
use std::fmt::Write;

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// Interface and name of a function, with its core parameters and results.
type Export = (&'static str, &'static str, &'static str);

/// All that a plugin may export.
const EXPORTS: [Export; 14] = [
    ("lifecycle", "describe", "(result i32)"),
    (
        "lifecycle",
        "open",
        "(param i32 i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)",
    ),
    ("writer", "write", "(param i64 i64 i32 i32) (result i32)"),
    (
        "reader",
        "find",
        "(param i64 i64 i64 i64 i32 i32 i32 i32 i32 i32) (result i32)",
    ),
    (
        "reader",
        "read",
        "(param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)",
    ),
    ("reader", "services", "(result i32)"),
    ("reader", "operations", "(param i32 i32) (result i32)"),
    ("upkeep", "maintain", "(param i64 i64 i64 i64) (result i32)"),
    ("upkeep", "statistics", "(result i32)"),
    ("replication", "refresh", "(result i32)"),
    ("replication", "retire", "(result i32)"),
    ("integrity", "check", "(param i32 i32 i32) (result i32)"),
    ("integrity", "repair", "(param i64 i32 i32) (result i32)"),
    ("purging", "purge", "(result i32)"),
];

/// An export in version 0.1.0, as in [`EXPORTS`]; `None` for one that it does not have.
fn in_0_1(export: Export) -> Option<Export> {
    let (interface, function, ty) = export;
    match function {
        "open" => Some((
            interface,
            function,
            "(param i32 i32 i32 i64 i64 i32 i32) (result i32)",
        )),
        "write" => Some((interface, function, "(param i64 i32 i32) (result i32)")),
        "maintain" => Some(("lifecycle", function, "(param i64 i64) (result i32)")),
        "statistics" | "check" => Some(("lifecycle", function, ty)),
        "repair" | "retire" | "refresh" | "purge" => None,
        _ => Some(export),
    }
}

/// An export of the contract without what may be left out, as in [`EXPORTS`].
fn in_plugin(export: Export) -> Option<Export> {
    let is_optional = ["upkeep", "replication", "integrity", "purging"].contains(&export.0);
    (!is_optional).then_some(export)
}

/// Address of an empty `ok` result.
pub(crate) const OK: &str = "(i32.const 4096)";
/// `services`: one, named `guest`.
pub(crate) const ONE_SERVICE: &str = "(i32.const 5120)";
/// `services`: one without a name, which breaks the contract.
pub(crate) const NAMELESS_SERVICE: &str = "(i32.const 5136)";
/// The error `other("no")`.
pub(crate) const OTHER: &str = "(i32.const 6144)";
/// Never comes back.
pub(crate) const SPIN: &str = "(loop $again (br $again)) (unreachable)";
/// `write`: traps if the first byte of any batch's OTLP is `X`, else counts and is well.
pub(crate) const TRAP_ON_X: &str = "
    (local $i i32)
    (block $done (loop $next
        (br_if $done (i32.ge_u (local.get $i) (local.get 3)))
        (if (i32.eq (i32.load8_u (i32.load offset=48
                (i32.add (local.get 2) (i32.mul (local.get $i) (i32.const 56)))))
              (i32.const 88)) (then (unreachable)))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br $next)))
    (global.set $writes (i32.add (global.get $writes) (i32.const 1)))
    (i32.const 4096)";
/// `services`: one if anything was written, else none.
pub(crate) const ONE_SERVICE_IF_WRITTEN: &str =
    "(select (i32.const 5120) (i32.const 4096) (global.get $writes))";

/// `$write` commits a value under the key "k" of partition "p", or raises `other` where kv refuses; `$find` gives one
/// service when a get finds it.
pub(crate) const KV: &str = r#"
  (data (i32.const 8192) "p") (data (i32.const 8193) "k")
  ;; one key
  (data (i32.const 8200) "\00\20\00\00\01\00\00\00\01\20\00\00\01\00\00\00")
  ;; one change: put, "k", "k"
  (data (i32.const 8224) "\00\00\00\00\01\20\00\00\01\00\00\00\01\20\00\00\01\00\00\00")
  (func $write (result i32)
    (call $commit (i32.const 8192) (i32.const 1) (i32.const 8224) (i32.const 1) (i32.const 8300))
    (select (i32.const 6144) (i32.const 4096) (i32.load8_u (i32.const 8300))))
  (func $find (result i32)
    (call $get (i32.const 8200) (i32.const 1) (i32.const 8400))
    (select (i32.const 5120) (i32.const 4096) (i32.load8_u (i32.load (i32.const 8404)))))
"#;

const MODULE: &str = r#"
  (import "larder:storage/log@0.2.0" "write" (func $log (param i32 i32 i32)))
  (import "larder:storage/kv@0.2.0" "commit" (func $commit (param i32 i32 i32 i32 i32)))
  (import "larder:storage/kv@0.2.0" "get" (func $get (param i32 i32 i32)))
  (memory (export "memory") 2)
  (global $heap (mut i32) (i32.const 65536))
  (global $writes (mut i32) (i32.const 0))
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (local $at i32)
    (local.set $at (i32.and (i32.add (global.get $heap) (i32.const 7)) (i32.const -8)))
    (global.set $heap (i32.add (local.get $at) (local.get 3)))
    (block $fits (loop $grow
      (br_if $fits (i32.le_u (global.get $heap) (i32.mul (memory.size) (i32.const 65536))))
      (if (i32.eq (memory.grow (i32.const 16)) (i32.const -1)) (then (unreachable)))
      (br $grow)))
    (local.get $at))
  (data (i32.const 2048) "guest") (data (i32.const 2064) "1.0")
  ;; describe: name, version; the instancing follows
  (data (i32.const 1024) "\00\08\00\00\05\00\00\00\10\08\00\00\03\00\00\00")
  ;; services: ok, list at 5200, one string: "guest"; and one empty string, at 5208
  (data (i32.const 5120) "\00\00\00\00\50\14\00\00\01\00\00\00")
  (data (i32.const 5136) "\00\00\00\00\58\14\00\00\01\00\00\00")
  (data (i32.const 5200) "\00\08\00\00\05\00\00\00\00\08\00\00\00\00\00\00")
  ;; err, other, "no" at 6200
  (data (i32.const 6144) "\01\00\00\00\04\00\00\00\38\18\00\00\02\00\00\00")
  (data (i32.const 6200) "no")
"#;

/// A guest whose every function says that all is well, but for what [`Guest::with`] replaces.
pub(crate) struct Guest {
    bodies: BTreeMap<&'static str, String>,
    imports: String,
    more: String,
    replicated: bool,
}

impl Guest {
    pub(crate) fn new() -> Self {
        let mut bodies = BTreeMap::new();
        bodies.insert("describe", "(i32.const 1024)".to_owned());
        Self {
            bodies,
            imports: String::new(),
            more: String::new(),
            replicated: false,
        }
    }

    /// Replaces the body of a function; its parameters are `(local.get 0)` and so on.
    pub(crate) fn with(mut self, function: &'static str, body: &str) -> Self {
        self.bodies.insert(function, body.to_owned());
        self
    }

    /// Adds fields to the module.
    pub(crate) fn and(mut self, fields: &str) -> Self {
        self.more.push_str(fields);
        self
    }

    /// Adds imports to the module; those of another world are for [`Guest::build_for`].
    pub(crate) fn and_import(mut self, fields: &str) -> Self {
        self.imports.push_str(fields);
        self
    }

    pub(crate) fn replicated(mut self) -> Self {
        self.replicated = true;
        self
    }

    pub(crate) fn build(&self) -> Vec<u8> {
        self.build_for(NEWEST)
    }

    /// As [`Guest::build`], without what a plugin may leave out.
    pub(crate) fn build_smallest(&self) -> Vec<u8> {
        of_world(NEWEST, "plugin", &self.module(in_plugin))
    }

    /// As [`Guest::build`], for version 0.1.0 of the contract.
    pub(crate) fn build_for_0_1(&self) -> Vec<u8> {
        let module = self.module(in_0_1).replace("@0.2.0", "@0.1.0");
        let wit = include_str!("../../../../wit/0.1.0/storage.wit");
        of_world(wit, "plugin", &module)
    }

    /// As [`Guest::build`], of the world `full-plugin` of `wit`.
    pub(crate) fn build_for(&self, wit: &str) -> Vec<u8> {
        of_world(wit, "full-plugin", &self.module(Some))
    }

    /// As [`Guest::build`], for a version of its own of the contract, which `wit` has.
    pub(crate) fn build_as(&self, version: &str, wit: &str) -> Vec<u8> {
        let module = self.module(Some).replace("@0.2.0", &format!("@{version}"));
        of_world(wit, "full-plugin", &module)
    }

    fn module(&self, export: impl Fn(Export) -> Option<Export>) -> String {
        let Self { imports, more, .. } = self;
        let instancing = u8::from(self.replicated);
        let mut text = format!(
            "(module {imports} {MODULE} (data (i32.const 1040) \"\\0{instancing}\") {more}"
        );
        for (interface, function, ty) in EXPORTS.into_iter().filter_map(export) {
            let body = self.bodies.get(function).map_or(OK, String::as_str);
            let name = format!("larder:storage/{interface}@0.2.0#{function}");
            writeln!(text, "(func (export \"{name}\") {ty} {body})").unwrap();
        }
        text.push(')');
        text
    }
}

/// The newest version of the contract.
const NEWEST: &str = include_str!("../../../../wit/storage.wit");

/// A component of this world of `wit`, from a core module in text.
pub(crate) fn of_world(wit: &str, world: &str, module: &str) -> Vec<u8> {
    let mut resolve = Resolve::default();
    let package = resolve.push_str("test.wit", wit).unwrap();
    let mut module = wat::parse_str(module).unwrap();
    let world = resolve.select_world(&[package], Some(world)).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    let encoded = ComponentEncoder::default()
        .module(&module)
        .unwrap()
        .encode();
    encoded.expect("the module fits its world")
}
