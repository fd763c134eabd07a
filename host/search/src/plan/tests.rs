#![allow(clippy::unwrap_used, reason = "tests")]

use larder_model::storage::SpanKind;
use larder_model::terms::{AttributeKey, Level, Magnitude, NumberKey};
use larder_oracle::filter::{
    self, and, attr_at, call, eq, field, gte, list, lt, some, string, typed, untyped,
};
use larder_proto::expression::v1::{Call, Expression};

use super::*;
use crate::predicate::Levels;

mod listed;

/// Plans a predicate where no listed values are known.
fn plan(predicate: &Predicate) -> Option<Plan> {
    super::plan(predicate, &Listed::unknown())
}

fn service() -> Predicate {
    Leaf::Service("s".to_owned()).into()
}

fn kind() -> Predicate {
    Leaf::Kind(SpanKind::Server).into()
}

fn attribute(form: &str) -> Predicate {
    Leaf::Attribute {
        levels: Levels::ALL,
        key: "k".to_owned(),
        form: form.to_owned(),
    }
    .into()
}

fn check_clauses(predicate: &Predicate, expected: &[&[Term]]) {
    check(&plan(predicate).unwrap(), predicate, expected);
}

fn check(plan: &Plan, predicate: &Predicate, expected: &[&[Term]]) {
    let mut expected: Vec<Vec<Term>> = expected.iter().map(|clause| clause.to_vec()).collect();
    for clause in &mut expected {
        clause.sort_unstable();
    }
    expected.sort_unstable_by_key(|clause| (clause.len(), clause.clone()));
    assert_eq!(plan.search.clauses, expected, "{predicate:?}");
}

#[test]
fn a_conjunction_has_the_clauses_of_all_its_parts() {
    let term = terms::kind(SpanKind::Server);
    check_clauses(
        &Predicate::And(vec![service(), kind()]),
        &[&[terms::service(b"s")], &[term]],
    );
}

#[test]
fn a_disjunction_has_a_clause_if_every_branch_has_one() {
    let term = terms::kind(SpanKind::Server);
    check_clauses(
        &Predicate::Or(vec![service(), kind()]),
        &[&[terms::service(b"s"), term]],
    );
    let not = Predicate::Not(Box::new(kind()));
    check_clauses(&Predicate::Or(vec![service(), not]), &[]);
    check_clauses(
        &Predicate::Or(vec![Predicate::NEVER, service()]),
        &[&[terms::service(b"s")]],
    );
}

#[test]
fn a_negation_has_no_clause() {
    check_clauses(&Predicate::Not(Box::new(service())), &[]);
    check_clauses(&Predicate::Not(Box::new(Predicate::NEVER)), &[]);
}

#[test]
fn a_service_and_another_fact_of_its_span_are_asked_for_as_one() {
    let name = Predicate::from(Leaf::SpanName("n".to_owned()));
    let error = Predicate::from(Leaf::Status(StatusCode::Error));
    check_clauses(
        &Predicate::And(vec![service(), name, error, kind()]),
        &[
            &[terms::service_and_span_name(b"s", b"n")],
            &[terms::service_with_error(b"s")],
            &[terms::kind(SpanKind::Server)],
        ],
    );
}

#[test]
fn an_attribute_is_asked_for_by_its_value_at_every_level() {
    let expected: Vec<Term> = Level::ALL
        .map(|level| AttributeKey::new(b"k").with_value(level, b"v"))
        .to_vec();
    check_clauses(&attribute("v"), &[&expected]);
}

#[test]
fn a_form_that_an_array_or_a_map_may_have_is_asked_for_by_the_key_as_well() {
    for form in ["", "[1]", "{}"] {
        let key = AttributeKey::new(b"k");
        let expected: Vec<Term> = Level::ALL
            .iter()
            .flat_map(|level| {
                [
                    key.present(*level),
                    terms::present_with_words(*level, b"k"),
                    terms::present_unlisted_without_words(*level, b"k"),
                    key.with_value(*level, form.as_bytes()),
                ]
            })
            .collect();
        check_clauses(&attribute(form), &[&expected]);
    }
}

