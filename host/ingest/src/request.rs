//! Parses a request into spans grouped by trace, each with its resource, its scope and its facts.

use std::hash::BuildHasher;
use std::ops::Range;

use hashbrown::DefaultHashBuilder;
use larder_model::digest::Parent;
use larder_model::storage::{SpanKind, StatusCode, Term, TraceId};
use larder_model::terms::{Level, TextField};
use larder_proto::otlp::{self, Child, Event, Link, Validity};
use larder_proto::wire::{DEPTH, Error, Fields};

use super::facts::Facts;
use super::headers::{Resource, Scope};
use super::operations::Operations;
use super::refused::{Part, Reason, Refused};
use super::table::Table;
use super::{Limits, field_len, number, recycle};

/// Maximum capacity of a buffer that is kept for the next request, in elements.
const MAX_KEPT: usize = 1 << 16;

/// The contents of a request. Items refer to each other by number: their position in these lists.
#[derive(Debug, Default)]
pub(super) struct Request<'a> {
    pub(super) resources: Table<Resource>,
    pub(super) scopes: Table<Scope>,
    pub(super) operations: Operations<'a>,
    /// In the order sent.
    pub(super) spans: Vec<Span<'a>>,
    /// In the order of their first spans.
    pub(super) traces: Table<Trace>,
    pub(super) facts: Facts<'a>,
    /// The headers of resources and scopes, joined.
    pub(super) headers: Vec<u8>,
    /// Buffers for the children of the headers that are being read.
    pending_scopes: Vec<&'a [u8]>,
    pending_old_scopes: Vec<&'a [u8]>,
    pending_spans: Vec<&'a [u8]>,
    pub(super) hasher: DefaultHashBuilder,
    /// True while the spans that are read do not count, because their resource has others in a newer field.
    is_superseded: bool,
    /// Number of spans read, including refused ones.
    position: u64,
}

#[derive(Debug)]
pub(super) struct Span<'a> {
    /// The encoded span, as sent.
    pub(super) raw: &'a [u8],
    pub(super) scope: u32,
    pub(super) operation: u32,
    facts: Range<usize>,
    /// The next span of the same trace.
    pub(super) next: Option<u32>,
    pub(super) id: [u8; 8],
    pub(super) parent: Parent,
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) status: StatusCode,
}

#[derive(Debug)]
pub(super) struct Trace {
    pub(super) id: TraceId,
    pub(super) first: u32,
    last: u32,
}

/// Result of checking the attributes, events and links of a span.
#[derive(Clone, Copy)]
struct Children {
    link_ids_valid: bool,
    validity: Validity,
}

/// The encoded `ResourceSpans` of an encoded request, in the order sent.
pub(super) fn resource_spans(request: &[u8]) -> impl Iterator<Item = Result<&[u8], Error>> {
    Fields::within(request, DEPTH).filter_map(|field| match field {
        Ok(field) if field.number == 1 => Some(field.bytes()),
        Ok(_) => None,
        Err(error) => Some(Err(error)),
    })
}

// === impl Request ===

impl<'a> Request<'a> {
    /// Reads these `ResourceSpans` of a request. Refused spans are counted and left out.
    pub(super) fn read(
        &mut self,
        request: &'a [u8],
        resource_spans: impl Iterator<Item = Result<&'a [u8], Error>>,
        limits: &Limits,
        refused: &mut Refused,
    ) -> Result<(), Error> {
        for raw in resource_spans {
            let raw = raw?;
            self.read_resource_spans(raw, limits, refused)
                .map_err(|e| e.relative_to(request, raw))?;
        }
        Ok(())
    }

    /// Appends the terms of a span's attributes, events and links, except those that the fragment already has.
    pub(super) fn push_span_terms(&mut self, span: usize, fragment: u32, out: &mut Vec<Term>) {
        let Some(span) = self.spans.get(span) else {
            return;
        };
        self.facts.push_terms(span.facts.clone(), fragment, out);
    }

