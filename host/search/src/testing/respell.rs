//! Queries that are spelled in another way and mean the same.

use larder_oracle::{unset_duration, unset_timestamp};
use larder_proto::expression::v1::Call;
use larder_proto::expression::v1::expression::Term;
use larder_proto::storage::v2::any_value::Value;
use larder_proto::storage::v2::{AnyValue, KeyValue, TraceQueryParameters};
use prost_types::{Duration, Timestamp};

/// The query with all that may change changed; `by` turns lists.
pub(crate) fn respelled(query: &TraceQueryParameters, by: usize) -> TraceQueryParameters {
    TraceQueryParameters {
        attributes: attributes(&query.attributes),
        start_time_min: time(query.start_time_min),
        start_time_max: time(query.start_time_max),
        duration_min: duration(query.duration_min),
        duration_max: duration(query.duration_max),
        filter: query.filter.as_ref().map(|filter| call(filter, by)),
        ..query.clone()
    }
}

fn time(time: Option<Timestamp>) -> Option<Timestamp> {
    match time {
        None => Some(unset_timestamp()),
        Some(time) if time == unset_timestamp() => None,
        other => other,
    }
}

fn duration(duration: Option<Duration>) -> Option<Duration> {
    match duration {
        None => Some(unset_duration()),
        Some(duration) if duration == unset_duration() => None,
        other => other,
    }
}

/// Other values before those that count, and no values behind them; keys in descending order, each with its values in theirs.
fn attributes(attributes: &[KeyValue]) -> Vec<KeyValue> {
    let has_value = |one: &&KeyValue| one.value.as_ref().is_some_and(|any| any.value.is_some());
    let with = |key: &str, value| KeyValue {
        key: key.to_owned(),
        value,
    };
    let replaced = Some(AnyValue {
        value: Some(Value::StringValue("replaced".to_owned())),
    });
    let before = attributes.iter().filter(has_value);
    let before = before.map(|one| with(&one.key, replaced.clone()));
    let behind = attributes.iter().map(|one| with(&one.key, None));
    let mut all: Vec<KeyValue> = before
        .chain(attributes.iter().cloned())
        .chain(behind)
        .collect();
    all.sort_by(|one, other| other.key.cmp(&one.key));
    all
}

fn call(filter: &Call, by: usize) -> Call {
    let mut changed = filter.clone();
    let holds_text = |term: Option<&Term>| match term {
        Some(Term::Field(field)) => !matches!(
            field.name.as_str(),
            "startTime" | "endTime" | "duration" | "time" | "timeSinceStart"
        ),
        _ => false,
    };
    let is_text = matches!(filter.op.as_str(), "regex" | "phrase" | "fulltext")
        || filter.args.iter().any(|arg| holds_text(arg.term.as_ref()));
    let other_type = |declared: &mut String| match declared.as_str() {
        "" if is_text => "string".clone_into(declared),
        "string" if is_text => declared.clear(),
        _ => {}
    };
    for arg in &mut changed.args {
        match &mut arg.term {
            Some(Term::Call(nested)) => *nested = call(nested, by),
            Some(Term::Scalar(scalar)) => other_type(&mut scalar.r#type),
            Some(Term::List(list)) => {
                other_type(&mut list.r#type);
                // The words of a phrase have an order.
                if filter.op != "phrase" {
                    turn(&mut list.values, by);
                }
            }
            Some(Term::Attr(_) | Term::Field(_) | Term::Nested(_)) | None => {}
        }
    }
    if matches!(filter.op.as_str(), "and" | "or") {
        turn(&mut changed.args, by);
    }
    changed
}

fn turn<T>(list: &mut [T], by: usize) {
    list.reverse();
    if !list.is_empty() {
        list.rotate_left(by % list.len());
    }
}
