//! Attributes whose values repeat more or less often, each with a value that ten traces have.

use opentelemetry_proto::tonic::trace::v1::Span;

use crate::values::key_value;

/// The keys, each with the number of its distinct values.
pub const REPEATED_KEYS: [(&str, u64); 3] = [
    ("cloud.zone", 20),
    ("shard.name", 1_000),
    ("request.id", 1_000_000),
];

/// Traces whose spans have the value [`MARKED_VALUE`] of every key.
pub const MARKED_TRACES: u64 = 10;

/// The value of marked traces.
pub const MARKED_VALUE: &str = "v-marked";

/// Adds the attributes to a span.
pub(super) fn add(span: &mut Span, random: &mut fastrand::Rng, is_marked: bool) {
    for (key, values) in REPEATED_KEYS {
        let number = random.u64(1..values);
        let value = if is_marked {
            MARKED_VALUE.to_owned()
        } else {
            format!("v-{number:07}")
        };
        span.attributes.push(key_value(key, value));
    }
}