    /// An empty request with the buffers of this one.
    pub(super) fn recycle<'b>(mut self) -> Request<'b> {
        self.headers.clear();
        self.headers.shrink_to(MAX_KEPT);
        Request {
            resources: self.resources.recycle(MAX_KEPT),
            scopes: self.scopes.recycle(MAX_KEPT),
            operations: self.operations.recycle(MAX_KEPT),
            spans: recycle(self.spans, MAX_KEPT),
            traces: self.traces.recycle(MAX_KEPT),
            facts: self.facts.recycle(MAX_KEPT),
            headers: self.headers,
            pending_scopes: recycle(self.pending_scopes, MAX_KEPT),
            pending_old_scopes: recycle(self.pending_old_scopes, MAX_KEPT),
            pending_spans: recycle(self.pending_spans, MAX_KEPT),
            hasher: self.hasher,
            is_superseded: false,
            position: 0,
        }
    }

    fn read_resource_spans(
        &mut self,
        raw: &'a [u8],
        limits: &Limits,
        refused: &mut Refused,
    ) -> Result<(), Error> {
        // The resource may follow the spans, so the whole header is read first.
        let mut scopes = std::mem::take(&mut self.pending_scopes);
        let mut old = std::mem::take(&mut self.pending_old_scopes);
        scopes.clear();
        old.clear();
        let depth = otlp::depth::RESOURCE_SPANS;
        let header = self.gather_header(raw, depth, &mut scopes, Some(&mut old))?;
        let resource = self.resource(raw, header)?;
        // Like in pdata, the old field counts only if the new one is absent.
        self.is_superseded = !scopes.is_empty();
        for scope in &old {
            self.read_scope_spans(resource, scope, limits, refused)
                .map_err(|e| e.relative_to(raw, scope))?;
        }
        self.is_superseded = false;
        for scope in &scopes {
            self.read_scope_spans(resource, scope, limits, refused)
                .map_err(|e| e.relative_to(raw, scope))?;
        }
        self.pending_scopes = scopes;
        self.pending_old_scopes = old;
        Ok(())
    }

    fn read_scope_spans(
        &mut self,
        resource: u32,
        raw: &'a [u8],
        limits: &Limits,
        refused: &mut Refused,
    ) -> Result<(), Error> {
        let mut spans = std::mem::take(&mut self.pending_spans);
        spans.clear();
        let header = self.gather_header(raw, otlp::depth::SCOPE_SPANS, &mut spans, None)?;
        let scope = self.scope(resource, raw, header)?;
        for span in &spans {
            self.read_span(scope, span, limits, refused)
                .map_err(|e| e.relative_to(raw, span))?;
            self.position += 1;
        }
        self.pending_spans = spans;
        Ok(())
    }

    fn read_span(
        &mut self,
        scope_number: u32,
        raw: &'a [u8],
        limits: &Limits,
        refused: &mut Refused,
    ) -> Result<(), Error> {
        let first_fact = self.facts.end();
        let facts = &mut self.facts;
        let mut children = Children {
            link_ids_valid: true,
            validity: Validity::VALID,
        };
        let view = otlp::Span::read(raw, |child| {
            let validity = &mut children.validity;
            match child {
                Child::Attribute(raw) => facts.push_attribute(Level::Span, raw, validity)?,
                Child::Event(raw) => {
                    let push = |raw| facts.push_attribute(Level::Event, raw, validity);
                    let event = Event::read(raw, push)?;
                    *validity &= event.validity;
                    facts.push_event_name(event.name);
                }
                Child::Link(raw) => {
                    let push = |raw| facts.push_attribute(Level::Link, raw, validity);
                    let link = Link::read(raw, push)?;
                    children.link_ids_valid &= link.ids_valid;
                    *validity &= link.validity;
                    facts.push_link_trace_id(link.trace_id);
                }
            }
            Ok(())
        })?;
        facts.push_status_message(view.status_message);

        match self.take_span(scope_number, &view, children, limits) {
            Ok((trace_id, mut span)) => {
                span.facts = first_fact..self.facts.end();
                self.push_span(trace_id, span);
            }
            Err(fault) => {
                self.facts.truncate(first_fact);
                refused.add(fault, self.position, &view, limits);
            }
        }
        Ok(())
    }

