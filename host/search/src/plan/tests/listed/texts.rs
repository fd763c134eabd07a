//! Plans over the texts of spans that are listed: names, status messages and names of events.

use larder_model::terms::TextField;
use larder_oracle::filter::{in_list, is_in, ne, not_in, or};

use super::*;

const NAME: TextField = TextField::SpanName;
const MESSAGE: TextField = TextField::StatusMessage;
const EVENT: TextField = TextField::EventName;

/// A dictionary with some texts of each field.
fn known() -> Snapshot {
    let all = [
        (NAME, "GET"),
        (NAME, "POST"),
        (NAME, "PUT"),
        (MESSAGE, "connection refused"),
        (MESSAGE, "timed out"),
        (EVENT, "exception"),
        (EVENT, "retry"),
        (EVENT, ""),
    ];
    of_texts(all.into_iter())
}

fn of_texts<'a>(texts: impl Iterator<Item = (TextField, &'a str)>) -> Snapshot {
    let mut contents = Contents::default();
    for (field, text) in texts {
        contents.add(field, b"", text.as_bytes(), 0);
    }
    let dictionary = Dictionary::new(Bounds::default());
    dictionary.open(contents, true);
    dictionary.snapshot().unwrap()
}

fn name() -> Expression {
    field("span", "name")
}

fn message() -> Expression {
    field("span", "statusMessage")
}

fn event() -> Expression {
    field("event", "name")
}

/// The terms of texts that are listed.
fn terms_of(of: TextField, texts: &[&str]) -> Vec<Term> {
    let texts = texts.iter().map(|text| text.as_bytes());
    texts
        .map(|text| match of {
            TextField::SpanName => terms::span_name(text),
            TextField::StatusMessage => terms::listed_status_message(text),
            TextField::EventName => terms::event_name(text),
        })
        .collect()
}

/// The terms of fragments with a text that is not listed, and of those that older releases wrote.
fn unlisted_text(of: TextField) -> [Term; 4] {
    [
        terms::unlisted_text(of),
        terms::status(StatusCode::Unset),
        terms::status(StatusCode::Ok),
        terms::status(StatusCode::Error),
    ]
}

/// The plan asks for these texts, or for one that is not listed.
fn check_texts(filter: Call, known: &Snapshot, of: TextField, texts: &[&str]) {
    let predicate = predicate(filter);
    let clause = [&terms_of(of, texts)[..], &unlisted_text(of)].concat();
    check(&planned(&predicate, known), &predicate, &[&clause]);
}

#[test]
fn a_condition_on_a_text_is_asked_for_by_the_texts_that_satisfy_it() {
    let known = known();
    for (filter, of, texts) in [
        (regex(name(), string("P")), NAME, &["POST", "PUT"][..]),
        (regex(name(), string("patch")), NAME, &[]),
        (lt(name(), string("H")), NAME, &["GET"]),
        (
            regex(message(), string("ref.*d")),
            MESSAGE,
            &["connection refused"],
        ),
        (regex(message(), string("timed")), MESSAGE, &["timed out"]),
        (
            exists(message()),
            MESSAGE,
            &["connection refused", "timed out"],
        ),
        (regex(event(), string("ex")), EVENT, &["exception"]),
        (
            some("event", regex(event(), string("e"))),
            EVENT,
            &["exception", "retry"],
        ),
        (exists(event()), EVENT, &["exception", "retry", ""]),
    ] {
        check_texts(filter, &known, of, texts);
    }
}

#[test]
fn a_text_that_differs_is_asked_for_where_it_is_known_to_be_there() {
    let known = known();
    for (filter, of, texts) in [
        // Every span has a name.
        (ne(name(), string("GET")), NAME, &["POST", "PUT"][..]),
        (not(regex(name(), string("P"))), NAME, &["GET"]),
        (not_in(name(), list("", ["GET", "PUT"])), NAME, &["POST"]),
        (
            not(or([eq(name(), "GET"), regex(name(), string("S"))])),
            NAME,
            &["PUT"],
        ),
        (
            and([ne(name(), string("GET")), not(regex(name(), string("S")))]),
            NAME,
            &["PUT"],
        ),
        (
            ne(message(), string("timed out")),
            MESSAGE,
            &["connection refused"],
        ),
        (
            some("event", not_in(event(), list("", ["retry", ""]))),
            EVENT,
            &["exception"],
        ),
    ] {
        check_texts(filter, &known, of, texts);
    }
    // A span without a message satisfies it, and it has no term.
    for filter in [
        not(regex(message(), string("x"))),
        not(eq(message(), string("x"))),
        not(regex(event(), string("x"))),
    ] {
        let plan = planned(&predicate(filter), &known);
        assert!(plan.search.clauses.is_empty());
    }
}

#[test]
fn equal_texts_need_no_dictionary() {
    let of_message = terms_of(MESSAGE, &["refused"]);
    let refused = [&of_message[..], &unlisted_text(MESSAGE)].concat();
    let names: Vec<_> = (0..100).map(|number| format!("n{number}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    for (filter, clause) in [
        (eq(message(), string("refused")), refused.clone()),
        (in_list(message(), "", ["refused", "refused"]), refused),
        (eq(event(), string("e")), terms_of(EVENT, &["e"])),
        (
            is_in(name(), list("", names.iter().copied())),
            terms_of(NAME, &names),
        ),
    ] {
        check_clauses(&predicate(filter), &[&clause]);
    }
}

#[test]
fn nothing_is_asked_for_where_texts_are_unknown_or_too_many_match() {
    let all: Vec<_> = (0..1025).map(|number| format!("v{number}")).collect();
    let many = of_texts(all.iter().map(|text| (NAME, text.as_str())));
    let any = predicate(regex(name(), string("v")));
    assert!(planned(&any, &many).search.clauses.is_empty());
    assert!(plan(&any).unwrap().search.clauses.is_empty());
    check_texts(
        regex(name(), string("v102")),
        &many,
        NAME,
        &["v102", "v1020", "v1021", "v1022", "v1023", "v1024"],
    );
}

#[test]
fn a_status_is_asked_for_in_fragments_with_listed_texts_and_in_others() {
    let error = StatusCode::Error;
    check_clauses(
        &Leaf::Status(error).into(),
        &[&[terms::status(error), terms::status_with_listed_texts(error)]],
    );
}

#[test]
fn what_texts_did_is_told() {
    let known = known();
    let different = predicate(ne(name(), string("GET")));
    let words = predicate(regex(message(), string("out")));
    for (predicate, line) in [
        (different, "span.name: 2 of 3 listed values match"),
        (words, "span.statusMessage: 1 of 2 listed values match"),
    ] {
        let mut session = session(known.clone(), limits());
        let listed = run(Listed::ask(&mut session, &predicate, Scope::Explanation)).unwrap();
        let told: Vec<_> = listed
            .told(&predicate)
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(told, [line]);
    }
}
