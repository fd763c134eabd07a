//! Terms of values that are in the dictionary, and of those that are not.

use larder_model::dictionary::{Bounds, Contents, Dictionary, Source};
use larder_model::storage::{Batch, StatusCode, Term};
use larder_model::terms::{self, AttributeKey, Level, Magnitude, NumberKey, TextField, WordKey};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValueList};
use opentelemetry_proto::tonic::trace::v1::span::Event;
use opentelemetry_proto::tonic::trace::v1::{Span, Status};

use super::build::{attribute, shop, span, text};
use super::{LIMITS, fragments};
use crate::{Ingest, Ingested, Limits, split};

const KEY: &[u8] = b"k";

fn opened(bounds: Bounds) -> Dictionary {
    let dictionary = Dictionary::new(bounds);
    dictionary.open(Contents::default(), true);
    dictionary
}

/// A dictionary without room.
fn full() -> Dictionary {
    opened(Bounds {
        values: 0,
        ..Bounds::default()
    })
}

fn with(id: u8, value: impl Into<Option<AnyValue>>) -> Span {
    Span {
        attributes: vec![attribute("k", value)],
        ..span(id, id)
    }
}

fn walk(dictionary: Option<&Dictionary>, word_terms: bool, request: &[u8]) -> Ingested {
    let mut ingest = Ingest::new(LIMITS);
    ingest.set_word_terms(word_terms);
    ingest.set_dictionary(dictionary.and_then(|it| it.for_request(0)));
    ingest.walk(request).unwrap()
}

/// The terms of the key in a fragment with this value, by name.
fn presence(
    dictionary: Option<&Dictionary>,
    word_terms: bool,
    value: impl Into<Option<AnyValue>>,
) -> Vec<&'static str> {
    let ingested = walk(dictionary, word_terms, &shop(vec![with(1, value)]));
    let number = NumberKey::new(KEY);
    let all = [
        ("16", AttributeKey::new(KEY).present(Level::Span)),
        ("17", number.present(Level::Span)),
        ("17 listed", number.listed(Level::Span)),
        ("20", terms::present_with_words(Level::Span, KEY)),
        ("21", terms::present_listed(Level::Span, KEY)),
        ("22", terms::present_unlisted(Level::Span, KEY)),
        (
            "23",
            terms::present_unlisted_without_words(Level::Span, KEY),
        ),
        ("24", terms::with_dictionary()),
    ];
    let fragments = fragments(&ingested);
    let found = all
        .into_iter()
        .filter(|(_, term)| fragments[0].terms.contains(term));
    found.map(|(name, _)| name).collect()
}

fn of(value: Value) -> AnyValue {
    AnyValue { value: Some(value) }
}

fn text_of(part: &[u8]) -> String {
    String::from_utf8(part.to_owned()).unwrap()
}

/// The values of attributes that are to be recorded.
fn noted(ingested: &Ingested) -> Vec<(Level, String, String)> {
    let listed = ingested.batches[0].listed().unwrap().values();
    let mut noted: Vec<_> = listed
        .filter_map(|(source, key, form)| match source {
            Source::Attribute(level) => Some((level, text_of(key), text_of(form))),
            Source::Text(_) => None,
        })
        .collect();
    noted.sort();
    noted
}

/// The texts of spans that are to be recorded.
fn noted_texts(ingested: &Ingested) -> Vec<(TextField, String)> {
    let listed = ingested.batches[0].listed().unwrap().values();
    let mut noted: Vec<_> = listed
        .filter_map(|(source, key, form)| match source {
            Source::Attribute(_) => None,
            Source::Text(field) => {
                assert!(key.is_empty());
                Some((field, text_of(form)))
            }
        })
        .collect();
    noted.sort();
    noted
}

#[test]
fn the_presence_of_a_key_tells_whether_its_value_is_listed() {
    let (listed, unlisted) = (opened(Bounds::default()), full());
    for word_terms in [true, false] {
        let (plain, other) = if word_terms {
            ("20", "22")
        } else {
            ("16", "23")
        };
        for value in [
            Some(text("two words")),
            Some(of(Value::BoolValue(true))),
            Some(of(Value::BytesValue(vec![1, 2]))),
            Some(of(Value::DoubleValue(f64::NAN))),
            Some(AnyValue::default()),
            None,
        ] {
            let found = |dictionary| presence(dictionary, word_terms, value.clone());
            assert_eq!(found(None), [plain]);
            assert_eq!(found(Some(&listed)), ["21", "24"]);
            assert_eq!(found(Some(&unlisted)), [other, "24"]);
        }
        for value in [
            Value::ArrayValue(ArrayValue::default()),
            Value::KvlistValue(KeyValueList::default()),
        ] {
            let found = |dictionary| presence(dictionary, word_terms, of(value.clone()));
            assert_eq!(found(None), [plain]);
            assert_eq!(found(Some(&listed)), ["23", "24"]);
            assert_eq!(found(Some(&unlisted)), ["23", "24"]);
        }
        for value in [Value::IntValue(-7), Value::DoubleValue(0.5)] {
            let found = |dictionary| presence(dictionary, word_terms, of(value.clone()));
            assert_eq!(found(None), ["17"]);
            assert_eq!(found(Some(&listed)), ["17 listed", "24"]);
            assert_eq!(found(Some(&unlisted)), ["17", "24"]);
        }
    }
}

