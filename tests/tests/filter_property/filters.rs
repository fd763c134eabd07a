//! Random filters that are valid.

use std::fmt;

use larder_proto::expression::v1::expression::Term;
use larder_proto::expression::v1::{Call, Expression};
use larder_tests::filter::{
    LEVELS, and, attr_at, call, exists, field, list, not, or, text, typed, untyped,
};
use larder_tests::{Query, Scene};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::constants::{
    DOUBLE_TEXTS, DURATIONS, INT_TEXTS, KEYS, KINDS, LATEST, NAMES, ORIGIN, SCHEMAS, STATES,
    STATUSES, TEXTS, TRUTH_TEXTS, VERSIONS, localised,
};
use crate::naive::patterns::PATTERNS;

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

fn leaf(bound: &'static [&'static str]) -> impl Strategy<Value = Call> {
    prop_oneof![
        6 => attribute_and_constant(bound),
        6 => field_and_constant(bound),
        4 => two_references(bound),
        1 => two_constants(),
        2 => prop_oneof![attribute(bound), a_field(bound).prop_map(|known| known.reference())].prop_map(exists),
        2 => attribute_and_list(bound),
        2 => field_and_list(bound),
        3 => pattern(bound),
    ]
}

const COMPARISONS: [&str; 6] = ["eq", "ne", "gt", "lt", "gte", "lte"];

/// Either way round.
fn comparison(op: &str, left: Expression, right: Expression, turned: bool) -> Call {
    call(op, if turned { [right, left] } else { [left, right] })
}

/// Mostly of what is bound, where something is.
fn level(bound: &'static [&'static str]) -> BoxedStrategy<&'static str> {
    let all = prop_oneof![3 => Just(""), 3 => Just("span"), 4 => select(&LEVELS[..])];
    match bound {
        [] => all.boxed(),
        bound => prop_oneof![2 => select(bound), 1 => all].boxed(),
    }
}

fn attribute(bound: &'static [&'static str]) -> BoxedStrategy<Expression> {
    let key = prop_oneof![
        8 => select(&KEYS[..]),
        1 => select(vec!["resource.k", "resource.l", "resource.error", "span.status", "scope.version", "service.name", "none"]),
    ];
    (level(bound), key)
        .prop_map(|(level, key)| attr_at(level, key))
        .boxed()
}

/// Of any type, or of none; not a boolean where there is an order.
fn constant(ordered: bool) -> BoxedStrategy<Expression> {
    let of = |kind: &'static str, texts: &'static [&'static str]| {
        select(texts)
            .prop_map(move |text| typed(kind, text))
            .boxed()
    };
    let common = select(vec!["1", "1", "x", "true", "500", "@z15", "@t1"]).prop_map(untyped);
    let truth = if ordered {
        of("int", &INT_TEXTS)
    } else {
        of("bool", &TRUTH_TEXTS)
    };
    prop_oneof![
        2 => common,
        3 => of("", &TEXTS),
        2 => of("string", &TEXTS),
        2 => of("int", &INT_TEXTS),
        2 => of("double", &DOUBLE_TEXTS),
        1 => truth,
    ]
    .boxed()
}

fn attribute_and_constant(bound: &'static [&'static str]) -> BoxedStrategy<Call> {
    let turned = any::<bool>;
    let equality = (
        select(vec!["eq", "ne"]),
        attribute(bound),
        constant(false),
        turned(),
    );
    let order = (
        select(&COMPARISONS[2..]),
        attribute(bound),
        constant(true),
        turned(),
    );
    prop_oneof![equality, order]
        .prop_map(|(op, attribute, constant, turned)| comparison(op, attribute, constant, turned))
        .boxed()
}

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Holds {
    Text(&'static [&'static str]),
    Word(&'static [&'static str]),
    Duration,
    Instant,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    level: &'static str,
    name: &'static str,
    holds: Holds,
}

