//! Jaeger's query as a predicate: its window beside its legacy fields, or beside its filter (V15).
//!
//! Rules: W1 to W4 and Q1 to Q15 of the semantics that Jaeger expects; those of filters are `filter`'s.

use std::collections::HashMap;

use larder_proto::otlp::AnyValue;
use larder_proto::storage::v2::any_value::Value;
use larder_proto::storage::v2::{AnyValue as QueryValue, KeyValue, TraceQueryParameters};
use prost::Message as _;

use super::Limits;
use super::filter;
use super::paging::{Page, Position};
use super::predicate::{Leaf, Levels, Predicate, Range};
use super::time::{instant, length};
use crate::storage::{Error, ErrorKind, SpanKind, StatusCode};
use crate::string_form;
use crate::terms::Level;

/// What to look for, and how many traces of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Query {
    /// What one span of a trace has to satisfy.
    pub(crate) predicate: Predicate,
    /// How many traces to give at the most.
    pub(crate) depth: usize,
    /// Which page of the answer; none where it has no pages.
    pub(crate) page: Option<Page>,
}

impl Query {
    /// The last trace of the page before; none for the first page.
    pub(crate) fn after(&self) -> Option<Position> {
        self.page.and_then(|page| page.after)
    }
}

/// The query that these parameters ask.
///
/// # Errors
/// `InvalidArgument` for a malformed time or duration, `InvalidFilter` for a filter that is not well formed or stands beside what it
/// replaces.
pub(crate) fn query(mut parameters: TraceQueryParameters, limits: &Limits) -> Result<Query, Error> {
    let page = Page::of(&parameters, limits)?;
    let invalid = |text| Error::new(ErrorKind::InvalidFilter, text);
    let filter = parameters.filter.take().map(filter::predicate);
    let filter = filter.transpose().map_err(invalid)?;
    if filter.is_some() {
        stands_alone(&parameters).map_err(invalid)?;
    }
    let mut parts = Vec::new();
    // What is cheapest to judge stands first.
    if let Some(starts) = range(
        instant("start_time_min", parameters.start_time_min.as_ref())?,
        instant("start_time_max", parameters.start_time_max.as_ref())?,
    ) {
        parts.push(Leaf::Start(starts).into());
    }
    if let Some(durations) = range(
        length("duration_min", parameters.duration_min.as_ref())?,
        length("duration_max", parameters.duration_max.as_ref())?,
    ) {
        parts.push(Leaf::Duration(durations).into());
    }
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
    match filter {
        // One conjunction, so that the plan sees what stands beside what.
        Some(Predicate::And(more)) => parts.extend(more),
        Some(filter) => parts.push(filter),
        None => {}
    }
    Ok(Query {
        predicate: Predicate::And(parts),
        depth: page.map_or_else(|| depth(parameters.search_depth, limits), |page| page.size),
        page,
    })
}

/// Whether none of the fields that a filter replaces is set beside it (4.1 of the filters' specification).
fn stands_alone(parameters: &TraceQueryParameters) -> Result<(), String> {
    let is_zero = |duration: &Option<prost_types::Duration>| {
        duration.is_none_or(|duration| (duration.seconds, duration.nanos) == (0, 0))
    };
    let has_value = |attribute: &KeyValue| {
        let value = attribute.value.as_ref();
        value.is_some_and(|value| value.value.is_some())
    };
    let set = [
        ("service_name", !parameters.service_name.is_empty()),
        ("operation_name", !parameters.operation_name.is_empty()),
        ("duration_min", !is_zero(&parameters.duration_min)),
        ("duration_max", !is_zero(&parameters.duration_max)),
        ("attributes", parameters.attributes.iter().any(has_value)),
    ];
    let set: Vec<_> = set
        .iter()
        .filter(|field| field.1)
        .map(|field| field.0)
        .collect();
    if set.is_empty() {
        return Ok(());
    }
    Err(format!(
        "invalid query filter: it cannot be combined with [{}]; express those predicates in the filter instead",
        set.join(" ")
    ))
}

/// Zero and less mean the default; more than the most is clamped (Q1).
fn depth(asked: i32, limits: &Limits) -> usize {
    let depth = match u32::try_from(asked) {
        Ok(asked) if asked > 0 => asked,
        _ => limits.default_depth,
    };
    usize::try_from(depth.min(limits.max_depth)).unwrap_or(usize::MAX)
}

fn range(min: Option<i128>, max: Option<i128>) -> Option<Range> {
    (min.is_some() || max.is_some()).then(|| Range {
        min: min.unwrap_or(Range::ALL.min),
        max: max.unwrap_or(Range::ALL.max),
    })
}

/// An attribute without a value is ignored; of those with one, the last of a key counts (W3).
fn last_of_each_key(attributes: &[KeyValue]) -> Vec<(&str, &Value)> {
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
        Value::StringValue(word) => match word.as_str() {
            "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
            "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
            _ => None,
        },
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

    use larder_proto::expression::v1::Call;
    use larder_proto::storage::v2::ArrayValue;
    use prost_types::{Duration, Timestamp};

    use super::*;
    use crate::search::testing::limits;

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

    /// The parts of the predicate that the parameters become.
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

    #[test]
    fn the_depth_has_a_default_and_is_clamped() {
        for (asked, depth) in [(0, 100), (-1, 100), (1, 1), (1000, 1000), (i32::MAX, 1000)] {
            let parameters = TraceQueryParameters {
                search_depth: asked,
                ..TraceQueryParameters::default()
            };
            assert_eq!(query(parameters, &limits()).unwrap().depth, depth);
        }
    }

    #[test]
    fn a_filter_that_is_not_well_formed_is_refused_as_such() {
        let parameters = TraceQueryParameters {
            filter: Some(Call::default()),
            ..TraceQueryParameters::default()
        };
        let error = query(parameters, &limits()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidFilter);
        assert_eq!(error.message(), "unknown filter operator \"\"");
    }

    #[test]
    fn a_malformed_time_is_refused_by_its_name() {
        let parameters = TraceQueryParameters {
            duration_max: Some(Duration {
                seconds: 1,
                nanos: -1,
            }),
            ..TraceQueryParameters::default()
        };
        let error = query(parameters, &limits()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.message().contains("duration_max"), "{error}");
    }
}
