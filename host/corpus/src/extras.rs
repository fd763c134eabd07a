//! Events, a link, and a scope with an attribute for one span in fifty. These are enough for searches at those levels to find
//! something, and few enough not to change the size of a span noticeably.

use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};

use super::{batch_name, pick};
use crate::values::key_value;

/// One in this many spans has extras.
pub(super) const SHARE: u64 = 50;
/// The number of batches that links name.
const BATCHES: u64 = 1_000;
const EXCEPTIONS: [&str; 8] = [
    "TimeoutError",
    "ConnectionReset",
    "ParseError",
    "LockTimeout",
    "QuotaExceeded",
    "StaleVersion",
    "CardDeclined",
    "OutOfStock",
];

/// Adds events and a link to the span, if its id selects it. Only the id decides, so that other spans do not change.
pub(super) fn add(span: &mut Span, span_id: u64) {
    if !span_id.is_multiple_of(SHARE) {
        return;
    }
    let mut random = fastrand::Rng::with_seed(span_id);
    let start = span.start_time_unix_nano;
    let retried = start + random.u64(10_000..1_000_000);
    span.events = vec![
        Event {
            name: "retry".to_owned(),
            time_unix_nano: retried,
            attributes: vec![key_value("retry.attempt", i64::from(random.u8(1..4)))],
            ..Event::default()
        },
        Event {
            name: "exception".to_owned(),
            time_unix_nano: retried + random.u64(1_000_000..100_000_000),
            attributes: vec![key_value(
                "exception.type",
                pick(EXCEPTIONS, random.usize(0..EXCEPTIONS.len())),
            )],
            ..Event::default()
        },
    ];
    span.links = vec![Link {
        trace_id: random.u128(1..).to_be_bytes().to_vec(),
        span_id: random.u64(1..).to_be_bytes().to_vec(),
        attributes: vec![key_value(
            "messaging.batch.id",
            batch_name(random.u64(0..BATCHES)),
        )],
        ..Link::default()
    }];
}

/// Returns true if the span has extras.
pub(super) fn are_in(span: &Span) -> bool {
    !span.links.is_empty()
}

/// Returns the scope of spans with extras.
pub(super) fn scope() -> InstrumentationScope {
    InstrumentationScope {
        name: "shop.example.com/orders".to_owned(),
        version: "2.3.1".to_owned(),
        attributes: vec![key_value("team", "orders")],
        ..InstrumentationScope::default()
    }
}
