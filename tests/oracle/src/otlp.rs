//! Builds spans and requests: `service("shop").span(span(trace, 1).name("buy").at(time).lasting(5))`.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{
    ResourceSpans, ScopeSpans, Span, Status, span::SpanKind, status::StatusCode,
};

pub use larder_corpus::values::{IntoValue, key_value};

/// An array value.
pub fn array(values: impl IntoIterator<Item = AnyValue>) -> AnyValue {
    Value::ArrayValue(ArrayValue {
        values: values.into_iter().collect(),
    })
    .into_value()
}

/// A map value.
pub fn map<'a>(entries: impl IntoIterator<Item = (&'a str, AnyValue)>) -> AnyValue {
    Value::KvlistValue(KeyValueList {
        values: entries
            .into_iter()
            .map(|(key, value)| key_value(key, value))
            .collect(),
    })
    .into_value()
}

/// Returns a span id as its eight bytes.
pub fn span_id(id: u64) -> Vec<u8> {
    id.to_be_bytes().to_vec()
}

/// Formats bytes in lower-case hexadecimal, as ids are written.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes all");
        text
    })
}

/// Returns text that hardly compresses, a different one for each seed.
pub fn noise(seed: u64, length: usize) -> String {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let letters = std::iter::repeat_with(|| {
        // Marsaglia's xorshift64.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(b' ' + state.to_le_bytes()[4] % 95)
    });
    letters.take(length).collect()
}

/// A span under construction.
#[derive(Clone, Debug)]
pub struct SpanBuilder(pub Span);

/// Starts a span of `trace`, named "operation" by default.
pub fn span(trace: [u8; 16], id: u64) -> SpanBuilder {
    SpanBuilder(Span {
        trace_id: trace.to_vec(),
        span_id: span_id(id),
        name: "operation".to_owned(),
        ..Span::default()
    })
}

impl SpanBuilder {
    /// Sets its name.
    #[must_use]
    pub fn name(mut self, name: &str) -> Self {
        name.clone_into(&mut self.0.name);
        self
    }

    /// Sets its parent's id.
    #[must_use]
    pub fn parent(mut self, id: u64) -> Self {
        self.0.parent_span_id = span_id(id);
        self
    }

    /// Sets its start, and for now its end, in nanoseconds.
    #[must_use]
    pub fn at(mut self, nanos: u64) -> Self {
        self.0.start_time_unix_nano = nanos;
        self.0.end_time_unix_nano = nanos;
        self
    }

    /// Sets its end, `nanos` nanoseconds after its start.
    #[must_use]
    pub fn lasting(mut self, nanos: u64) -> Self {
        self.0.end_time_unix_nano = self.0.start_time_unix_nano + nanos;
        self
    }

    /// Sets its kind.
    #[must_use]
    pub fn kind(mut self, kind: SpanKind) -> Self {
        self.0.kind = kind.into();
        self
    }

    /// Sets its status.
    #[must_use]
    pub fn status(mut self, code: StatusCode) -> Self {
        self.0.status = Some(Status {
            code: code.into(),
            ..Status::default()
        });
        self
    }

    /// Adds an attribute.
    #[must_use]
    pub fn attribute(mut self, key: &str, value: impl IntoValue) -> Self {
        self.0.attributes.push(key_value(key, value));
        self
    }

    /// Sets its status message.
    #[must_use]
    pub fn status_message(mut self, message: &str) -> Self {
        message.clone_into(&mut self.0.status.get_or_insert_default().message);
        self
    }

    /// Sets its trace state.
    #[must_use]
    pub fn trace_state(mut self, state: &str) -> Self {
        state.clone_into(&mut self.0.trace_state);
        self
    }

    /// Adds an event at the span's start.
    #[must_use]
    pub fn event(self, name: &str, attributes: impl IntoIterator<Item = KeyValue>) -> Self {
        let start = self.0.start_time_unix_nano;
        self.event_at(name, start, attributes)
    }

    /// Adds an event at this time, in nanoseconds.
    #[must_use]
    pub fn event_at(
        mut self,
        name: &str,
        nanos: u64,
        attributes: impl IntoIterator<Item = KeyValue>,
    ) -> Self {
        self.0.events.push(Event {
            time_unix_nano: nanos,
            name: name.to_owned(),
            attributes: attributes.into_iter().collect(),
            ..Event::default()
        });
        self
    }

