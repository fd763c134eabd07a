//! A span with what is around it, and short words for what a search looks at.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};

/// A span in its resource and scope.
#[derive(Clone, Copy)]
pub(crate) struct Seen<'a> {
    pub(crate) service: &'a str,
    resource: &'a ResourceSpans,
    scope: &'a ScopeSpans,
    pub(crate) span: &'a Span,
}

/// All spans of an Export.
pub(super) fn spans(message: &ExportTraceServiceRequest) -> impl Iterator<Item = Seen<'_>> {
    message.resource_spans.iter().flat_map(|resource| {
        let attributes = resource.resource.iter().flat_map(|of| &of.attributes);
        let service = text(attributes, "service.name").unwrap_or_default();
        resource.scope_spans.iter().flat_map(move |scope| {
            scope.spans.iter().map(move |span| Seen {
                service,
                resource,
                scope,
                span,
            })
        })
    })
}

impl<'a> Seen<'a> {
    /// A text attribute of the span.
    pub(crate) fn text(&self, key: &str) -> Option<&'a str> {
        text(self.span.attributes.iter(), key)
    }

    /// A whole number that the span has as an attribute.
    pub(crate) fn int(&self, key: &str) -> Option<i64> {
        let attribute = self.span.attributes.iter().find(|of| of.key == key)?;
        match attribute.value.as_ref()?.value.as_ref()? {
            any_value::Value::IntValue(value) => Some(*value),
            _ => None,
        }
    }

    /// A text attribute of the resource.
    pub(crate) fn of_resource(&self, key: &str) -> Option<&'a str> {
        let resource = self.resource.resource.as_ref()?;
        text(resource.attributes.iter(), key)
    }

    /// A text attribute of the scope.
    pub(crate) fn of_scope(&self, key: &str) -> Option<&'a str> {
        text(self.scope.scope.as_ref()?.attributes.iter(), key)
    }

    /// For each event that has this text attribute: its nanoseconds since the span's start, and the value.
    pub(crate) fn of_events(&self, key: &str) -> impl Iterator<Item = (u64, &'a str)> {
        let start = self.span.start_time_unix_nano;
        self.span.events.iter().filter_map(move |event| {
            let value = text(event.attributes.iter(), key)?;
            Some((event.time_unix_nano.saturating_sub(start), value))
        })
    }

    /// The links' text attributes of this name.
    pub(crate) fn of_links(&self, key: &str) -> impl Iterator<Item = &'a str> {
        let links = self.span.links.iter();
        links.filter_map(move |link| text(link.attributes.iter(), key))
    }

    /// Nanoseconds from start to end.
    pub(crate) fn duration(&self) -> u64 {
        let span = self.span;
        span.end_time_unix_nano
            .saturating_sub(span.start_time_unix_nano)
    }

    /// Whether its status is an error.
    pub(crate) fn failed(&self) -> bool {
        self.span.status.as_ref().is_some_and(|of| of.code == 2)
    }

    /// Its kind as Jaeger names it.
    pub(crate) fn kind(&self) -> &'static str {
        match self.span.kind {
            1 => "internal",
            2 => "server",
            3 => "client",
            4 => "producer",
            5 => "consumer",
            _ => "",
        }
    }
}

fn text<'a>(mut attributes: impl Iterator<Item = &'a KeyValue>, key: &str) -> Option<&'a str> {
    let attribute = attributes.find(|of| of.key == key)?;
    match attribute.value.as_ref()?.value.as_ref()? {
        any_value::Value::StringValue(value) => Some(value),
        _ => None,
    }
}
