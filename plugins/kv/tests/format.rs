//! Compares stored bytes with a fixture, because data that an earlier build of this version wrote must stay readable.
//!
//! `LARDER_BLESS=1 cargo test -p larder-kv --test format` rewrites the fixture. Do this only with a new version of the format.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "tests"
)]

use std::collections::BTreeSet;
use std::fmt::Write as _;

use larder_kv::{Kv, Shape};
use larder_plugin::kv::Key;
use larder_plugin::testing::{FragmentBuilder, Harness, batch, environment, fragment, kv};
use larder_plugin::{Environment, Part, Plugin, Role, Search, Sizes, SpanKind, TraceId, Wanted};

const FIXTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/version-1.txt");

/// Lists are cut and blocks are full at a few bytes, so that a few fragments make every kind of value.
fn shape() -> Shape {
    Shape {
        block: 96,
        inline: 48,
        committed: 512,
        group_entries: 2,
        run: 2,
        fan: 2,
        levels: 1,
        ..Shape::default()
    }
}

/// The last fragment has so many terms that its entry is too large for the head.
fn fragments() -> impl Iterator<Item = FragmentBuilder> {
    (0..10_u64).map(|n| {
        let more = if n == 9 { 80 } else { 0 };
        let text = format!(
            "spans of fragment {n}, which are {}",
            "long ".repeat(n as usize * 4 % 17)
        );
        fragment((u128::from(n % 7) << 64) + 0xa0 + u128::from(n % 7))
            .starts(1_000_000 + n * 300, 1_000_500 + n * 300)
            .durations(n * 7, 900 + n)
            .spans(1 + n as u32 % 3)
            .terms([
                0x1111_1111 << 32,
                (0x2222_2222 + n % 2) << 32,
                (0x3333_3333 + n) << 32,
            ])
            .terms((0..more).map(|term| (0x4444_0000 + term) << 32))
            .operation("shop", ["GET /", "PUT /"][n as usize % 2], SpanKind::Server)
            .digest(format!("digest {n}"))
            .otlp(text)
    })
}

/// Dumps values in the order of their keys: partition, sort and bytes; all but the partition in hexadecimal.
fn stored() -> String {
    let hex = |bytes: &[u8]| {
        bytes.iter().fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").unwrap();
            text
        })
    };
    let mut out = String::new();
    for key in kv::keys() {
        let value = kv::get(std::slice::from_ref(&key))
            .unwrap()
            .remove(0)
            .unwrap();
        writeln!(out, "{} {} {}", key.partition, hex(&key.sort), hex(&value)).unwrap();
    }
    out
}

fn write() {
    kv::reset();
    let mut plugin = Kv::open_with(&environment(&[]), shape()).unwrap();
    let fragments: Vec<_> = fragments().collect();
    for (n, some) in fragments.chunks(1).enumerate() {
        plugin
            .write(5_000 + n as u64, vec![batch(some.to_vec())])
            .unwrap();
        if n < 8 {
            while plugin.maintain(6_000, Sizes::default()).unwrap() {}
        }
    }
}

fn load(fixture: &str) {
    kv::reset();
    kv::act_as("test");
    kv::commit("marks the writer", &[]).unwrap();
    let bytes = |hex: &str| -> Vec<u8> {
        let pairs = hex.as_bytes().chunks(2);
        pairs
            .map(|it| u8::from_str_radix(std::str::from_utf8(it).unwrap(), 16).unwrap())
            .collect()
    };
    for line in fixture.lines() {
        let mut parts = line.split(' ');
        let mut part = || parts.next().unwrap();
        let key = Key {
            partition: part().to_owned(),
            sort: bytes(part()),
        };
        kv::put_back(&key, bytes(part()));
    }
}

#[test]
fn the_bytes_are_those_of_the_fixture() {
    write();
    let stored = stored();
    if std::env::var_os("LARDER_BLESS").is_some() {
        std::fs::write(FIXTURE, &stored).unwrap();
    }
    let fixture = std::fs::read_to_string(FIXTURE).unwrap();
    for (found, due) in stored.lines().zip(fixture.lines()) {
        assert_eq!(found, due);
    }
    assert_eq!(stored, fixture);
    let kinds: BTreeSet<u8> = kv::keys().iter().map(|it| it.sort[0]).collect();
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), b"defhkmnorstx");
}

#[test]
fn the_fixture_is_read_and_written_on() {
    let fixture = std::fs::read_to_string(FIXTURE).unwrap();
    load(&fixture);
    let reader = Environment {
        role: Role::Reader,
        ..environment(&[])
    };
    let mut reader = Kv::open_with(&reader, shape()).unwrap();
    let page = reader.find(&Search::all(), None, 100).unwrap();
    assert_eq!(page.found.len(), 10);
    for it in fragments() {
        let it = it.build();
        let wanted = Wanted::Traces(vec![it.trace_id]);
        let page = reader.read(&wanted, Part::Otlp, None, 10_000).unwrap();
        assert!(page.pieces.iter().any(|piece| piece.bytes == it.otlp));
        let search = Search {
            clauses: vec![vec![it.terms[2]]],
            ..Search::all()
        };
        let ids: Vec<TraceId> = reader
            .find(&search, None, 9)
            .unwrap()
            .found
            .iter()
            .map(|it| it.trace_id)
            .collect();
        assert_eq!(ids, [it.trace_id]);
    }
    let mut harness = Harness::new(Kv::open_with(&environment(&[]), shape()).unwrap());
    let plugin = harness.plugin();
    plugin.write(9_000, vec![batch([fragment(77)])]).unwrap();
    while plugin.maintain(9_000, Sizes::default()).unwrap() {}
    assert_eq!(
        plugin.find(&Search::all(), None, 100).unwrap().found.len(),
        11
    );
    assert_eq!(plugin.operations("shop").unwrap().len(), 2);
}
