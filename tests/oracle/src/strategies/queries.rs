//! Random queries. Times are offsets until they are moved to a place.

use std::fmt;

use larder_proto::expression::v1::Call;
use larder_proto::expression::v1::expression::Term;
use larder_proto::storage::v2::{self as jaeger, KeyValue, TraceQueryParameters};
use opentelemetry_proto::tonic::common::v1::AnyValue;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{self, select};
use prost::Message as _;
use prost_types::Timestamp;

use super::Place;
use super::exports::{twin, value};
use super::filters::filter;
use super::vocabulary::{LATEST, NAMES, localised};
use crate::filter::text;
use crate::otlp::IntoValue;
use crate::query::{SpanSearch, duration, timestamp, unset_timestamp};

/// A random query. Times in the first second of 1970 are offsets.
#[derive(Clone)]
pub struct Question(pub(super) TraceQueryParameters);

/// A random search for spans. Times in the first second of 1970 are offsets.
#[derive(Clone)]
pub struct SpanQuestion(SpanSearch);

impl SpanQuestion {
    /// Returns the search, moved to a place.
    pub fn at(&self, place: Place) -> SpanSearch {
        let question = Question(TraceQueryParameters {
            start_time_min: self.0.0.start_time_min,
            start_time_max: self.0.0.start_time_max,
            filter: self.0.0.filter.clone(),
            ..TraceQueryParameters::default()
        });
        let moved = question.at(place);
        let mut search = self.0.clone();
        search.0.start_time_min = moved.start_time_min;
        search.0.start_time_max = moved.start_time_max;
        search.0.filter = moved.filter;
        search
    }
}

impl fmt::Debug for SpanQuestion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let filter = self.0.0.filter.as_ref().map(text);
        let mut search = self.0.0.clone();
        search.filter = None;
        write!(f, "{} in {search:?}", filter.unwrap_or_default())
    }
}

/// The time windows of queries.
#[derive(Clone, Copy, Debug)]
pub enum Window {
    /// Within the place, for a store that others write to as well.
    Place,
    /// None, a half-open one, and times that no span can have.
    Any,
}

impl Question {
    /// Returns the query, moved to a place.
    pub fn at(&self, place: Place) -> TraceQueryParameters {
        let time = |time: Option<Timestamp>| {
            time.map(|time| match u64::try_from(time.nanos) {
                Ok(offset) if time.seconds == 0 => timestamp(place.at(offset)),
                _ => time,
            })
        };
        let mut query = self.0.clone();
        query.start_time_min = time(query.start_time_min);
        query.start_time_max = time(query.start_time_max);
        query.filter = query.filter.map(|filter| filter_at(filter, place));
        query
    }
}

impl fmt::Debug for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let filter = self.0.filter.as_ref().map(text);
        let query = TraceQueryParameters {
            filter: None,
            ..self.0.clone()
        };
        write!(f, "{} in {query:?}", filter.unwrap_or_default())
    }
}

/// Moves every instant and every id to the place.
fn filter_at(mut filter: Call, place: Place) -> Call {
    for argument in &mut filter.args {
        match &mut argument.term {
            Some(Term::Call(inner)) => *inner = filter_at(std::mem::take(inner), place),
            Some(Term::Scalar(scalar)) => scalar.value = localised(&scalar.value, place),
            Some(Term::List(list)) => {
                for value in &mut list.values {
                    *value = localised(value, place);
                }
            }
            _ => {}
        }
    }
    filter
}

fn window(of: Window) -> BoxedStrategy<(Option<Timestamp>, Option<Timestamp>)> {
    let all = Just((Some(timestamp(0)), Some(timestamp(LATEST))));
    let offset = || (0..=LATEST).prop_map(|offset| Some(timestamp(offset)));
    if let Window::Place = of {
        return prop_oneof![4 => all, 1 => (offset(), offset())].boxed();
    }
    let seconds = |seconds| Some(Timestamp { seconds, nanos: 0 });
    let time = || {
        prop_oneof![
            3 => Just(None),
            3 => select(vec![Some(unset_timestamp()), seconds(-1), seconds(253_402_300_799)]),
            4 => offset(),
        ]
    };
    prop_oneof![7 => Just((None, None)), 3 => (time(), time())].boxed()
}

