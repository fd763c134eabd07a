//! Tests of [`Searcher`](super::Searcher) on a simple storage in memory.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod ahead;
mod answers;
mod budgets;
mod contract;
mod discovery;
mod explained;
mod kept;
mod listed;
mod settled;
mod stored_ids;

use larder_oracle::SpanSearch;
use larder_proto::storage::v2::{
    FindSpansRequest, GetTraceParams, GetTracesRequest, TraceQueryParameters,
};
use opentelemetry_proto::tonic::trace::v1::ResourceSpans;

use super::testing::{of, op};

/// Traces 1 to `count`, each a span of service "s" that starts at its number and lasts 10, each in a batch of its own.
fn traces(count: u64) -> Vec<Vec<ResourceSpans>> {
    let row = |n| of("s", op(u128::from(n), n, n, n + 10));
    (1..=count).map(|n| vec![row(n)]).collect()
}

fn by_service(service: &str) -> TraceQueryParameters {
    TraceQueryParameters {
        service_name: service.to_owned(),
        ..TraceQueryParameters::default()
    }
}

/// The orders of spans for which the storage is walked in different ways.
const WALKS: [(&str, &str); 4] = [
    ("startTime", "desc"),
    ("startTime", "asc"),
    ("duration", "desc"),
    ("traceID", "asc"),
];

/// A search for all spans, in this order.
fn spans_by((field, direction): (&str, &str)) -> FindSpansRequest {
    let search = SpanSearch::within(0, 1 << 40).order_by(field, direction);
    FindSpansRequest {
        query: Some(search.0),
    }
}

/// A request for traces by the low bytes of their ids.
fn by_id(ids: &[u128]) -> GetTracesRequest {
    let params = |id: &u128| GetTraceParams {
        trace_id: id.to_be_bytes().to_vec(),
        ..GetTraceParams::default()
    };
    GetTracesRequest {
        query: ids.iter().map(params).collect(),
    }
}
