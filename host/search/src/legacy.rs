//! The legacy fields of Jaeger's query as parts of a predicate.
//!
//! Rules: W3, W4 and Q4 to Q15 of `host/docs/rules.md`.

use std::collections::HashMap;

use larder_model::storage::{SpanKind, StatusCode};
use larder_model::string_form;
use larder_model::terms::Level;
use larder_proto::otlp::AnyValue;
use larder_proto::storage::v2::any_value::Value;
use larder_proto::storage::v2::{AnyValue as QueryValue, KeyValue, TraceQueryParameters};
use prost::Message as _;

use super::filter::parse_bool;
use super::predicate::{Leaf, Levels, Predicate};

/// The predicates of all fields except times and durations; those that are cheap to judge come first.
pub(super) fn fields(parameters: TraceQueryParameters) -> Vec<Predicate> {
    let mut parts = Vec::new();
    if !parameters.service_name.is_empty() {
        parts.push(Leaf::Service(parameters.service_name).into());
    }
    if !parameters.operation_name.is_empty() {
        parts.push(Leaf::SpanName(parameters.operation_name).into());
    }
    let (plain, special): (Vec<_>, Vec<_>) = last_of_each_key(&parameters.attributes)
        .into_iter()
        .map(|(key, value)| attribute(key, value))
        .partition(|part| matches!(part, Predicate::Leaf(Leaf::Attribute { .. })));
    parts.extend(special);
    parts.extend(plain);
    parts
}

/// An attribute without a value is ignored; of those with one, the last of a key counts (W3).
pub(super) fn last_of_each_key(attributes: &[KeyValue]) -> Vec<(&str, &Value)> {
    let mut kept: Vec<(&str, &Value)> = Vec::new();
    let mut places = HashMap::new();
    for attribute in attributes {
        let Some(value) = attribute.value.as_ref().and_then(|any| any.value.as_ref()) else {
            continue;
        };
        let place = *places.entry(attribute.key.as_str()).or_insert(kept.len());
        match kept.get_mut(place) {
            Some(former) => former.1 = value,
            None => kept.push((&attribute.key, value)),
        }
    }
    kept
}

/// The special keys ask of the span or its scope (Q10 to Q14); a literal attribute of such a name is not consulted (Q15). Any
/// other key is looked for at every level (Q9).
fn attribute(key: &str, value: &Value) -> Predicate {
    if key == "error" {
        return error(value);
    }
    let Some(form) = form_of(value) else {
        return Predicate::NEVER;
    };
    match key {
        "span.status" => status(&form),
        "span.kind" => kind(&form),
        "scope.name" => Leaf::ScopeName(form).into(),
        "scope.version" => Leaf::ScopeVersion(form).into(),
        _ => {
            let (levels, key) = match key.strip_prefix("resource.") {
                Some(key) => (Levels::one(Level::Resource), key),
                None => (Levels::ALL, key),
            };
            let key = key.to_owned();
            Leaf::Attribute { levels, key, form }.into()
        }
    }
}

/// A bool, or a string that Go's `ParseBool` reads; anything else matches nothing (Q10).
fn error(value: &Value) -> Predicate {
    let wanted = match value {
        Value::BoolValue(wanted) => Some(*wanted),
        Value::StringValue(word) => parse_bool(word).ok(),
        _ => None,
    };
    let error = Predicate::from(Leaf::Status(StatusCode::Error));
    match wanted {
        Some(true) => error,
        Some(false) => Predicate::Not(Box::new(error)),
        None => Predicate::NEVER,
    }
}

/// A word for a status in any case; an unknown one matches nothing (Q11).
fn status(word: &str) -> Predicate {
    match word.to_uppercase().as_str() {
        "UNSET" => Leaf::Status(StatusCode::Unset).into(),
        "OK" => Leaf::Status(StatusCode::Ok).into(),
        "ERROR" => Leaf::Status(StatusCode::Error).into(),
        _ => Predicate::NEVER,
    }
}