#[test]
fn an_empty_scope_name_or_version_has_no_term() {
    check_clauses(&Leaf::ScopeName(String::new()).into(), &[]);
    check_clauses(&Leaf::ScopeVersion(String::new()).into(), &[]);
    check_clauses(
        &Leaf::ScopeName("n".to_owned()).into(),
        &[&[terms::scope_name(b"n")]],
    );
}

#[test]
fn a_clause_that_cannot_match_is_not_asked_for() {
    let start = |min, max| Predicate::from(Leaf::Start(Range { min, max }));
    let duration = |min, max| Predicate::from(Leaf::Duration(Range { min, max }));
    for impossible in [
        Predicate::NEVER,
        Predicate::And(vec![service(), Predicate::NEVER]),
        start(5, 4),
        start(i128::MIN, -1),
        start(i128::from(u64::MAX) + 1, i128::MAX),
        duration(5, 4),
        duration(i128::from(u64::MAX) + 1, i128::MAX),
        Predicate::And(vec![start(0, 4), start(5, 9)]),
        Predicate::Or(vec![start(5, 4), duration(1, 0)]),
    ] {
        assert_eq!(plan(&impossible), None, "{impossible:?}");
    }
}

#[test]
fn ranges_are_cut_to_what_a_plugin_knows() {
    let ranges = |predicate: &Predicate| {
        let search = plan(predicate).unwrap().search;
        let (starts, durations) = (search.starts, search.durations);
        (
            starts.start,
            starts.end,
            durations.shortest,
            durations.longest,
        )
    };
    let both = |start: Range, duration: Range| {
        Predicate::And(vec![
            Leaf::Start(start).into(),
            Leaf::Duration(duration).into(),
        ])
    };
    let range = |min, max| Range { min, max };
    assert_eq!(
        ranges(&both(Range::ALL, Range::ALL)),
        (0, u64::MAX, 0, u64::MAX)
    );
    assert_eq!(ranges(&both(range(-5, 7), range(2, 3))), (0, 7, 2, 3));
    // A span that ends before it starts counts as 0.
    assert_eq!(ranges(&both(range(1, 7), range(-9, -2))), (1, 7, 0, 0));
    assert_eq!(ranges(&both(range(1, 7), range(-9, 2))), (1, 7, 0, 2));
}

#[test]
fn alternatives_span_all_their_ranges() {
    let start = |min, max| Predicate::from(Leaf::Start(Range { min, max }));
    let search = plan(&Predicate::Or(vec![start(1, 2), start(8, 9)]))
        .unwrap()
        .search;
    assert_eq!(search.starts, TimeRange { start: 1, end: 9 });
    let search = plan(&Predicate::Or(vec![start(1, 2), service()]))
        .unwrap()
        .search;
    assert_eq!(search.starts, TimeRange::ALL);
}

/// The predicate of a filter on one attribute at the span's level.
fn on_attribute(op: &str, argument: Expression) -> Predicate {
    predicate(call(op, [attr_at("span", "k"), argument]))
}

fn predicate(filter: Call) -> Predicate {
    crate::filter::predicate(filter).unwrap()
}

fn of_key(forms: &[&str]) -> Vec<Term> {
    let key = AttributeKey::new(b"k");
    forms
        .iter()
        .map(|form| key.with_value(Level::Span, form.as_bytes()))
        .collect()
}

#[test]
fn an_untyped_constant_is_asked_for_in_every_form_that_equals_it() {
    for (text, forms) in [
        ("x", vec!["x"]),
        ("5e2", vec!["5e2", "500"]),
        ("500", vec!["500"]),
        ("+007", vec!["+007", "7"]),
        ("0", vec!["0", "-0", "false"]),
        ("1", vec!["1", "true"]),
        ("T", vec!["T", "true"]),
        ("Inf", vec!["Inf", "Infinity"]),
        ("1.50", vec!["1.50", "1.5"]),
        ("NaN", vec!["NaN"]),
        // As an integer exactly, as a double the nearest.
        (
            "9007199254740993",
            vec!["9007199254740993", "9007199254740992"],
        ),
        ("0x1p-2", vec!["0x1p-2", "0.25"]),
    ] {
        check_clauses(&on_attribute("eq", untyped(text)), &[&of_key(&forms)]);
    }
}

