//! Predicates without nested predicates: comparisons, membership, presence, patterns.

use crate::filter::{LEVELS, attr_at, call, exists, list, typed, untyped};
use larder_proto::expression::v1::{Call, Expression};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::fields::{FIELDS, KnownField};
use super::vocabulary::{DOUBLE_TEXTS, INT_TEXTS, KEYS, TEXTS, TRUTH_TEXTS, WORDS};
use crate::oracle::PATTERNS;

pub(crate) fn leaf(bound: &'static [&'static str]) -> impl Strategy<Value = Call> {
    prop_oneof![
        6 => attribute_and_constant(bound),
        6 => field_and_constant(bound),
        4 => two_references(bound),
        1 => two_constants(),
        2 => prop_oneof![attribute(bound), a_field(bound).prop_map(KnownField::reference)].prop_map(exists),
        2 => attribute_and_list(bound),
        2 => field_and_list(bound),
        3 => pattern(bound),
        3 => words(bound),
    ]
}

pub(crate) const COMPARISONS: [&str; 6] = ["eq", "ne", "gt", "lt", "gte", "lte"];

/// Compares the operands, swapped if `turned`.
fn comparison(op: &str, left: Expression, right: Expression, turned: bool) -> Call {
    call(op, if turned { [right, left] } else { [left, right] })
}

/// Generates mostly bound levels, if there are any.
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

/// Generates constants of any declared type, or of none; no booleans where an order is needed.
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

fn a_field(bound: &'static [&'static str]) -> BoxedStrategy<KnownField> {
    let of_bound: Vec<KnownField> = FIELDS
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

/// Two constants of one domain, or one of them without a declared type.
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
        3 => of("", &TEXTS),
        2 => of("string", &TEXTS),
        2 => of("int", &INT_TEXTS),
        2 => of("double", &DOUBLE_TEXTS),
        2 => of("bool", &TRUTH_TEXTS),
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
    let subject = prop_oneof![attribute(bound), text_field.prop_map(KnownField::reference)];
    let pattern = select(&PATTERNS[..]).prop_map(|(pattern, _)| pattern);
    (subject, pattern, select(vec!["", "string"]))
        .prop_map(|(subject, pattern, kind)| call("regex", [subject, typed(kind, pattern)]))
        .boxed()
}

fn words(bound: &'static [&'static str]) -> BoxedStrategy<Call> {
    let listed = vec(select(&WORDS[..]), 1..4);
    let op = select(vec!["phrase", "fulltext"]);
    (op, attribute(bound), listed, select(vec!["", "string"]))
        .prop_map(|(op, attribute, listed, kind)| call(op, [attribute, list(kind, listed)]))
        .boxed()
}
