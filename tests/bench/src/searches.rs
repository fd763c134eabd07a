//! The searches that are timed: the same bytes to every target in turn, and the answers compared.

use std::time::{Duration, Instant};

use anyhow::Result;
use bytes::Bytes;
use larder_proto::storage::v2 as proto;
use prost::Message;

use crate::generate::{Corpus, operation_name, service_name};
use crate::target::Target;

/// One kind of search.
struct Search {
    name: &'static str,
    method: &'static str,
    request: Bytes,
}

/// A search's times on one target.
pub(crate) enum Timing {
    /// In rising order, and the bytes of one answer.
    Times(Vec<Duration>, usize),
    /// What it said instead.
    Refused(String),
}

/// A row of the table.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) timings: Vec<Timing>,
}

/// Times every search on every target.
pub(crate) async fn run(corpus: &Corpus, targets: &[Target], repeat: usize) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for search in searches(corpus) {
        let mut timings: Vec<Timing> = targets
            .iter()
            .map(|_| Timing::Times(Vec::new(), 0))
            .collect();
        // One uncounted round, then the targets in turn.
        for round in 0..=repeat.max(1) {
            for (target, timing) in targets.iter().zip(&mut timings) {
                let Timing::Times(times, bytes) = timing else {
                    continue;
                };
                let started = Instant::now();
                match target.call(search.method, search.request.clone()).await {
                    Ok(answer) if round > 0 => {
                        times.push(started.elapsed());
                        *bytes = answer.iter().map(Bytes::len).sum();
                    }
                    Ok(_) => {}
                    Err(error) => {
                        *timing = Timing::Refused(format!("{error:#}").chars().take(60).collect())
                    }
                }
            }
        }
        for timing in &mut timings {
            if let Timing::Times(times, _) = timing {
                times.sort_unstable();
            }
        }
        rows.push(Row {
            name: search.name,
            timings,
        });
    }
    Ok(rows)
}

fn timestamp(nanos: u64) -> Option<prost_types::Timestamp> {
    let seconds = i64::try_from(nanos / 1_000_000_000).unwrap_or(i64::MAX);
    let rest = i32::try_from(nanos % 1_000_000_000).unwrap_or(0);
    Some(prost_types::Timestamp {
        seconds,
        nanos: rest,
    })
}

fn millis(millis: i64) -> Option<prost_types::Duration> {
    Some(prost_types::Duration {
        seconds: millis / 1_000,
        nanos: i32::try_from(millis % 1_000 * 1_000_000).unwrap_or(0),
    })
}

fn tag(key: &str, value: &str) -> proto::KeyValue {
    proto::KeyValue {
        key: key.to_owned(),
        value: Some(proto::AnyValue {
            value: Some(proto::any_value::Value::StringValue(value.to_owned())),
        }),
    }
}

fn searches(corpus: &Corpus) -> Vec<Search> {
    let (from, to) = corpus.window();
    let service = service_name(7);
    let base = proto::TraceQueryParameters {
        start_time_min: timestamp(from),
        start_time_max: timestamp(to),
        search_depth: 20,
        ..proto::TraceQueryParameters::default()
    };
    let of_service = proto::TraceQueryParameters {
        service_name: service.clone(),
        ..base.clone()
    };
    let find = |name, query: proto::TraceQueryParameters| Search {
        name,
        method: "/jaeger.storage.v2.TraceReader/FindTraces",
        request: proto::FindTracesRequest { query: Some(query) }
            .encode_to_vec()
            .into(),
    };
    let with = |query: &proto::TraceQueryParameters, tags: Vec<proto::KeyValue>| {
        proto::TraceQueryParameters {
            attributes: tags,
            ..query.clone()
        }
    };
    let mut searches = vec![
        find("service, newest 20", of_service.clone()),
        find(
            "service and operation",
            proto::TraceQueryParameters {
                operation_name: operation_name(3),
                ..of_service.clone()
            },
        ),
        find(
            "service and status code 500",
            with(&of_service, vec![tag("http.response.status_code", "500")]),
        ),
        find(
            "service and error",
            with(&of_service, vec![tag("error", "true")]),
        ),
        find(
            "service and kind",
            with(&of_service, vec![tag("span.kind", "server")]),
        ),
        find(
            "service and user, rare",
            with(&of_service, vec![tag("enduser.id", "user-00042")]),
        ),
        find(
            "service, at least 800 ms",
            proto::TraceQueryParameters {
                duration_min: millis(800),
                ..of_service.clone()
            },
        ),
        find(
            "service, first tenth of time",
            proto::TraceQueryParameters {
                start_time_max: timestamp(from + (to - from) / 10),
                ..of_service.clone()
            },
        ),
        find("all services, newest 20", base.clone()),
        find(
            "all services, rare attribute",
            with(&base, vec![tag("feature.flag", "beta-checkout")]),
        ),
        find(
            "all services, no match",
            with(&base, vec![tag("feature.flag", "nobody-has-this")]),
        ),
        find(
            "service, 1,000 whole traces",
            proto::TraceQueryParameters {
                search_depth: 1_000,
                ..of_service.clone()
            },
        ),
    ];
    searches.extend([
        Search {
            name: "trace ids of a service, 20",
            method: "/jaeger.storage.v2.TraceReader/FindTraceIDs",
            request: proto::FindTraceIDsRequest {
                query: Some(of_service.clone()),
            }
            .encode_to_vec()
            .into(),
        },
        Search {
            name: "summaries of a service, 20",
            method: "/jaeger.storage.v2.TraceReader/FindTraceSummaries",
            request: proto::FindTraceSummariesRequest {
                query: Some(of_service.clone()),
            }
            .encode_to_vec()
            .into(),
        },
        Search {
            name: "summaries of a service, 1,000",
            method: "/jaeger.storage.v2.TraceReader/FindTraceSummaries",
            request: proto::FindTraceSummariesRequest {
                query: Some(proto::TraceQueryParameters {
                    search_depth: 1_000,
                    ..of_service
                }),
            }
            .encode_to_vec()
            .into(),
        },
        Search {
            name: "trace by id",
            method: "/jaeger.storage.v2.TraceReader/GetTraces",
            request: proto::GetTracesRequest {
                query: vec![proto::GetTraceParams {
                    trace_id: corpus.trace_id(1).to_vec().into(),
                    ..proto::GetTraceParams::default()
                }],
            }
            .encode_to_vec()
            .into(),
        },
        Search {
            name: "services",
            method: "/jaeger.storage.v2.TraceReader/GetServices",
            request: Bytes::new(),
        },
        Search {
            name: "operations of a service",
            method: "/jaeger.storage.v2.TraceReader/GetOperations",
            request: proto::GetOperationsRequest {
                service,
                span_kind: String::new(),
            }
            .encode_to_vec()
            .into(),
        },
        Search {
            name: "dependencies, all of it",
            method: "/jaeger.storage.v2.DependencyReader/GetDependencies",
            request: proto::GetDependenciesRequest {
                start_time: timestamp(from - 1),
                end_time: timestamp(to),
            }
            .encode_to_vec()
            .into(),
        },
    ]);
    searches
}