fn depth() -> impl Strategy<Value = i32> {
    select(vec![-1, 0, 1, 2, 3, 100, 100, 100])
}

prop_compose! {
    /// Generates a query that has a filter and a window.
    pub fn filtered(within: Window)(
        filter in filter(),
        window in window(within),
        depth in depth(),
    ) -> Question {
        Question(TraceQueryParameters {
            filter: Some(filter),
            start_time_min: window.0,
            start_time_max: window.1,
            search_depth: depth,
            ..TraceQueryParameters::default()
        })
    }
}

prop_compose! {
    /// Generates a search for spans: a window of offsets, perhaps a filter, and an order of any of the four fields.
    pub fn span_search()(
        filter in option::weighted(0.6, filter()),
        window in prop_oneof![4 => Just((0, LATEST)), 1 => (0..=LATEST / 2, LATEST / 2..=LATEST)],
        fields in sample::subsequence(vec!["startTime", "duration", "traceID", "spanID"], 0..=4).prop_shuffle(),
        directions in vec(select(vec!["", "asc", "desc", "desc"]), 4),
    ) -> SpanQuestion {
        let search = SpanSearch::within(window.0, window.1);
        let terms = fields.iter().zip(directions);
        let mut search = terms.fold(search, |search, (field, direction)| search.order_by(field, direction));
        search.0.filter = filter;
        SpanQuestion(search)
    }
}

prop_compose! {
    /// Generates a query without a filter.
    pub fn legacy(within: Window)(
        service in prop_oneof![3 => Just(""), 1 => select(vec!["a", "a", "x", "c", "1", "missing-service-name", "empty-service-name", "service-name-wrong-type"])],
        operation in prop_oneof![3 => Just(""), 1 => select(&NAMES[..])],
        attributes in prop_oneof![
            1 => vec(attribute(), 0),
            5 => vec(attribute(), 1),
            2 => vec(attribute(), 2..4),
        ],
        window in window(within),
        shortest in option::weighted(0.15, -3..6_i64),
        longest in option::weighted(0.15, -2..9_i64),
        depth in depth(),
    ) -> Question {
        Question(TraceQueryParameters {
            service_name: service.to_owned(),
            operation_name: operation.to_owned(),
            attributes,
            start_time_min: window.0,
            start_time_max: window.1,
            duration_min: shortest.map(duration),
            duration_max: longest.map(duration),
            search_depth: depth,
            ..TraceQueryParameters::default()
        })
    }
}

fn attribute() -> impl Strategy<Value = KeyValue> {
    let own = vec![
        "k",
        "k",
        "k",
        "l",
        "resource.k",
        "resource.l",
        "resource.resource.k",
        "service.name",
        "none",
    ];
    let word = |key, words: Vec<&'static str>| {
        (
            Just(key),
            select(words).prop_map(|word| Some(word.into_value())),
        )
    };
    let truth = vec![true.into_value(), false.into_value(), 1.into_value()];
    prop_oneof![
        10 => (select(own), value()),
        4 => twin(),
        1 => (select(&super::vocabulary::KEYS[..]), value()),
        1 => word("error", vec!["true", "0", "F", "yes", "True"]),
        1 => (Just("error"), select(truth).prop_map(Some)),
        1 => word("span.status", vec!["ok", "ERROR", "Unset", "none", ""]),
        1 => word("span.kind", vec!["server", "CLIENT", "unspecified", "internal", "none"]),
        1 => word("scope.name", vec!["lib", "x", "X", "", "none"]),
        1 => word("scope.version", vec!["1.5", "2", ""]),
    ]
    .prop_map(|(key, value)| KeyValue {
        key: key.to_owned(),
        value: value.as_ref().map(as_asked),
    })
}

/// Converts between the two messages, which have the same wire form.
fn as_asked(value: &AnyValue) -> jaeger::AnyValue {
    jaeger::AnyValue::decode(&value.encode_to_vec()[..]).unwrap()
}