#[test]
fn a_listed_value_has_its_own_term_and_no_narrower_one() {
    let sent = shop(vec![
        with(1, text("two words")),
        with(2, of(Value::IntValue(7))),
    ]);
    let value = |form: &str| AttributeKey::new(KEY).with_value(Level::Span, form.as_bytes());
    let word = WordKey::new(KEY).with_word(Level::Span, b"words");
    let magnitude = NumberKey::new(KEY).with_magnitude(Level::Span, Magnitude::of_int(7));
    let listed = opened(Bounds::default());
    for (dictionary, is_narrow) in [(&listed, false), (&full(), true)] {
        let ingested = walk(Some(dictionary), true, &sent);
        let terms: Vec<Term> = ingested.batches[0].terms().to_vec();
        assert!(terms.contains(&value("two words")));
        assert!(terms.contains(&value("7")));
        assert_eq!(terms.contains(&word), is_narrow);
        assert_eq!(terms.contains(&magnitude), is_narrow);
    }
}

#[test]
fn a_fragment_may_have_listed_values_of_a_key_and_others() {
    let dictionary = opened(Bounds {
        value_bytes: 9,
        ..Bounds::default()
    });
    let one = Span {
        attributes: vec![
            attribute("k", text("short one")),
            attribute("k", text("a longer one")),
        ],
        ..span(1, 1)
    };
    let ingested = walk(Some(&dictionary), true, &shop(vec![one]));
    let terms = ingested.batches[0].terms();
    let word = |word: &str| WordKey::new(KEY).with_word(Level::Span, word.as_bytes());
    assert!(terms.contains(&terms::present_listed(Level::Span, KEY)));
    assert!(terms.contains(&terms::present_unlisted(Level::Span, KEY)));
    assert!(terms.contains(&word("longer")));
    assert!(!terms.contains(&word("short")));
}

#[test]
fn every_batch_of_a_request_has_all_new_values() {
    let limits = Limits {
        max_batch_bytes: 400,
        ..LIMITS
    };
    let dictionary = opened(Bounds::default());
    let mut ingest = Ingest::new(limits);
    ingest.set_dictionary(dictionary.for_request(0));
    let spans = (1..=6).map(|id| with(id, text(format!("value {id}"))));
    let ingested = ingest.walk(&shop(spans.collect())).unwrap();
    assert!(ingested.batches.len() > 1);
    let mut expected: Vec<_> = (1..=6)
        .map(|id| (Level::Span, "k".to_owned(), format!("value {id}")))
        .collect();
    let service = (
        Level::Resource,
        "service.name".to_owned(),
        "shop".to_owned(),
    );
    expected.push(service);
    for batch in &ingested.batches {
        let one = Ingested {
            batches: vec![batch.clone()],
            ..Ingested::default()
        };
        assert_eq!(noted(&one), expected);
    }
}

#[test]
fn a_converter_lists_values_while_it_is_told_to() {
    let dictionary = opened(Bounds::default());
    let mut ingest = Ingest::new(LIMITS);
    let sent = shop(vec![with(1, text("one"))]);
    for on in [false, true, false, true] {
        ingest.set_dictionary(dictionary.for_request(0).filter(|_| on));
        let ingested = ingest.walk(&sent).unwrap();
        let batch = &ingested.batches[0];
        assert_eq!(batch.listed().is_some(), on);
        let listed = terms::present_listed(Level::Span, KEY);
        assert_eq!(batch.terms().contains(&listed), on);
    }
}

/// A span with a name, a status message and an event of these texts.
fn with_texts(id: u8, name: &str, message: &str, event: &str) -> Span {
    Span {
        name: name.to_owned(),
        status: Some(Status {
            message: message.to_owned(),
            code: 2,
        }),
        events: vec![Event {
            name: event.to_owned(),
            ..Event::default()
        }],
        ..span(id, id)
    }
}

