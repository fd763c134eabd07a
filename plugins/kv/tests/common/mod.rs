//! Shapes of the stores that the tests use.

#![allow(dead_code, reason = "not every test file uses all of it")]

use larder_kv::Shape;
use proptest::prelude::*;

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