    /// The span with its trace id, or the reason why it is refused.
    fn take_span(
        &mut self,
        scope_number: u32,
        view: &otlp::Span<'a>,
        children: Children,
        limits: &Limits,
    ) -> Result<(TraceId, Span<'a>), (Reason, Part)> {
        if self.is_superseded {
            return Err((Reason::Superseded, Part::Resource));
        }
        let trace_id = TraceId::from_span(view.trace_id).ok_or((Reason::TraceId, Part::Span))?;
        let id = <[u8; 8]>::try_from(view.span_id)
            .ok()
            .filter(|id| *id != [0; 8])
            .ok_or((Reason::SpanId, Part::Span))?;
        if let Some(field) = view.invalid_id {
            return Err((field.into(), Part::Span));
        }
        if !children.link_ids_valid {
            return Err((Reason::LinkId, Part::Span));
        }
        let mut in_span = children.validity;
        in_span &= view.validity;
        let missing = (Reason::Utf8, Part::Span);
        let scope = self.scopes.get(scope_number).ok_or(missing)?;
        let resource = self.resources.get(scope.resource).ok_or(missing)?;
        let parts = [
            (in_span, Part::Span),
            (resource.validity, Part::Resource),
            (scope.validity, Part::Scope),
        ];
        if let Some((_, part)) = parts.iter().find(|(validity, _)| !validity.utf8) {
            return Err((Reason::Utf8, *part));
        }
        if let Some((_, part)) = parts.iter().find(|(validity, _)| !validity.decodable) {
            return Err((Reason::Undecodable, *part));
        }
        if let Some((_, part)) = parts.iter().find(|(validity, _)| !validity.nesting) {
            return Err((Reason::Nesting, *part));
        }
        let in_scope = field_len(view.raw.len()) + scope.header.len();
        let in_resource = field_len(in_scope) + resource.header.len();
        if field_len(in_resource) > limits.max_span_bytes {
            return Err((Reason::TooLarge, Part::Span));
        }
        let service = resource.service;
        let facts = &mut self.facts;
        let list = |name: &[u8]| facts.list_text(TextField::SpanName, name);
        let kind = SpanKind::from_wire(view.kind);
        let operation = self
            .operations
            .operation(service, view.listed_name(), kind, list)
            .ok_or((Reason::Utf8, Part::Span))?;
        Ok((
            trace_id,
            Span {
                raw: view.raw,
                scope: scope_number,
                operation,
                facts: 0..0,
                next: None,
                id,
                parent: Parent::from_wire(view.parent_span_id),
                start: view.start_time_unix_nano,
                end: view.end_time_unix_nano,
                status: StatusCode::from_wire(view.status_code),
            },
        ))
    }

    fn push_span(&mut self, trace_id: TraceId, span: Span<'a>) {
        let number = number(self.spans.len());
        self.spans.push(span);
        let hasher = &self.hasher;
        let hash = hasher.hash_one(trace_id);
        if let Some(trace) = self.traces.find(hash, |trace| trace.id == trace_id) {
            let Some(trace) = self.traces.get_mut(trace) else {
                return;
            };
            if let Some(last) = self.spans.get_mut(trace.last as usize) {
                last.next = Some(number);
            }
            trace.last = number;
            return;
        }
        let trace = Trace {
            id: trace_id,
            first: number,
            last: number,
        };
        self.traces
            .insert(hash, trace, |trace| hasher.hash_one(trace.id));
    }
}