#[test]
fn a_typed_constant_is_asked_for_in_its_own_form() {
    for (text, r#type, forms) in [
        ("1", "int", vec!["1"]),
        ("1", "string", vec!["1"]),
        ("1", "bool", vec!["true"]),
        ("-0", "double", vec!["0", "-0"]),
        ("5e2", "double", vec!["500"]),
    ] {
        check_clauses(&on_attribute("eq", typed(r#type, text)), &[&of_key(&forms)]);
    }
    assert_eq!(plan(&on_attribute("eq", typed("double", "nan"))), None);
}

#[test]
fn a_predicate_without_a_value_asks_for_the_key() {
    check_clauses(&on_attribute("ne", untyped("1")), &[&present()]);
    check_clauses(&on_attribute("not_in", list("int", ["1"])), &[&present()]);
    check_clauses(
        &predicate(call("exists", [attr_at("span", "k")])),
        &[&present()],
    );
    let text = [&unlisted()[..], &[terms::present_listed(Level::Span, b"k")]].concat();
    check_clauses(&on_attribute("regex", untyped("1")), &[&text]);
}

/// The terms of a key with a value that is no number and is not listed, or that an older release wrote.
fn unlisted() -> [Term; 4] {
    [
        AttributeKey::new(b"k").present(Level::Span),
        terms::present_with_words(Level::Span, b"k"),
        terms::present_unlisted(Level::Span, b"k"),
        terms::present_unlisted_without_words(Level::Span, b"k"),
    ]
}

/// The terms of a key with any value that is listed.
fn any_listed() -> [Term; 2] {
    [
        terms::present_listed(Level::Span, b"k"),
        NumberKey::new(b"k").listed(Level::Span),
    ]
}

/// The terms of a key that is there, as anything.
fn present() -> Vec<Term> {
    let number = NumberKey::new(b"k").present(Level::Span);
    [&unlisted()[..], &any_listed(), &[number]].concat()
}

/// The terms of a key whose numbers are within these, or which is no number, where no listed values are known.
fn numbers(first: Magnitude, last: Magnitude) -> Vec<Term> {
    [&unlisted_numbers(first, last)[..], &any_listed()].concat()
}

/// The terms of a key with a value that is not listed, and is a number within these, or none.
fn unlisted_numbers(first: Magnitude, last: Magnitude) -> Vec<Term> {
    let number = NumberKey::new(b"k");
    let mut terms = unlisted().to_vec();
    terms.extend(
        first
            .through(last)
            .map(|it| number.with_magnitude(Level::Span, it)),
    );
    terms
}

#[test]
fn a_range_is_asked_for_by_the_magnitudes_that_it_spans() {
    let int = Magnitude::of_int;
    let double = |number| Magnitude::of_double(number).unwrap();
    for (op, text, r#type, (first, last)) in [
        ("gt", "599", "int", (int(512), Magnitude::MAX)),
        ("gte", "600", "", (int(512), Magnitude::MAX)),
        ("lt", "600", "int", (Magnitude::MIN, int(1023))),
        ("lte", "-0.3", "double", (Magnitude::MIN, double(-0.25))),
        // No number compares with it, nor with what is none.
        ("gt", "x", "", (Magnitude::MAX, Magnitude::MIN)),
        ("gt", "nan", "double", (Magnitude::MAX, Magnitude::MIN)),
        ("gt", "5", "string", (Magnitude::MAX, Magnitude::MIN)),
    ] {
        check_clauses(
            &on_attribute(op, typed(r#type, text)),
            &[&numbers(first, last)],
        );
    }
    // The nearest double stands a step higher than the integer itself.
    let text = (1_i64 << 60) - 1;
    check_clauses(
        &on_attribute("lt", untyped(&text.to_string())),
        &[&numbers(Magnitude::MIN, int(1 << 60))],
    );
    check_clauses(
        &on_attribute("gt", untyped(&text.to_string())),
        &[&numbers(int(1 << 59), Magnitude::MAX)],
    );
}

#[test]
fn ranges_of_one_value_are_asked_for_together() {
    let int = Magnitude::of_int;
    let both = |level: &str, above: i64, below: i64| {
        let key = || attr_at(level, "k");
        predicate(and([
            gte(key(), filter::int(above)),
            lt(key(), filter::int(below)),
        ]))
    };
    check_clauses(&both("span", 500, 600), &[&numbers(int(256), int(1023))]);
    check_clauses(
        &both("span", 600, 5),
        &[&numbers(Magnitude::MAX, Magnitude::MIN)],
    );
    // A span may have several events, one with each: they are asked for one by one.
    let clauses = plan(&both("event", 600, 5)).unwrap().search.clauses;
    assert!(
        matches!(&clauses[..], [one, two] if one.len() > 50 && two.len() > 50),
        "{clauses:?}"
    );
}

#[test]
fn a_list_is_asked_for_by_its_elements_unless_it_is_long() {
    let numbers = |count: u32| {
        let values: Vec<String> = (0..count).map(|value| value.to_string()).collect();
        list("int", values.iter().map(String::as_str))
    };
    check_clauses(&on_attribute("in", numbers(2)), &[&of_key(&["0", "1"])]);
    check_clauses(&on_attribute("in", numbers(5000)), &[&present()]);
}

#[test]
fn an_untyped_list_is_asked_for_in_every_form_that_equals_an_element() {
    let any = |values: &[&str]| on_attribute("in", list("", values.iter().copied()));
    check_clauses(
        &any(&["5e2", "500", "x", "1", "nan", "-0", "1.50"]),
        &[&of_key(&[
            "5e2", "500", "x", "1", "true", "nan", "-0", "0", "1.50", "1.5",
        ])],
    );
    // As an integer exactly, as a double the nearest.
    check_clauses(
        &any(&["9007199254740993"]),
        &[&of_key(&["9007199254740993", "9007199254740992"])],
    );
    check_clauses(&on_attribute("not_in", list("", ["1"])), &[&present()]);
    let long: Vec<String> = (0..5000).map(|value| format!("{value}.0")).collect();
    let long = list("", long.iter().map(String::as_str));
    check_clauses(&on_attribute("in", long), &[&present()]);
}

#[test]
fn words_are_not_asked_for_without_their_key() {
    let words = || list("", ["a", "b"]);
    for op in ["phrase", "fulltext"] {
        let clauses = plan(&on_attribute(op, words())).unwrap().search.clauses;
        assert!(!clauses.is_empty(), "{op}");
        check_clauses(&Predicate::Not(Box::new(on_attribute(op, words()))), &[]);
    }
}

#[test]
fn a_fact_of_one_event_is_asked_for_as_a_fact_of_the_span() {
    let named = eq(field("event", "name"), "e");
    let some = predicate(some("event", named));
    check_clauses(&some, &[&[terms::event_name(b"e")]]);
    check_clauses(&Predicate::Not(Box::new(some)), &[]);
}

#[test]
fn a_negation_is_carried_down_to_what_it_negates() {
    let not = |predicate| Predicate::Not(Box::new(predicate));
    check_clauses(&not(not(service())), &[&[terms::service(b"s")]]);
    check_clauses(
        &not(Predicate::Or(vec![not(service()), not(kind())])),
        &[&[terms::service(b"s")], &[terms::kind(SpanKind::Server)]],
    );
    assert_eq!(plan(&not(Predicate::ALWAYS)), None);
}

#[test]
fn a_trace_that_is_named_is_read_and_not_searched_for() {
    let of = |id: &str| predicate(eq(field("span", "traceID"), string(id)));
    let one = "000102030405060708090a0b0c0d0e0f";
    let traces = |predicate: &Predicate| plan(predicate).unwrap().traces.unwrap();
    assert_eq!(traces(&of(one)).first().unwrap().to_string(), one);
    let two = Predicate::Or(vec![of(one), of(&one.replace('f', "e"))]);
    assert_eq!(traces(&two).len(), 2);
    assert_eq!(plan(&Predicate::And(vec![two, of(&"1".repeat(32))])), None);
    assert_eq!(plan(&of(&one.to_uppercase())), None);
    assert_eq!(
        plan(&Predicate::Or(vec![of(one), service()]))
            .unwrap()
            .traces,
        None
    );
}
