//! Random valid filters.

use larder_proto::expression::v1::Call;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::Union;

use super::leaves::leaf;
use crate::filter::{and, not, or, some};

/// Generates up to five levels above a leaf.
pub(super) fn filter() -> BoxedStrategy<Call> {
    prop_oneof![
        4 => tree(0, &[]),
        3 => tree(1, &[]),
        3 => tree(2, &[]),
        1 => tree(5, &[]),
    ]
    .boxed()
}

/// `bound` are the collections that the enclosing `some` quantify over.
fn tree(depth: u32, bound: &'static [&'static str]) -> BoxedStrategy<Call> {
    let leaf = leaf(bound).boxed();
    let quantified: Vec<BoxedStrategy<Call>> = ["event", "link"]
        .into_iter()
        .filter(|level| !bound.contains(level))
        .map(|level| {
            let inner = tree(depth.saturating_sub(1), with(bound, level));
            inner.prop_map(move |inner| some(level, inner)).boxed()
        })
        .collect();
    if depth == 0 {
        return match bound {
            [] => prop_oneof![8 => leaf, 1 => Union::new(quantified)].boxed(),
            _ => leaf,
        };
    }
    let inner = tree(depth - 1, bound);
    let several = vec(inner.clone(), 2..4);
    let combined = prop_oneof![
        2 => leaf,
        3 => several.clone().prop_map(and),
        3 => several.prop_map(or),
        3 => inner.prop_map(not),
    ];
    if quantified.is_empty() {
        return combined.boxed();
    }
    prop_oneof![3 => combined, 1 => Union::new(quantified)].boxed()
}

fn with(bound: &'static [&'static str], level: &'static str) -> &'static [&'static str] {
    match (bound, level) {
        ([], "event") => &["event"],
        ([], _) => &["link"],
        _ => &["event", "link"],
    }
}
