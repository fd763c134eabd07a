//! Builds `TraceQueryParameters` and `SpanQueryParameters`, and the timestamps and durations of Jaeger's gogo client.

use larder_proto::expression::v1::Call;
use larder_proto::storage::v2::{
    AnyValue, KeyValue, Pagination, SpanQueryParameters, SpanSortOrder, TraceQueryParameters,
    any_value::Value,
};
use prost_types::{Duration, Timestamp};

use crate::filter::field;

/// A query. An empty one asks for the 100 newest traces of any service.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Query(pub TraceQueryParameters);

/// A search for spans. An empty one has no window, and is refused.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SpanSearch(pub SpanQueryParameters);

/// Makes the timestamp `nanos` nanoseconds after the Unix epoch.
pub fn timestamp(nanos: u64) -> Timestamp {
    Timestamp {
        seconds: i64::try_from(nanos / 1_000_000_000).expect("seconds"),
        nanos: i32::try_from(nanos % 1_000_000_000).expect("nanos"),
    }
}

/// Returns the timestamp that Jaeger sends for an unset time: 0001-01-01T00:00:00Z (W1).
pub fn unset_timestamp() -> Timestamp {
    Timestamp {
        seconds: -62_135_596_800,
        nanos: 0,
    }
}

/// Makes a duration of `nanos`, which may be negative.
pub fn duration(nanos: i64) -> Duration {
    Duration {
        seconds: nanos / 1_000_000_000,
        nanos: i32::try_from(nanos % 1_000_000_000).expect("nanos"),
    }
}

/// Returns the duration that Jaeger sends for an unset one (W1).
pub fn unset_duration() -> Duration {
    Duration::default()
}

fn page(size: u32, token: &str) -> Pagination {
    Pagination {
        page_size: size,
        page_token: token.to_owned(),
    }
}

/// Values that can be the value of a query's attribute.
pub trait IntoQueryValue {
    /// Converts to an arm of `AnyValue`.
    fn into_query_value(self) -> Value;
}

impl IntoQueryValue for &str {
    fn into_query_value(self) -> Value {
        Value::StringValue(self.to_owned())
    }
}

impl IntoQueryValue for String {
    fn into_query_value(self) -> Value {
        Value::StringValue(self)
    }
}

impl IntoQueryValue for i64 {
    fn into_query_value(self) -> Value {
        Value::IntValue(self)
    }
}

impl IntoQueryValue for f64 {
    fn into_query_value(self) -> Value {
        Value::DoubleValue(self)
    }
}

impl IntoQueryValue for bool {
    fn into_query_value(self) -> Value {
        Value::BoolValue(self)
    }
}

impl IntoQueryValue for Value {
    fn into_query_value(self) -> Value {
        self
    }
}

impl Query {
    /// Matches spans of this service (Q4).
    #[must_use]
    pub fn service(mut self, name: impl Into<String>) -> Self {
        self.0.service_name = name.into();
        self
    }

    /// Matches spans of this name (Q5).
    #[must_use]
    pub fn operation(mut self, name: impl Into<String>) -> Self {
        self.0.operation_name = name.into();
        self
    }

    /// Matches spans with this attribute (Q8, Q9) or special key (Q10 to Q14).
    #[must_use]
    pub fn attribute(mut self, key: impl Into<String>, value: impl IntoQueryValue) -> Self {
        self.0.attributes.push(KeyValue {
            key: key.into(),
            value: Some(AnyValue {
                value: Some(value.into_query_value()),
            }),
        });
        self
    }

    /// Adds an attribute unchanged, possibly without a value (W3).
    #[must_use]
    pub fn raw_attribute(mut self, key: &str, value: Option<AnyValue>) -> Self {
        self.0.attributes.push(KeyValue {
            key: key.to_owned(),
            value,
        });
        self
    }

    /// Asks for a page of at most `size` results after the page that ended with `token`; the first page if it is empty.
    #[must_use]
    pub fn page(mut self, size: u32, token: &str) -> Self {
        self.0.pagination = Some(page(size, token));
        self
    }

    /// Matches spans that start in this window of nanoseconds, both ends included (Q6).
    #[must_use]
    pub fn window(self, from: u64, to: u64) -> Self {
        self.not_before(from).not_after(to)
    }

    /// Matches spans that start then or later.
    #[must_use]
    pub fn not_before(mut self, from: u64) -> Self {
        self.0.start_time_min = Some(timestamp(from));
        self
    }

    /// Matches spans that start then or earlier.
    #[must_use]
    pub fn not_after(mut self, to: u64) -> Self {
        self.0.start_time_max = Some(timestamp(to));
        self
    }

    /// Matches spans that take this many nanoseconds or more (Q7).
    #[must_use]
    pub fn at_least(mut self, nanos: i64) -> Self {
        self.0.duration_min = Some(duration(nanos));
        self
    }

    /// Matches spans that take this many nanoseconds or less (Q7).
    #[must_use]
    pub fn at_most(mut self, nanos: i64) -> Self {
        self.0.duration_max = Some(duration(nanos));
        self
    }

    /// Matches spans that satisfy a structured filter.
    #[must_use]
    pub fn filter(mut self, filter: Call) -> Self {
        self.0.filter = Some(filter);
        self
    }

    /// Limits the number of traces (Q1).
    #[must_use]
    pub fn depth(mut self, depth: i32) -> Self {
        self.0.search_depth = depth;
        self
    }
}

impl SpanSearch {
    /// Matches spans that start in this window of nanoseconds, both ends included.
    pub fn within(from: u64, to: u64) -> Self {
        Self(SpanQueryParameters {
            start_time_min: Some(timestamp(from)),
            start_time_max: Some(timestamp(to)),
            ..SpanQueryParameters::default()
        })
    }

    /// Matches spans that satisfy a structured filter.
    #[must_use]
    pub fn filter(mut self, filter: Call) -> Self {
        self.0.filter = Some(filter);
        self
    }

    /// Adds a term to the order: a field of the span, in the direction `asc`, `desc` or "".
    #[must_use]
    pub fn order_by(mut self, name: &str, direction: &str) -> Self {
        self.0.order_by.push(SpanSortOrder {
            expression: Some(field("span", name)),
            direction: direction.to_owned(),
        });
        self
    }

    /// Asks for a page of at most `size` spans after the page that ended with `token`; the first page if it is empty.
    #[must_use]
    pub fn page(mut self, size: u32, token: &str) -> Self {
        self.0.pagination = Some(page(size, token));
        self
    }
}
