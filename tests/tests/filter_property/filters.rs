//! Random filters that are valid.

use std::fmt;

use larder_proto::expression::v1::Call;
use larder_proto::expression::v1::expression::Term;
use larder_tests::filter::{and, not, or, text};
use larder_tests::{Query, Scene};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::constants::{LATEST, ORIGIN, localised};
use crate::leaves::leaf;

/// A filter with a window and a depth.
#[derive(Clone)]
pub(crate) struct Question {
    filter: Call,
    window: (u64, u64),
    pub(crate) depth: i32,
}

impl fmt::Debug for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (from, to) = self.window;
        write!(
            f,
            "{} in {from}..={to}, {} at most",
            text(&self.filter),
            self.depth
        )
    }
}

impl Question {
    /// As it is asked in a scene, and the window as it is there.
    pub(crate) fn build(&self, scene: &Scene) -> (Query, (u64, u64)) {
        let at = |offset| scene.at(ORIGIN + offset);
        let (from, to) = (at(self.window.0), at(self.window.1));
        let filter = in_scene(&self.filter, scene);
        (
            Query::default()
                .window(from, to)
                .depth(self.depth)
                .filter(filter),
            (from, to),
        )
    }
}

/// With every instant and every id of the scene.
pub(crate) fn in_scene(filter: &Call, scene: &Scene) -> Call {
    let mut filter = filter.clone();
    for argument in &mut filter.args {
        match &mut argument.term {
            Some(Term::Call(inner)) => *inner = in_scene(inner, scene),
            Some(Term::Scalar(scalar)) => scalar.value = localised(&scalar.value, scene),
            Some(Term::List(list)) => {
                for value in &mut list.values {
                    *value = localised(value, scene);
                }
            }
            _ => {}
        }
    }
    filter
}

prop_compose! {
    pub(crate) fn question()(
        filter in filter(),
        window in prop_oneof![5 => Just((0, LATEST)), 1 => (0..=LATEST, 0..=LATEST)],
        depth in select(vec![1, 2, 3, 100, 100, 100, 0]),
    ) -> Question {
        Question { filter, window, depth }
    }
}

/// Up to five levels above a leaf.
pub(crate) fn filter() -> BoxedStrategy<Call> {
    prop_oneof![
        4 => tree(0, &[]),
        3 => tree(1, &[]),
        3 => tree(2, &[]),
        1 => tree(5, &[]),
    ]
    .boxed()
}

/// `bound` are the collections that a `some` around it goes through.
fn tree(depth: u32, bound: &'static [&'static str]) -> BoxedStrategy<Call> {
    let leaf = leaf(bound).boxed();
    let quantified: Vec<BoxedStrategy<Call>> = ["event", "link"]
        .into_iter()
        .filter(|level| !bound.contains(level))
        .map(|level| {
            let inner = tree(depth.saturating_sub(1), with(bound, level));
            inner
                .prop_map(move |inner| larder_tests::filter::some(level, inner))
                .boxed()
        })
        .collect();
    if depth == 0 {
        return match bound {
            [] => prop_oneof![8 => leaf, 1 => proptest::strategy::Union::new(quantified)].boxed(),
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
    prop_oneof![3 => combined, 1 => proptest::strategy::Union::new(quantified)].boxed()
}

fn with(bound: &'static [&'static str], level: &'static str) -> &'static [&'static str] {
    match (bound, level) {
        ([], "event") => &["event"],
        ([], _) => &["link"],
        _ => &["event", "link"],
    }
}