const fn known(level: &'static str, name: &'static str, holds: Holds) -> Known {
    Known { level, name, holds }
}

const IDS: [&str; 5] = [
    "0000000000000001",
    "0000000000000002",
    "0000000000000003",
    "",
    "x",
];
const TRACE_IDS: [&str; 5] = ["@t1", "@t2", "@t3", "", "x"];
const INSTANTS: [&str; 9] = [
    "@z8", "@z10", "@z12", "@z15", "@e11", "@e14", "@w12", "@w18", "@z22",
];

const FIELDS: [Known; 22] = [
    known("span", "traceID", Holds::Text(&TRACE_IDS)),
    known("span", "spanID", Holds::Text(&IDS)),
    known("span", "parentSpanID", Holds::Text(&IDS)),
    known("span", "traceState", Holds::Text(&STATES)),
    known("span", "name", Holds::Text(&NAMES)),
    known("span", "kind", Holds::Word(&KINDS)),
    known("span", "startTime", Holds::Instant),
    known("span", "endTime", Holds::Instant),
    known("span", "duration", Holds::Duration),
    known("span", "status", Holds::Word(&STATUSES)),
    known("span", "statusMessage", Holds::Text(&NAMES)),
    known("resource", "service", Holds::Text(&["a", "x", "", "1"])),
    known("resource", "schemaURL", Holds::Text(&SCHEMAS)),
    known("scope", "name", Holds::Text(&NAMES)),
    known("scope", "version", Holds::Text(&VERSIONS)),
    known("scope", "schemaURL", Holds::Text(&SCHEMAS)),
    known("event", "name", Holds::Text(&NAMES)),
    known("event", "time", Holds::Instant),
    known("event", "timeSinceStart", Holds::Duration),
    known("link", "traceID", Holds::Text(&TRACE_IDS)),
    known("link", "spanID", Holds::Text(&IDS)),
    known("link", "traceState", Holds::Text(&STATES)),
];

impl Known {
    fn reference(self) -> Expression {
        field(self.level, self.name)
    }

    fn texts(self) -> &'static [&'static str] {
        match self.holds {
            Holds::Text(texts) | Holds::Word(texts) => texts,
            Holds::Duration => &DURATIONS,
            Holds::Instant => &INSTANTS,
        }
    }

    /// What a constant beside it may declare.
    fn types(self) -> Vec<&'static str> {
        if self.is_text() {
            vec!["", "string"]
        } else {
            vec![""]
        }
    }

    fn is_text(self) -> bool {
        matches!(self.holds, Holds::Text(_) | Holds::Word(_))
    }

    fn operators(self) -> &'static [&'static str] {
        let equality = matches!(self.holds, Holds::Word(_));
        if equality {
            &COMPARISONS[..2]
        } else {
            &COMPARISONS
        }
    }

    fn is_comparable_with(self, other: Self) -> bool {
        self.is_text() && other.is_text() || self.holds == other.holds
    }
}

fn a_field(bound: &'static [&'static str]) -> BoxedStrategy<Known> {
    let of_bound: Vec<Known> = FIELDS
        .iter()
        .filter(|known| bound.contains(&known.level))
        .copied()
        .collect();
    if of_bound.is_empty() {
        return select(&FIELDS[..]).boxed();
    }
    prop_oneof![2 => select(of_bound), 1 => select(&FIELDS[..])].boxed()
}

fn field_and_constant(bound: &'static [&'static str]) -> BoxedStrategy<Call> {
    a_field(bound)
        .prop_flat_map(|known| {
            let parts = (
                select(known.operators()),
                select(known.texts()),
                select(known.types()),
                any::<bool>(),
            );
            parts.prop_map(move |(op, text, kind, turned)| {
                comparison(op, known.reference(), typed(kind, text), turned)
            })
        })
        .boxed()
}