#[test]
fn the_texts_of_spans_are_listed() {
    let dictionary = opened(Bounds::default());
    let one = with_texts(1, "GET", "refused", "retry");
    let sent = shop(vec![one, with_texts(2, "", "", "")]);
    let listed = walk(Some(&dictionary), true, &sent);
    let expected = [
        (TextField::SpanName, "GET"),
        (TextField::SpanName, "empty-span-name"),
        (TextField::StatusMessage, "refused"),
        (TextField::EventName, ""),
        (TextField::EventName, "retry"),
    ];
    let expected = expected.map(|(field, text)| (field, text.to_owned()));
    assert_eq!(noted_texts(&listed), expected);
    let error = StatusCode::Error;
    let message = terms::listed_status_message(b"refused");
    for fragment in fragments(&listed) {
        let has = |term| fragment.terms.contains(&term);
        assert!(has(terms::status_with_listed_texts(error)));
        assert!(!has(terms::status(error)));
        for field in TEXT_FIELDS {
            assert!(!has(terms::unlisted_text(field)), "{field:?}");
        }
    }
    assert!(listed.batches[0].terms().contains(&message));

    // Without a dictionary all is as older releases had it.
    let plain = walk(None, true, &sent);
    for fragment in fragments(&plain) {
        let has = |term| fragment.terms.contains(&term);
        assert!(has(terms::status(error)));
        assert!(!has(terms::status_with_listed_texts(error)));
    }
    assert!(!plain.batches[0].terms().contains(&message));
}

const TEXT_FIELDS: [TextField; 3] = [
    TextField::SpanName,
    TextField::StatusMessage,
    TextField::EventName,
];

#[test]
fn a_text_that_is_not_listed_is_told() {
    let dictionary = opened(Bounds {
        value_bytes: 12,
        ..Bounds::default()
    });
    let long = "a text that is too long";
    for (span, unlisted) in [
        (with_texts(1, long, "short", "short"), TextField::SpanName),
        (
            with_texts(1, "short", long, "short"),
            TextField::StatusMessage,
        ),
        (with_texts(1, "short", "short", long), TextField::EventName),
    ] {
        let ingested = walk(Some(&dictionary), true, &shop(vec![span]));
        let terms = ingested.batches[0].terms();
        for field in TEXT_FIELDS {
            let is_told = terms.contains(&terms::unlisted_text(field));
            assert_eq!(is_told, field == unlisted, "{field:?}");
        }
        assert!(terms.contains(&terms::status_with_listed_texts(StatusCode::Error)));
        let message = terms::listed_status_message(long.as_bytes());
        assert!(!terms.contains(&message));
        assert!(noted_texts(&ingested).iter().all(|(_, text)| text != long));
    }
}

/// A request that is not UTF-8 is walked twice, and listed as it is stored.
#[test]
fn the_values_of_a_repaired_request_are_listed() {
    let mut sent = shop(vec![with(1, text("one ab"))]);
    let at = sent.windows(6).position(|it| it == b"one ab").unwrap();
    sent[at + 4] = 0xff;
    let dictionary = opened(Bounds::default());
    let ingested = walk(Some(&dictionary), true, &sent);
    assert_eq!(ingested.spans, 1);
    let expected = [
        (Level::Span, "k", "one \u{fffd}b"),
        (Level::Span, "larder.replaced.strings", "1"),
        (Level::Resource, "service.name", "shop"),
    ];
    let expected = expected.map(|(level, key, form)| (level, key.to_owned(), form.to_owned()));
    assert_eq!(noted(&ingested), expected);
}

#[test]
fn each_share_of_a_request_has_its_own_values() {
    let sent = [
        shop(vec![with(1, text("one"))]),
        shop(vec![with(2, text("two"))]),
    ]
    .concat();
    let mut next = 0;
    let shares = split(&sent, "service.name", |_| {
        next += 1;
        next - 1
    });
    let mut ingest = Ingest::new(LIMITS);
    for (share, form) in shares.unwrap().iter().zip(["one", "two"]) {
        let dictionary = opened(Bounds::default());
        ingest.set_dictionary(dictionary.for_request(0));
        let ingested = ingest.walk_share(&sent, share).unwrap();
        let noted = noted(&ingested);
        let forms: Vec<_> = noted.iter().map(|(_, _, form)| form.as_str()).collect();
        assert_eq!(forms, [form, "shop"]);
        assert!(
            ingested
                .batches
                .iter()
                .all(|batch: &Batch| batch.listed().is_some())
        );
    }
}