/// A word for a kind in any case; an unknown one matches nothing (Q12).
fn kind(word: &str) -> Predicate {
    match word.to_uppercase().as_str() {
        "UNSPECIFIED" => Leaf::Kind(SpanKind::Unspecified).into(),
        "INTERNAL" => Leaf::Kind(SpanKind::Internal).into(),
        "SERVER" => Leaf::Kind(SpanKind::Server).into(),
        "CLIENT" => Leaf::Kind(SpanKind::Client).into(),
        "PRODUCER" => Leaf::Kind(SpanKind::Producer).into(),
        "CONSUMER" => Leaf::Kind(SpanKind::Consumer).into(),
        _ => Predicate::NEVER,
    }
}

/// A query's value in the form that stored values are compared by (Q8); the two have one encoding. `None` for a value that nests
/// deeper than any stored one may.
fn form_of(value: &Value) -> Option<String> {
    let value = QueryValue {
        value: Some(value.clone()),
    };
    let encoded = value.encode_to_vec();
    let mut form = Vec::new();
    if let Some(value) = AnyValue::parse(&encoded).ok()? {
        string_form::write(&value, &mut form);
    }
    String::from_utf8(form).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use larder_proto::storage::v2::ArrayValue;
    use prost_types::{Duration, Timestamp};

    use super::*;
    use crate::predicate::Range;
    use crate::query::query;
    use crate::testing::limits;

    #[expect(
        clippy::unnecessary_wraps,
        reason = "an attribute may be without a value"
    )]
    fn text(text: &str) -> Option<Value> {
        Some(Value::StringValue(text.to_owned()))
    }

    fn with(attributes: Vec<(&str, Option<Value>)>) -> TraceQueryParameters {
        let attributes = attributes.into_iter().map(|(key, value)| KeyValue {
            key: key.to_owned(),
            value: Some(QueryValue { value }),
        });
        TraceQueryParameters {
            attributes: attributes.collect(),
            ..TraceQueryParameters::default()
        }
    }

    /// Checks the parts of the predicate that the parameters become.
    fn check(parameters: &TraceQueryParameters, expected: &[Predicate]) {
        let predicate = query(parameters.clone(), &limits()).unwrap().predicate;
        assert_eq!(
            predicate,
            Predicate::And(expected.to_vec()),
            "{parameters:?}"
        );
    }

    fn plain(key: &str, form: &str) -> Predicate {
        let (key, form) = (key.to_owned(), form.to_owned());
        let levels = Levels::ALL;
        Leaf::Attribute { levels, key, form }.into()
    }

    #[test]
    fn fields_that_are_empty_ask_nothing() {
        let unset = Some(Timestamp {
            seconds: -62_135_596_800,
            nanos: 0,
        });
        check(
            &TraceQueryParameters {
                start_time_min: unset,
                start_time_max: unset,
                duration_min: Some(Duration::default()),
                duration_max: Some(Duration::default()),
                ..TraceQueryParameters::default()
            },
            &[],
        );
    }

    #[test]
    fn each_field_asks_its_fact() {
        let time = |seconds| Some(Timestamp { seconds, nanos: 0 });
        let length = |nanos| Some(Duration { seconds: 0, nanos });
        check(
            &TraceQueryParameters {
                service_name: "s".to_owned(),
                operation_name: "o".to_owned(),
                start_time_min: time(0),
                start_time_max: time(1),
                duration_min: length(-5),
                duration_max: length(7),
                ..TraceQueryParameters::default()
            },
            &[
                Leaf::Start(Range {
                    min: 0,
                    max: 1_000_000_000,
                })
                .into(),
                Leaf::Duration(Range { min: -5, max: 7 }).into(),
                Leaf::Service("s".to_owned()).into(),
                Leaf::SpanName("o".to_owned()).into(),
            ],
        );
    }

    #[test]
    fn an_attribute_without_a_value_is_ignored_and_the_last_of_a_key_counts() {
        let mut parameters = with(vec![
            ("k", text("1")),
            ("other", text("o")),
            ("k", text("2")),
            ("k", None),
        ]);
        parameters.attributes.push(KeyValue {
            key: "k".to_owned(),
            value: None,
        });
        check(&parameters, &[plain("k", "2"), plain("other", "o")]);
    }

    #[test]
    fn a_value_is_compared_by_its_string_form() {
        for (value, form) in [
            (Value::IntValue(-7), "-7"),
            (Value::DoubleValue(72.5), "72.5"),
            (Value::DoubleValue(1e-9), "1e-9"),
            (Value::BoolValue(true), "true"),
            (Value::BytesValue(vec![1, 2, 3]), "AQID"),
            (Value::ArrayValue(ArrayValue { values: Vec::new() }), "[]"),
        ] {
            check(&with(vec![("k", Some(value))]), &[plain("k", form)]);
        }
    }

    #[test]
    fn error_is_a_word_of_parse_bool_or_matches_nothing() {
        let error = Predicate::from(Leaf::Status(StatusCode::Error));
        let no_error = Predicate::Not(Box::new(error.clone()));
        for word in ["1", "t", "T", "TRUE", "true", "True"] {
            check(
                &with(vec![("error", text(word))]),
                std::slice::from_ref(&error),
            );
        }
        for word in ["0", "f", "F", "FALSE", "false", "False"] {
            check(
                &with(vec![("error", text(word))]),
                std::slice::from_ref(&no_error),
            );
        }
        check(
            &with(vec![("error", Some(Value::BoolValue(true)))]),
            &[error],
        );
        check(
            &with(vec![("error", Some(Value::BoolValue(false)))]),
            &[no_error],
        );
        for value in [text("tRUE"), text(""), Some(Value::IntValue(1))] {
            check(&with(vec![("error", value)]), &[Predicate::NEVER]);
        }
    }

    #[test]
    fn words_for_status_and_kind_are_read_in_any_case_and_unknown_ones_match_nothing() {
        for (key, word, expected) in [
            ("span.status", "oK", Leaf::Status(StatusCode::Ok)),
            ("span.status", "ERROR", Leaf::Status(StatusCode::Error)),
            ("span.status", "unset", Leaf::Status(StatusCode::Unset)),
            ("span.kind", "server", Leaf::Kind(SpanKind::Server)),
            ("span.kind", "Client", Leaf::Kind(SpanKind::Client)),
            ("span.kind", "PRODUCER", Leaf::Kind(SpanKind::Producer)),
            ("span.kind", "consumer", Leaf::Kind(SpanKind::Consumer)),
            ("span.kind", "internal", Leaf::Kind(SpanKind::Internal)),
            (
                "span.kind",
                "unspecified",
                Leaf::Kind(SpanKind::Unspecified),
            ),
        ] {
            check(&with(vec![(key, text(word))]), &[expected.into()]);
        }
        for key in ["span.status", "span.kind"] {
            check(&with(vec![(key, text("sever"))]), &[Predicate::NEVER]);
            check(&with(vec![(key, text(""))]), &[Predicate::NEVER]);
        }
    }

    #[test]
    fn keys_of_scope_and_resource_ask_there_alone() {
        let key = "k".to_owned();
        let levels = Levels::one(Level::Resource);
        check(
            &with(vec![
                ("resource.k", text("r")),
                ("scope.name", text("n")),
                ("scope.version", text("v")),
            ]),
            &[
                Leaf::ScopeName("n".to_owned()).into(),
                Leaf::ScopeVersion("v".to_owned()).into(),
                Leaf::Attribute {
                    levels,
                    key,
                    form: "r".to_owned(),
                }
                .into(),
            ],
        );
    }
}
