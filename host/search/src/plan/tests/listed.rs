//! Plans where values are listed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use larder_core::telemetry::Metrics;
use larder_model::dictionary::{Bounds, Contents, Dictionary, Snapshot};
use larder_oracle::filter::{and, exists, fulltext, not, phrase, regex};

use super::*;
use crate::Limits;
use crate::budget::Budget;
use crate::omission::Omission;
use crate::session::Session;
use crate::testing::{Memory, limits, run};

mod texts;

/// A dictionary with these values of the attribute `k`.
fn snapshot<'a>(values: impl IntoIterator<Item = (Level, &'a str)>) -> Snapshot {
    let mut contents = Contents::default();
    for (level, form) in values {
        contents.add(level, b"k", form.as_bytes(), 0);
    }
    let dictionary = Dictionary::new(Bounds::default());
    dictionary.open(contents, true);
    dictionary.snapshot().unwrap()
}

fn at_span<const N: usize>(forms: [&'static str; N]) -> Snapshot {
    snapshot(forms.map(|form| (Level::Span, form)))
}

fn session(snapshot: Snapshot, limits: Limits) -> Session {
    let metrics = Arc::new(Metrics::new());
    let budget = Budget::new(&limits, Arc::clone(&metrics));
    let storage = Arc::new(Memory::default());
    Session::new(storage, limits, budget, Omission::new(metrics)).with_snapshot(Some(snapshot))
}

fn planned(predicate: &Predicate, snapshot: &Snapshot) -> Plan {
    let mut session = session(snapshot.clone(), limits());
    let plan = run(plan_in(&mut session, predicate));
    plan.unwrap().unwrap()
}

/// Each clause has the terms of these values besides others.
fn check_listed(predicate: &Predicate, snapshot: &Snapshot, expected: &[(&[&str], &[Term])]) {
    let clauses = expected.iter();
    let clauses: Vec<_> = clauses
        .map(|(forms, others)| [&of_key(forms)[..], others].concat())
        .collect();
    let clauses: Vec<_> = clauses.iter().map(Vec::as_slice).collect();
    check(&planned(predicate, snapshot), predicate, &clauses);
}

#[test]
fn a_pattern_is_asked_for_by_the_values_that_match() {
    let known = at_span(["GET", "POST", "PUT", "5"]);
    for (pattern, forms) in [
        ("P", &["POST", "PUT"][..]),
        ("T", &["GET", "POST", "PUT"]),
        ("patch", &[]),
        // As a text; a number has no match.
        ("5", &["5"]),
    ] {
        check_listed(
            &on_attribute("regex", untyped(pattern)),
            &known,
            &[(forms, &unlisted())],
        );
    }
    let another = predicate(regex(attr_at("event", "k"), string("T")));
    let clauses = planned(&another, &known).search.clauses;
    assert_eq!(clauses.first().unwrap().len(), 4, "nothing is listed there");
}

#[test]
fn more_values_than_a_clause_takes_are_asked_for_by_what_they_have_in_common() {
    let all: Vec<_> = (0..1025).map(|number| format!("v{number}")).collect();
    let at = |level| all.iter().map(move |form| (level, form.as_str()));
    let known = snapshot(at(Level::Span).chain([(Level::Resource, "v1"), (Level::Resource, "w")]));
    let listed = terms::present_listed(Level::Span, b"k");
    let text = [&unlisted()[..], &[listed]].concat();
    let pattern = |pattern| on_attribute("regex", untyped(pattern));
    check_listed(&pattern("v"), &known, &[(&[], &text)]);
    let clauses = planned(&pattern("v[1-4]"), &known).search.clauses;
    assert_eq!(clauses.first().unwrap().len(), 469 + 4, "these fit");
    // They would fit, too, and yet tell hardly any fragment apart.
    check_listed(&pattern("v[^7]"), &known, &[(&[], &text)]);

    // Of two levels the one that has few is asked for by them.
    let both = predicate(regex(filter::attr("k"), string("v")));
    let clauses = planned(&both, &known).search.clauses;
    let clause = clauses.first().unwrap();
    let of_resource = AttributeKey::new(b"k").with_value(Level::Resource, b"v1");
    assert!(clause.contains(&listed) && clause.contains(&of_resource));
    assert_eq!(clause.len(), 4 + 4 + 1 + 1);

    // A number, too.
    let different = on_attribute("ne", untyped("w"));
    check_listed(&different, &known, &[(&[], &present())]);
}

#[test]
fn most_of_many_values_are_asked_for_by_what_they_have_in_common() {
    for (count, matching, is_common) in [
        (64, 64, false),
        (65, 65, true),
        (130, 65, false),
        (129, 65, true),
        (1000, 500, false),
        (1000, 501, true),
    ] {
        let all: Vec<_> = (0..count)
            .map(|number| format!("{} {number}", if number < matching { "w" } else { "v" }))
            .collect();
        let known = snapshot(all.iter().map(|form| (Level::Span, form.as_str())));
        let pattern = on_attribute("regex", untyped("w"));
        let plan = planned(&pattern, &known);
        let clause = plan.search.clauses.first().unwrap();
        let of_values = if is_common { 1 } else { matching };
        assert_eq!(clause.len(), of_values + 4, "{matching} of {count}");
        let listed = terms::present_listed(Level::Span, b"k");
        assert_eq!(clause.contains(&listed), is_common);
    }
}

#[test]
fn a_range_is_asked_for_by_the_values_in_it() {
    let int = Magnitude::of_int;
    let known = at_span(["200", "404", "500", "503.5", "x", "600", "NaN"]);
    for (op, r#type, text, forms, within) in [
        (
            "gt",
            "int",
            "404",
            &["500", "600"][..],
            (int(256), Magnitude::MAX),
        ),
        (
            "gte",
            "double",
            "404",
            &["404", "500", "503.5", "600"],
            (int(256), Magnitude::MAX),
        ),
        ("lt", "int", "200", &[], (Magnitude::MIN, int(255))),
        // As text.
        (
            "gt",
            "string",
            "503",
            &["503.5", "600", "x", "NaN"],
            (Magnitude::MAX, Magnitude::MIN),
        ),
        // As a number and as text.
        (
            "gt",
            "",
            "500",
            &["503.5", "600", "x", "NaN"],
            (int(256), Magnitude::MAX),
        ),
    ] {
        check_listed(
            &on_attribute(op, typed(r#type, text)),
            &known,
            &[(forms, &unlisted_numbers(within.0, within.1))],
        );
    }
    let both = predicate(and([
        gte(attr_at("span", "k"), filter::int(400)),
        lt(attr_at("span", "k"), filter::int(600)),
    ]));
    let within = unlisted_numbers(int(256), int(1023));
    check_listed(&both, &known, &[(&["404", "500"], &within)]);
}

#[test]
fn what_differs_is_asked_for_by_the_values_that_do() {
    // Bytes have the form of a text, and differ from every text.
    let known = at_span(["GET", "POST", "5", "5.5", ""]);
    let number = NumberKey::new(b"k").present(Level::Span);
    let others = [&unlisted()[..], &[number]].concat();
    for (predicate, forms) in [
        (
            on_attribute("ne", typed("string", "GET")),
            &["POST", "5", "5.5", ""][..],
        ),
        (
            on_attribute("ne", typed("string", "POST")),
            &["GET", "POST", "5", "5.5", ""],
        ),
        (
            on_attribute("ne", untyped("5")),
            &["GET", "POST", "5.5", ""],
        ),
        (
            on_attribute("not_in", list("", ["5", "GET", "5.5"])),
            &["POST", ""],
        ),
        (
            predicate(and([
                exists(attr_at("span", "k")),
                not(regex(attr_at("span", "k"), string("[A-Z]"))),
                not(eq(attr_at("span", "k"), string("5"))),
            ])),
            // A number has no match, and differs from every text.
            &["POST", "5", "5.5", ""],
        ),
    ] {
        check_listed(&predicate, &known, &[(forms, &others)]);
    }
}

#[test]
fn words_are_asked_for_by_the_values_that_have_all_of_them() {
    let known = at_span(["timed out after 5 s", "out of time", "out"]);
    let among_others = |word: &str| {
        vec![
            terms::WordKey::new(b"k").with_word(Level::Span, word.as_bytes()),
            terms::unlisted_words(Level::Span, b"k"),
            AttributeKey::new(b"k").present(Level::Span),
            terms::present_unlisted_without_words(Level::Span, b"k"),
        ]
    };
    let attribute = || attr_at("span", "k");
    let both = &["timed out after 5 s"][..];
    check_listed(
        &predicate(fulltext(attribute(), ["out", "timed"])),
        &known,
        &[(both, &among_others("timed")), (both, &among_others("out"))],
    );
    check_listed(
        &predicate(phrase(attribute(), ["out", "timed"])),
        &known,
        &[(&[], &among_others("timed")), (&[], &among_others("out"))],
    );
    // A single word that is not listed may be all of the value.
    let mut alone = among_others("out");
    alone.extend(of_key(&["Out", "OUT"]));
    check_listed(
        &predicate(fulltext(attribute(), ["out"])),
        &known,
        &[(&["timed out after 5 s", "out of time", "out"], &alone)],
    );
    // A common word has no term.
    check_listed(
        &predicate(phrase(attribute(), ["5", "s"])),
        &known,
        &[(both, &unlisted())],
    );
}

#[test]
fn many_values_with_several_words_leave_fewer_words_to_ask_for() {
    let matching = (0..600).map(|number| format!("alpha beta {number}"));
    let others = (0..700).map(|number| format!("gamma {number}"));
    let all: Vec<_> = matching.chain(others).collect();
    let known = snapshot(all.iter().map(|form| (Level::Span, form.as_str())));
    let words = predicate(fulltext(attr_at("span", "k"), ["alpha", "beta"]));
    let clauses = planned(&words, &known).search.clauses;
    let alpha = terms::WordKey::new(b"k").with_word(Level::Span, b"alpha");
    assert!(matches!(&clauses[..], [one] if one.contains(&alpha) && one.len() == 604));
}

#[test]
fn a_long_list_is_asked_for_by_the_values_in_it() {
    let known = at_span(["7", "7000", "x"]);
    let all: Vec<_> = (0..5000).map(|value| value.to_string()).collect();
    let all = list("int", all.iter().map(String::as_str));
    let number = NumberKey::new(b"k").present(Level::Span);
    let others = [&unlisted()[..], &[number]].concat();
    check_listed(&on_attribute("in", all), &known, &[(&["7"], &others)]);
}

#[test]
fn presence_and_equality_need_no_values() {
    let known = at_span(["1", "2"]);
    check_listed(
        &predicate(exists(attr_at("span", "k"))),
        &known,
        &[(&[], &present())],
    );
    check_listed(
        &on_attribute("eq", typed("int", "1")),
        &known,
        &[(&["1"], &[])],
    );
    check_listed(
        &attribute("v"),
        &known,
        &[(&[], &{
            let key = AttributeKey::new(b"k");
            Level::ALL.map(|level| key.with_value(level, b"v"))
        })],
    );
}

#[test]
fn the_values_in_a_disjunction_are_asked_for_together() {
    let known = at_span(["GET", "POST"]);
    let either = Predicate::Or(vec![
        on_attribute("regex", untyped("G")),
        on_attribute("regex", untyped("S")),
    ]);
    let mut others = [unlisted(), unlisted()].concat();
    others.sort_unstable();
    others.dedup();
    check_listed(&either, &known, &[(&["GET", "POST"], &others)]);
}

#[test]
fn values_are_looked_at_until_the_deadline() {
    let all: Vec<_> = (0..200)
        .map(|number| format!("{number}{}", "a".repeat(64)))
        .collect();
    let known = snapshot(all.iter().map(|form| (Level::Span, form.as_str())));
    let limits = Limits {
        timeout: Duration::ZERO,
        ..limits()
    };
    let mut session = session(known, limits);
    let pattern = on_attribute("regex", untyped("b"));
    let error = run(plan_in(&mut session, &pattern)).unwrap_err();
    assert_eq!(error.setting(), Some("limits.query_timeout"));
}

#[test]
fn values_are_held_no_longer_than_a_plan_takes() {
    for predicate in [on_attribute("regex", untyped("G")), service()] {
        let mut session = session(at_span(["GET"]), limits());
        run(plan_in(&mut session, &predicate)).unwrap();
        assert!(session.take_snapshot().is_none(), "{predicate:?}");
    }
}

#[test]
fn values_that_take_too_long_count_as_matching() {
    let all: Vec<_> = (0..200).map(|number| format!("v{number}")).collect();
    let known = snapshot(all.iter().map(|form| (Level::Span, form.as_str())));
    let past = Instant::now().checked_sub(Duration::from_secs(1)).unwrap();
    let pattern = on_attribute("regex", untyped("w"));
    let mut session = session(known.clone(), limits());
    let listed = run(Listed::ask_until(&mut session, &pattern, Scope::Plan, past)).unwrap();
    let told = listed.told(&pattern);
    let unused = told.first().and_then(|told| told.unused.as_deref());
    assert_eq!(
        unused,
        Some("looking at them takes too long at the level span")
    );
    let any = terms::present_listed(Level::Span, b"k");
    let expected = [&unlisted()[..], &[any]].concat();
    let plan = super::super::plan(&pattern, &listed).unwrap();
    check(&plan, &pattern, &[expected.as_slice()]);
    // In the time that there is, none matches.
    check_listed(&pattern, &known, &[(&[], &unlisted())]);
}

#[test]
fn what_values_did_is_told() {
    let known = at_span(["GET", "POST", "PUT"]);
    let pattern = on_attribute("regex", untyped("P"));
    let negated = Predicate::Not(Box::new(pattern.clone()));
    let told = |predicate: &Predicate, scope| {
        let mut session = session(known.clone(), limits());
        let listed = run(Listed::ask(&mut session, predicate, scope)).unwrap();
        let inner = match predicate {
            Predicate::Not(inner) => inner,
            other => other,
        };
        listed.told(inner).first().map(ToString::to_string)
    };
    let line = "attribute \"k\" of span: 2 of 3 listed values match".to_owned();
    assert_eq!(told(&pattern, Scope::Plan), Some(line.clone()));
    assert_eq!(told(&negated, Scope::Plan), None, "no plan needs it");
    assert_eq!(told(&negated, Scope::Explanation), Some(line));
}
