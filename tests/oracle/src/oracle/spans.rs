//! Searches for spans, and their order (RFC 0016).

use std::cmp::Ordering;

use larder_proto::expression::v1::expression::Term;
use larder_proto::storage::v2::{SpanQueryParameters, SpanSortOrder};

use super::filter;
use super::query::time;
use crate::otlp::SpanRef;

/// Judges a span by itself, with its own resource and scope.
pub(super) fn matches(query: &SpanQueryParameters, one: SpanRef<'_>) -> bool {
    let start = i128::from(one.span.start_time_unix_nano);
    time(query.start_time_min).is_none_or(|min| min <= start)
        && time(query.start_time_max).is_none_or(|max| start <= max)
        && query
            .filter
            .as_ref()
            .is_none_or(|filter| filter::holds(filter, one))
}

/// Compares two spans by the terms of a valid order, and then by those of the default order.
pub fn compare(order_by: &[SpanSortOrder], one: SpanRef<'_>, other: SpanRef<'_>) -> Ordering {
    let mut given = Vec::new();
    let mut order = Ordering::Equal;
    for term in order_by {
        let expression = term.expression.as_ref().unwrap().term.as_ref().unwrap();
        let Term::Field(field) = expression else {
            panic!("not a field: {expression:?}");
        };
        let by = by(&field.name, one, other);
        given.push(&*field.name);
        order = order.then(if term.direction == "desc" {
            by.reverse()
        } else {
            by
        });
    }
    if !given.contains(&"startTime") {
        order = order.then(by("startTime", other, one));
    }
    for name in ["traceID", "spanID"] {
        if !given.contains(&name) {
            order = order.then(by(name, one, other));
        }
    }
    order
}

fn by(name: &str, one: SpanRef<'_>, other: SpanRef<'_>) -> Ordering {
    let (one, other) = (one.span, other.span);
    match name {
        "startTime" => one.start_time_unix_nano.cmp(&other.start_time_unix_nano),
        "duration" => {
            let duration = |start: u64, end: u64| i128::from(end) - i128::from(start);
            let one = duration(one.start_time_unix_nano, one.end_time_unix_nano);
            one.cmp(&duration(
                other.start_time_unix_nano,
                other.end_time_unix_nano,
            ))
        }
        "traceID" => one.trace_id.cmp(&other.trace_id),
        "spanID" => one.span_id.cmp(&other.span_id),
        other => panic!("spans are not sorted by {other}"),
    }
}