    /// Adds a link.
    #[must_use]
    pub fn link(
        mut self,
        trace: [u8; 16],
        id: u64,
        attributes: impl IntoIterator<Item = KeyValue>,
    ) -> Self {
        self.0.links.push(Link {
            trace_id: trace.to_vec(),
            span_id: span_id(id),
            attributes: attributes.into_iter().collect(),
            ..Link::default()
        });
        self
    }
}

/// A resource with its scopes and spans, under construction.
#[derive(Clone, Debug)]
pub struct ResourceBuilder(pub ResourceSpans);

/// Starts a resource whose only attribute is a `service.name`.
pub fn service(name: impl IntoValue) -> ResourceBuilder {
    resource().attribute("service.name", name)
}

/// Starts a resource without attributes.
pub fn resource() -> ResourceBuilder {
    ResourceBuilder(ResourceSpans {
        resource: Some(Resource::default()),
        ..ResourceSpans::default()
    })
}

impl ResourceBuilder {
    /// Adds a resource attribute.
    #[must_use]
    pub fn attribute(mut self, key: &str, value: impl IntoValue) -> Self {
        self.0
            .resource
            .get_or_insert_default()
            .attributes
            .push(key_value(key, value));
        self
    }

    /// Sets the resource's schema URL.
    #[must_use]
    pub fn schema_url(mut self, url: &str) -> Self {
        url.clone_into(&mut self.0.schema_url);
        self
    }

    /// Opens a scope for the spans that follow.
    #[must_use]
    pub fn scope(
        mut self,
        name: &str,
        version: &str,
        attributes: impl IntoIterator<Item = KeyValue>,
    ) -> Self {
        self.0.scope_spans.push(ScopeSpans {
            scope: Some(InstrumentationScope {
                name: name.to_owned(),
                version: version.to_owned(),
                attributes: attributes.into_iter().collect(),
                dropped_attributes_count: 0,
            }),
            ..ScopeSpans::default()
        });
        self
    }

    /// Sets the schema URL of the scope that was opened last.
    #[must_use]
    pub fn scope_schema_url(mut self, url: &str) -> Self {
        let scope = self.0.scope_spans.last_mut().expect("an open scope");
        url.clone_into(&mut scope.schema_url);
        self
    }

    /// Adds a span to the open scope, or to an empty one.
    #[must_use]
    pub fn span(mut self, span: SpanBuilder) -> Self {
        if self.0.scope_spans.is_empty() {
            self.0.scope_spans.push(ScopeSpans::default());
        }
        let scope = self.0.scope_spans.last_mut().expect("an open scope");
        scope.spans.push(span.0);
        self
    }

    /// Adds spans.
    #[must_use]
    pub fn spans(self, spans: impl IntoIterator<Item = SpanBuilder>) -> Self {
        spans.into_iter().fold(self, Self::span)
    }
}

/// Makes the request that exports these resources.
pub fn request(resources: impl IntoIterator<Item = ResourceBuilder>) -> ExportTraceServiceRequest {
    ExportTraceServiceRequest {
        resource_spans: resources.into_iter().map(|built| built.0).collect(),
    }
}

/// A span with its resource and scope.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SpanRef<'a> {
    /// The resource, with its schema URL.
    pub resource: &'a ResourceSpans,
    /// The scope, with its schema URL.
    pub scope: &'a ScopeSpans,
    /// The span itself.
    pub span: &'a Span,
}

impl SpanRef<'_> {
    /// Returns the span as the only one of its resource and scope.
    pub fn alone(self) -> ResourceSpans {
        ResourceSpans {
            resource: self.resource.resource.clone(),
            scope_spans: vec![ScopeSpans {
                scope: self.scope.scope.clone(),
                spans: vec![self.span.clone()],
                schema_url: self.scope.schema_url.clone(),
            }],
            schema_url: self.resource.schema_url.clone(),
        }
    }
}

/// Iterates over every span, in order.
pub fn spans_of<'a>(
    resources: impl IntoIterator<Item = &'a ResourceSpans>,
) -> impl Iterator<Item = SpanRef<'a>> {
    resources.into_iter().flat_map(|resource| {
        resource.scope_spans.iter().flat_map(move |scope| {
            let spans = scope.spans.iter();
            spans.map(move |span| SpanRef {
                resource,
                scope,
                span,
            })
        })
    })
}
