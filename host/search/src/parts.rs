//! The spans of a piece one by one, with the encoded headers of their resources and scopes.

use std::sync::Arc;

use larder_proto::otlp::{depth, pdata};
use larder_proto::wire::{DEPTH, Error, Fields};

use super::sanitize::push_field;

/// The encoded fields of a `ResourceSpans` besides its `ScopeSpans`, or of a `ScopeSpans` besides its spans. Those who take spans out of a
/// piece share it.
pub(crate) type Header = Arc<Vec<u8>>;

/// The spans of a piece, with the headers that they share.
#[derive(Debug, Default)]
pub(crate) struct Parts<'a> {
    /// Every field of each `ResourceSpans` except its `ScopeSpans`.
    pub(crate) resources: Vec<Header>,
    /// Every field of each `ScopeSpans` except its spans.
    pub(crate) scopes: Vec<Header>,
    pub(crate) spans: Vec<Span<'a>>,
    /// True once values of the headers are cut. They stay as they are then, as their marks have the lengths.
    pub(crate) are_headers_cut: bool,
}

/// A span with the numbers of its headers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span<'a> {
    pub(crate) resource: usize,
    pub(crate) scope: usize,
    pub(crate) raw: &'a [u8],
}

// === impl Parts ===

impl<'a> Parts<'a> {
    /// Takes an encoded `TracesData` apart.
    ///
    /// # Errors
    /// If the bytes are no `TracesData`.
    pub(crate) fn read(traces: &'a [u8]) -> Result<Self, Error> {
        let mut parts = Self::default();
        for field in Fields::within(traces, DEPTH) {
            let field = field?;
            if field.number == 1 {
                parts.read_resource_spans(field.bytes()?)?;
            }
        }
        Ok(parts)
    }

    fn read_resource_spans(&mut self, raw: &'a [u8]) -> Result<(), Error> {
        let resource = self.resources.len();
        let mut header = Vec::new();
        for field in Fields::within(raw, depth::RESOURCE_SPANS) {
            let field = field?;
            match field.number {
                2 => self.read_scope_spans(resource, field.bytes()?)?,
                pdata::OLD_SCOPE_SPANS => {}
                _ => header.extend_from_slice(field.raw),
            }
        }
        self.resources.push(Header::new(header));
        Ok(())
    }

    fn read_scope_spans(&mut self, resource: usize, raw: &'a [u8]) -> Result<(), Error> {
        let scope = self.scopes.len();
        let mut header = Vec::new();
        for field in Fields::within(raw, depth::SCOPE_SPANS) {
            let field = field?;
            if field.number == 2 {
                self.spans.push(Span {
                    resource,
                    scope,
                    raw: field.bytes()?,
                });
            } else {
                header.extend_from_slice(field.raw);
            }
        }
        self.scopes.push(Header::new(header));
        Ok(())
    }

    /// Every field of a `ResourceSpans` except its `ScopeSpans`.
    pub(crate) fn resource(&self, number: usize) -> &[u8] {
        let header = self.resources.get(number);
        header.map_or(&[], |header| header.as_slice())
    }

    /// Every field of a `ScopeSpans` except its spans.
    pub(crate) fn scope(&self, number: usize) -> &[u8] {
        let header = self.scopes.get(number);
        header.map_or(&[], |header| header.as_slice())
    }

    /// Encodes these consecutive spans with their headers.
    pub(crate) fn encode(&self, spans: &[Span<'_>]) -> Vec<u8> {
        let mut traces = Vec::new();
        for of_resource in spans.chunk_by(|one, other| one.resource == other.resource) {
            let number = of_resource.first().map_or(0, |span| span.resource);
            let mut resource_spans = self.resource(number).to_vec();
            for of_scope in of_resource.chunk_by(|one, other| one.scope == other.scope) {
                let number = of_scope.first().map_or(0, |span| span.scope);
                let mut scope_spans = self.scope(number).to_vec();
                for span in of_scope {
                    push_field(2, span.raw, &mut scope_spans);
                }
                push_field(2, &scope_spans, &mut resource_spans);
            }
            push_field(1, &resource_spans, &mut traces);
        }
        traces
    }
}

/// Encodes a span with the headers of its resource and its scope.
pub(crate) fn encode_one([resource, scope, span]: [&[u8]; 3]) -> Vec<u8> {
    let mut scope_spans = scope.to_vec();
    push_field(2, span, &mut scope_spans);
    let mut resource_spans = resource.to_vec();
    push_field(2, &scope_spans, &mut resource_spans);
    let mut traces = Vec::new();
    push_field(1, &resource_spans, &mut traces);
    traces
}
