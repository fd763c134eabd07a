//! Builds requests, and decodes what is stored of them.

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, TracesData};
use prost::Message;

use super::{LIMITS, fragments};
use crate::{Ingest, Ingested};

pub(super) fn text(text: impl Into<String>) -> AnyValue {
    AnyValue {
        value: Some(Value::StringValue(text.into())),
    }
}

pub(super) fn attribute(key: &str, value: impl Into<Option<AnyValue>>) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: value.into(),
        ..KeyValue::default()
    }
}

pub(super) fn span(trace: u8, id: u8) -> Span {
    Span {
        trace_id: vec![trace; 16],
        span_id: vec![id; 8],
        name: format!("span {id}"),
        ..Span::default()
    }
}

pub(super) fn scope_spans(name: &str, spans: Vec<Span>) -> ScopeSpans {
    ScopeSpans {
        scope: Some(InstrumentationScope {
            name: name.to_owned(),
            ..InstrumentationScope::default()
        }),
        spans,
        schema_url: format!("schema of {name}"),
    }
}

pub(super) fn resource_spans(service: &str, scope_spans: Vec<ScopeSpans>) -> ResourceSpans {
    ResourceSpans {
        resource: Some(Resource {
            attributes: vec![attribute("service.name", text(service))],
            ..Resource::default()
        }),
        scope_spans,
        schema_url: format!("schema of {service}"),
    }
}

pub(super) fn request(resource_spans: Vec<ResourceSpans>) -> Vec<u8> {
    TracesData { resource_spans }.encode_to_vec()
}

pub(super) fn shop(spans: Vec<Span>) -> Vec<u8> {
    request(vec![resource_spans(
        "shop",
        vec![scope_spans("lib", spans)],
    )])
}

pub(super) fn walk(request: &[u8]) -> Ingested {
    Ingest::new(LIMITS).walk(request).unwrap()
}

/// The stored spans of a request, by fragment.
pub(super) fn stored(ingested: &Ingested) -> Vec<TracesData> {
    fragments(ingested)
        .iter()
        .map(|fragment| TracesData::decode(fragment.otlp).unwrap())
        .collect()
}
