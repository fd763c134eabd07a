//! What the tests write and ask for.

#![allow(dead_code, reason = "not every test file uses all of it")]

use larder_kv::Shape;
use larder_plugin::testing::{FragmentBuilder, fragment};
use larder_plugin::{DurationRange, Search, SpanKind, TimeRange};
use proptest::prelude::*;

/// A batch.
pub(crate) type Fragments = Vec<FragmentBuilder>;

/// A term that shares no half with another.
pub(crate) fn term(number: u64) -> u64 {
    number.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// Parts so small that few fragments make many of them.
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

/// Shapes with some parts small and others not.
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

/// Up to `most` fragments of these traces, with up to `payload` bytes of spans each.
pub(crate) fn fragments(
    traces: u128,
    payload: usize,
    most: usize,
) -> impl Strategy<Value = Fragments> {
    let one = (
        0..traces,
        (0..1000_u64, 0..100_u64),
        (0..50_u64, 0..50_u64),
        prop::collection::vec(0..12_u64, 0..6),
        prop::collection::vec((0..4_u8, 0..4_u8), 0..4),
        (0..payload, 1..9_u32),
    );
    let one = one.prop_map(
        |(id, starts, durations, terms, operations, (payload, spans))| {
            let mut built = fragment(id)
                .starts(starts.0, starts.0 + starts.1)
                .durations(durations.0, durations.0 + durations.1)
                .terms(terms.into_iter().map(term))
                .digest(vec![1; payload / 8])
                .otlp(vec![2; payload])
                .spans(spans);
            for (service, name) in operations {
                built = built.operation(
                    &format!("service-{service}"),
                    &format!("name-{name}"),
                    SpanKind::Server,
                );
            }
            built
        },
    );
    prop::collection::vec(one, 1..most)
}

/// Searches of which some match much and others nothing.
pub(crate) fn search() -> impl Strategy<Value = Search> {
    let clause = prop::collection::vec((0..14_u64).prop_map(term), 1..4);
    let range = prop_oneof![
        Just((0, u64::MAX)),
        (0..1100_u64, 0..600_u64).prop_map(|(start, len)| (start, start + len)),
    ];
    let durations = prop_oneof![
        Just((0, u64::MAX)),
        (0..100_u64, 0..40_u64).prop_map(|(start, len)| (start, start + len)),
    ];
    (range, durations, prop::collection::vec(clause, 0..4)).prop_map(
        |((start, end), (shortest, longest), clauses)| Search {
            starts: TimeRange { start, end },
            durations: DurationRange { shortest, longest },
            clauses,
        },
    )
}
