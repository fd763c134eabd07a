//! Stores that the tests use, and their shapes.

#![allow(dead_code, reason = "not every test file uses all of it")]

use larder_kv::{Kv, Shape};
use larder_plugin::testing::random::term;
use larder_plugin::testing::{Stored, batch, environment, fragment, kv, writer};
use larder_plugin::{Environment, Plugin as _, Role, Sizes, SpanKind};
use proptest::prelude::*;

/// The number of fragments of [`store`], two of each trace.
pub(crate) const TRACES: u64 = 150;

/// Returns the environment of an instance in this role, without settings.
pub(crate) fn in_role(role: Role) -> Environment {
    let mut environment = environment(&[]);
    environment.role = role;
    environment
}

/// The ids of two writers. Instances beyond them are readers.
pub(crate) const WRITERS: [&str; 2] = ["a", "b"];

/// Returns the role of an instance.
pub(crate) fn role_of(instance: usize) -> Role {
    match WRITERS.get(instance) {
        Some(id) => writer(id),
        None => Role::Reader,
    }
}

/// Has the calls that follow come from an instance.
pub(crate) fn act_as(instance: usize) {
    kv::act_as(WRITERS.get(instance).copied().unwrap_or("reader"));
}

/// Writes traces into merged segments, into one that is not merged, and into entries.
pub(crate) fn store() -> Stored {
    kv::reset();
    let mut stored = Stored::default();
    let mut plugin = Kv::open_with(&environment(&[]), small_shape()).unwrap();
    for n in 0..TRACES {
        let fragment = fragment(u128::from(n / 2 + 1))
            .starts(n * 10, n * 10 + 5)
            .terms([1, n % 7, 100 + n].map(term))
            .operation(&format!("service-{}", n / 30), "name", SpanKind::Server)
            .digest(n.to_be_bytes())
            .otlp([vec![3; 90], n.to_be_bytes().to_vec()].concat());
        stored.push(fragment.clone());
        plugin.write(1, vec![batch([fragment])]).unwrap();
        if n < TRACES - 5 {
            while plugin.maintain(1, Sizes::default()).unwrap() {}
        }
    }
    stored
}

/// Returns a shape with parts so small that a few fragments make many of them.
pub(crate) fn small_shape() -> Shape {
    Shape {
        block: 1000,
        inline: 600,
        committed: 3000,
        entry: (10, 2000),
        group_spans: 60,
        group_terms: 150,
        group_bytes: 8000,
        group_entries: 9,
        page: 120,
        run: 6,
        fan: 3,
        levels: 2,
        closed_segments: 2,
        merge_step: 300,
        find_steps: 3,
        find_spare: 4,
        find_few: 3,
    }
}

/// Generates shapes with some small and some larger parts.
pub(crate) fn shapes() -> impl Strategy<Value = Shape> {
    let parts = (1..3000_usize, 0..2000_usize, 0..6000_usize, 1..20_usize);
    let group = (1..300_u64, 1..20_usize, 2..5_usize, 0..3_u8);
    let pages = (1..400_usize, 1..40_usize, 1..2000_usize);
    let finding = (1..20_usize, 0..12_usize);
    (parts, group, pages, finding).prop_map(|(parts, group, pages, finding)| Shape {
        block: parts.0,
        inline: parts.1,
        committed: parts.2,
        entry: (parts.3, 3000),
        group_spans: group.0,
        group_entries: group.1,
        fan: group.2,
        levels: group.3,
        page: pages.0,
        run: pages.1,
        merge_step: pages.2,
        find_steps: finding.0,
        find_few: finding.1,
        ..small_shape()
    })
}
