//! Jaeger's usual fields, and all that is no search.

use bytes::Bytes;
use larder_proto::storage::v2 as proto;
use prost::Message;

use super::{Search, find, selection, summaries};
use crate::generate::{Corpus, operation_name, service_name, user_name};
use crate::queries::{GET_TRACES, timestamp, trace};
use crate::truth::{Question, Seen};

/// The searches of the data set, within the window and depth of `all`.
pub(super) fn searches(corpus: &Corpus, all: &proto::TraceQueryParameters) -> Vec<Search> {
    let of_service = proto::TraceQueryParameters {
        service_name: service_name(7),
        ..all.clone()
    };
    let queries = Queries {
        corpus: corpus.clone(),
        all: all.clone(),
        of_service,
    };
    let mut searches = queries.finds();
    searches.extend(queries.finds_by_attribute());
    searches.extend(queries.others());
    searches
}

/// The window of the corpus and the service that is searched, as queries.
struct Queries {
    corpus: Corpus,
    all: proto::TraceQueryParameters,
    of_service: proto::TraceQueryParameters,
}

impl Queries {
    fn thousand(&self) -> proto::TraceQueryParameters {
        proto::TraceQueryParameters {
            search_depth: 1_000,
            ..self.of_service.clone()
        }
    }

    fn finds(&self) -> Vec<Search> {
        let (from, to) = self.corpus.window();
        let operation = proto::TraceQueryParameters {
            operation_name: operation_name(3),
            ..self.of_service.clone()
        };
        let long = proto::TraceQueryParameters {
            duration_min: millis(800),
            ..self.of_service.clone()
        };
        let old = proto::TraceQueryParameters {
            start_time_max: timestamp(from + (to - from) / 10),
            ..self.of_service.clone()
        };
        vec![
            find("service, newest 20", &self.of_service, is_ours),
            find("service and operation", &operation, |of| {
                is_ours(of) && of.span.name == "GET /api/v1/carts/{id}"
            }),
            find("service, at least 800 ms", &long, |of| {
                is_ours(of) && of.duration() >= 800_000_000
            }),
            find("service, first tenth of time", &old, is_ours),
            find("service, 1,000 whole traces", &self.thousand(), is_ours),
            find("all services, newest 20", &self.all, |_| true),
        ]
    }

    fn finds_by_attribute(&self) -> Vec<Search> {
        let status = tag("http.response.status_code", "500");
        let of_service = |attribute| with(&self.of_service, attribute);
        let of_all = |value| with(&self.all, tag("feature.flag", value));
        let error = tag("error", "true");
        let kind = tag("span.kind", "server");
        let user = tag("enduser.id", &user_name(42));
        vec![
            find("service and status code 500", &of_service(status), |of| {
                is_ours(of) && of.int("http.response.status_code") == Some(500)
            }),
            find("service and error", &of_service(error), |of| {
                is_ours(of) && of.failed()
            }),
            find("service and kind", &of_service(kind), |of| {
                is_ours(of) && of.kind() == "server"
            }),
            find("service and user, rare", &of_service(user), |of| {
                is_ours(of) && of.text("enduser.id") == Some("user-00042")
            }),
            find(
                "all services, rare attribute",
                &of_all("beta-checkout"),
                |of| of.text("feature.flag") == Some("beta-checkout"),
            ),
            find("all services, no match", &of_all("nobody-has-this"), |_| {
                false
            }),
        ]
    }

    fn others(&self) -> Vec<Search> {
        let (from, to) = self.corpus.window();
        let ids = proto::FindTraceIDsRequest {
            query: Some(self.of_service.clone()),
        };
        let operations = proto::GetOperationsRequest {
            service: self.of_service.service_name.clone(),
            span_kind: String::new(),
        };
        let dependencies = proto::GetDependenciesRequest {
            start_time: timestamp(from - 1),
            end_time: timestamp(to),
        };
        vec![
            Search {
                name: "trace ids of a service, 20",
                method: "/jaeger.storage.v2.TraceReader/FindTraceIDs",
                request: ids.encode_to_vec().into(),
                question: Question::Ids(selection(&self.of_service, is_ours)),
            },
            summaries("summaries of a service, 20", &self.of_service, is_ours),
            summaries("summaries of a service, 1,000", &self.thousand(), is_ours),
            Search {
                name: "trace by id",
                method: GET_TRACES,
                request: trace(self.corpus.trace_id(1)),
                question: Question::Trace(self.corpus.trace_id(1)),
            },
            Search {
                name: "services",
                method: "/jaeger.storage.v2.TraceReader/GetServices",
                request: Bytes::new(),
                question: Question::Services,
            },
            Search {
                name: "operations of a service",
                method: "/jaeger.storage.v2.TraceReader/GetOperations",
                request: operations.encode_to_vec().into(),
                question: Question::Operations(self.of_service.service_name.clone()),
            },
            Search {
                name: "dependencies, all of it",
                method: "/jaeger.storage.v2.DependencyReader/GetDependencies",
                request: dependencies.encode_to_vec().into(),
                question: Question::Dependencies,
            },
        ]
    }
}

/// Whether the span is of the service that is searched.
pub(super) fn is_ours(of: &Seen<'_>) -> bool {
    of.service == "payment-service-07"
}

fn with(
    query: &proto::TraceQueryParameters,
    attribute: proto::KeyValue,
) -> proto::TraceQueryParameters {
    proto::TraceQueryParameters {
        attributes: vec![attribute],
        ..query.clone()
    }
}

#[expect(clippy::unnecessary_wraps, reason = "the shape of the field")]
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
