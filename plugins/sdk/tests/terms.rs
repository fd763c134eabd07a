//! The terms match the test vectors that every implementation must match.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use larder_plugin::SpanKind;
use larder_plugin::terms::{self, Level, StatusCode, TextField};
use serde_json::Value;

const KINDS: [SpanKind; 6] = [
    SpanKind::Unspecified,
    SpanKind::Internal,
    SpanKind::Server,
    SpanKind::Client,
    SpanKind::Producer,
    SpanKind::Consumer,
];
const STATUSES: [StatusCode; 3] = [StatusCode::Unset, StatusCode::Ok, StatusCode::Error];
const TEXT_FIELDS: [TextField; 3] = [
    TextField::SpanName,
    TextField::StatusMessage,
    TextField::EventName,
];
const LEVELS: [(&str, Level); 5] = [
    ("span", Level::Span),
    ("event", Level::Event),
    ("link", Level::Link),
    ("resource", Level::Resource),
    ("scope", Level::Scope),
];

fn bytes(part: &Value) -> Vec<u8> {
    if let Some(text) = part.as_str() {
        return text.as_bytes().to_vec();
    }
    let hex = part["hex"].as_str().unwrap();
    let digits = (0..hex.len()).step_by(2).map(|at| &hex[at..at + 2]);
    digits
        .map(|it| u8::from_str_radix(it, 16).unwrap())
        .collect()
}

fn term(fact: &str, parts: &[Vec<u8>]) -> u64 {
    let text = |at: usize| std::str::from_utf8(&parts[at]).unwrap();
    let number = || usize::from(parts[0][0]);
    if let Some((level, rest)) = fact.split_once(" attribute ") {
        let (_, level) = LEVELS.into_iter().find(|(name, _)| *name == level).unwrap();
        return match rest {
            "present" => terms::attribute_present(level, text(0)),
            "present with words" => terms::attribute_present_with_words(level, text(0)),
            "value" => terms::attribute(level, text(0), text(1)),
            "word" => terms::attribute_word(level, text(0), text(1)),
            "unlisted words" => terms::attribute_unlisted_words(level, text(0)),
            "listed" => terms::attribute_listed(level, text(0)),
            "unlisted" => terms::attribute_unlisted(level, text(0)),
            "unlisted without words" => terms::attribute_unlisted_without_words(level, text(0)),
            "listed number" => terms::number_listed(level, text(0)),
            "number" => terms::number_present(level, text(0)),
            "magnitude" => terms::magnitude(level, text(0), parts[1][0]),
            other => panic!("unknown fact {other}"),
        };
    }
    match fact {
        "service" => terms::service(text(0)),
        "span name" => terms::span_name(text(0)),
        "service and span name" => terms::service_and_span_name(text(0), text(1)),
        "kind" => terms::kind(KINDS[number()]),
        "status" => terms::status(STATUSES[number()]),
        "service with error" => terms::service_with_error(text(0)),
        "scope name" => terms::scope_name(text(0)),
        "scope version" => terms::scope_version(text(0)),
        "event name" => terms::event_name(text(0)),
        "link trace id" => terms::link_trace_id(&parts[0]),
        "with dictionary" => terms::with_dictionary(),
        "status with listed texts" => terms::status_with_listed_texts(STATUSES[number()]),
        "unlisted text" => terms::unlisted_text(TEXT_FIELDS[number()]),
        "listed status message" => terms::listed_status_message(text(0)),
        other => panic!("unknown fact {other}"),
    }
}

#[test]
fn every_vector_holds() {
    let vectors: Vec<Value> =
        serde_json::from_str(include_str!("../../../wit/terms.json")).unwrap();
    assert!(vectors.len() > 40, "only {} vectors", vectors.len());
    for vector in vectors {
        let parts: Vec<Vec<u8>> = vector["parts"]
            .as_array()
            .unwrap()
            .iter()
            .map(bytes)
            .collect();
        let due = u64::from_str_radix(vector["term"].as_str().unwrap(), 16).unwrap();
        let found = term(vector["fact"].as_str().unwrap(), &parts);
        assert_eq!(found, due, "{vector}");
    }
}