fn two_references(bound: &'static [&'static str]) -> BoxedStrategy<Call> {
    let attributes = (select(&COMPARISONS[..]), attribute(bound), attribute(bound))
        .prop_map(|(op, left, right)| comparison(op, left, right, false));
    let mixed = (a_field(bound), attribute(bound), any::<bool>()).prop_flat_map(
        |(known, attribute, turned)| {
            select(known.operators())
                .prop_map(move |op| comparison(op, known.reference(), attribute.clone(), turned))
        },
    );
    let fields =
        (a_field(bound), any::<proptest::sample::Selector>()).prop_flat_map(|(left, selector)| {
            let right = *selector.select(
                FIELDS
                    .iter()
                    .filter(|right| left.is_comparable_with(**right)),
            );
            let fewer = if left.operators().len() < right.operators().len() {
                left
            } else {
                right
            };
            select(fewer.operators())
                .prop_map(move |op| comparison(op, left.reference(), right.reference(), false))
        });
    prop_oneof![3 => attributes, 2 => mixed, 2 => fields].boxed()
}

/// Of one domain, or one of them of none.
fn two_constants() -> BoxedStrategy<Call> {
    let number = || {
        prop_oneof![
            select(&INT_TEXTS[..]).prop_map(|text| typed("int", text)),
            select(&DOUBLE_TEXTS[..]).prop_map(|text| typed("double", text)),
        ]
    };
    let untyped_text = || select(&TEXTS[..]).prop_map(untyped);
    let string = || select(&TEXTS[..]).prop_map(|text| typed("string", text));
    let truth = || select(&TRUTH_TEXTS[..]).prop_map(|text| typed("bool", text));
    let any_order = (
        select(&COMPARISONS[..]),
        prop_oneof![
            (number(), number()),
            (number(), untyped_text()),
            (string(), string()),
            (string(), untyped_text()),
            (untyped_text(), untyped_text()),
        ],
        any::<bool>(),
    );
    let equality = (
        select(&COMPARISONS[..2]),
        prop_oneof![(truth(), truth()), (truth(), untyped_text())],
        any::<bool>(),
    );
    prop_oneof![4 => any_order, 1 => equality]
        .prop_map(|(op, (left, right), turned)| comparison(op, left, right, turned))
        .boxed()
}

fn membership() -> impl Strategy<Value = &'static str> {
    select(vec!["in", "not_in"])
}

fn attribute_and_list(bound: &'static [&'static str]) -> BoxedStrategy<Call> {
    let of = |kind: &'static str, texts: &'static [&'static str]| {
        vec(select(texts), 1..6)
            .prop_map(move |texts| list(kind, texts))
            .boxed()
    };
    let lists = prop_oneof![
        of("string", &TEXTS),
        of("int", &INT_TEXTS),
        of("double", &DOUBLE_TEXTS),
        of("bool", &TRUTH_TEXTS),
    ];
    (membership(), attribute(bound), lists)
        .prop_map(|(op, attribute, list)| call(op, [attribute, list]))
        .boxed()
}

fn field_and_list(bound: &'static [&'static str]) -> BoxedStrategy<Call> {
    a_field(bound)
        .prop_flat_map(|known| {
            (
                membership(),
                vec(select(known.texts()), 1..4),
                select(known.types()),
            )
                .prop_map(move |(op, texts, kind)| call(op, [known.reference(), list(kind, texts)]))
        })
        .boxed()
}

fn pattern(bound: &'static [&'static str]) -> BoxedStrategy<Call> {
    let text_field = a_field(bound).prop_filter("a field of text", |known| known.is_text());
    let subject = prop_oneof![attribute(bound), text_field.prop_map(Known::reference)];
    let pattern = select(&PATTERNS[..]).prop_map(|(pattern, _)| pattern);
    (subject, pattern, select(vec!["", "string"]))
        .prop_map(|(subject, pattern, kind)| call("regex", [subject, typed(kind, pattern)]))
        .boxed()
}
