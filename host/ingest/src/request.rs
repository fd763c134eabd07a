//! Reading a request: which spans it holds, by trace, each with its resource, its scope and its facts.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};
use larder_model::digest::Parent;
use larder_model::storage::{SpanKind, StatusCode, Term, TraceId};
use larder_model::terms::Level;
use larder_proto::otlp::{self, Child, Event, Link};
use larder_proto::wire::{DEPTH, Error, Fields};

use super::facts::Facts;
use super::headers::{Resource, Scope};
use super::operations::Operations;
use super::refused::{Place, Reason, Refused};
use super::{Limits, field_len, number, recycle};

/// Buffers of more elements than this are given back after a request.
const KEEP: usize = 1 << 16;

/// What a request holds. Everything is known by its position in these lists.
#[derive(Debug, Default)]
pub(super) struct Request<'a> {
    pub(super) resources: Vec<Resource>,
    pub(super) scopes: Vec<Scope>,
    pub(super) operations: Operations<'a>,
    /// In the order sent.
    pub(super) spans: Vec<Span<'a>>,
    /// In the order of their first spans.
    pub(super) traces: Vec<Trace>,
    pub(super) facts: Facts<'a>,
    /// The headers of resources and scopes, joined.
    pub(super) headers: Vec<u8>,
    /// The facts of resources, scopes and spans, joined.
    pub(super) fact_lists: Vec<u32>,
    /// What stands under the headers that are being read.
    pending_scopes: Vec<&'a [u8]>,
    pending_spans: Vec<&'a [u8]>,
    pub(super) resource_numbers: HashTable<u32>,
    pub(super) scope_numbers: HashTable<u32>,
    trace_numbers: HashTable<u32>,
    pub(super) hasher: DefaultHashBuilder,
    /// How many spans were read, those that were refused too.
    position: u64,
}

#[derive(Debug)]
pub(super) struct Span<'a> {
    /// The encoded span, as sent.
    pub(super) raw: &'a [u8],
    pub(super) scope: u32,
    pub(super) operation: u32,
    facts: (u32, u32),
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

/// What is known of the attributes, events and links of a span.
#[derive(Clone, Copy)]
struct Inside {
    link_ids_fit: bool,
    utf8: bool,
    decodable: bool,
}

/// Every `ResourceSpans` of an encoded request, in the order sent.
pub(super) fn resource_spans(request: &[u8]) -> impl Iterator<Item = Result<&[u8], Error>> {
    Fields::within(request, DEPTH).filter_map(|field| match field {
        Ok(field) if field.number == 1 => Some(field.bytes()),
        Ok(_) => None,
        Err(error) => Some(Err(error)),
    })
}

// === impl Request ===

impl<'a> Request<'a> {
    /// Reads these `ResourceSpans` of a request. Spans that are refused are counted and left out.
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

    /// Appends the terms of attributes, events and links of a span, but for those the fragment has.
    pub(super) fn push_span_terms(&mut self, span: usize, fragment: u32, out: &mut Vec<Term>) {
        let Some(span) = self.spans.get(span) else {
            return;
        };
        let facts = span.facts.0 as usize..span.facts.1 as usize;
        let numbers = self.fact_lists.get(facts).unwrap_or_default();
        self.facts.push_terms(numbers, fragment, out);
    }

    /// Forgets everything, and gives its buffers to another request.
    pub(super) fn recycle<'b>(mut self) -> Request<'b> {
        self.headers.clear();
        self.headers.shrink_to(KEEP);
        self.fact_lists.clear();
        self.fact_lists.shrink_to(KEEP);
        for numbers in [
            &mut self.resource_numbers,
            &mut self.scope_numbers,
            &mut self.trace_numbers,
        ] {
            numbers.clear();
            numbers.shrink_to(KEEP, |_| 0);
        }
        Request {
            resources: recycle(self.resources, KEEP),
            scopes: recycle(self.scopes, KEEP),
            operations: self.operations.recycle(KEEP),
            spans: recycle(self.spans, KEEP),
            traces: recycle(self.traces, KEEP),
            facts: self.facts.recycle(KEEP),
            headers: self.headers,
            fact_lists: self.fact_lists,
            pending_scopes: recycle(self.pending_scopes, KEEP),
            pending_spans: recycle(self.pending_spans, KEEP),
            resource_numbers: self.resource_numbers,
            scope_numbers: self.scope_numbers,
            trace_numbers: self.trace_numbers,
            hasher: self.hasher,
            position: 0,
        }
    }

    fn read_resource_spans(
        &mut self,
        raw: &'a [u8],
        limits: &Limits,
        refused: &mut Refused,
    ) -> Result<(), Error> {
        // The service may stand behind the spans, so the header is gathered first.
        let mut scopes = std::mem::take(&mut self.pending_scopes);
        scopes.clear();
        let header = self.gather_header(raw, otlp::depth::RESOURCE_SPANS, &mut scopes)?;
        let resource = self.resource(raw, header)?;
        for scope in &scopes {
            self.read_scope_spans(resource, scope, limits, refused)
                .map_err(|e| e.relative_to(raw, scope))?;
        }
        self.pending_scopes = scopes;
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
        let header = self.gather_header(raw, otlp::depth::SCOPE_SPANS, &mut spans)?;
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
        let first_fact = self.fact_lists.len();
        let (facts, list) = (&mut self.facts, &mut self.fact_lists);
        let mut inside = Inside {
            link_ids_fit: true,
            utf8: true,
            decodable: true,
        };
        let view = otlp::Span::read(raw, |child| {
            let mut attribute = |level, raw| {
                let known = facts.attribute(level, raw)?;
                inside.utf8 &= known.utf8;
                inside.decodable &= known.decodable;
                list.push(known.number);
                Ok(())
            };
            match child {
                Child::Attribute(raw) => attribute(Level::Span, raw)?,
                Child::Event(raw) => {
                    let event = Event::read(raw, |raw| attribute(Level::Event, raw))?;
                    inside.utf8 &= event.utf8;
                    inside.decodable &= event.decodable;
                    list.push(facts.event_name(event.name));
                }
                Child::Link(raw) => {
                    let link = Link::read(raw, |raw| attribute(Level::Link, raw))?;
                    inside.link_ids_fit &= link.ids_valid;
                    inside.utf8 &= link.utf8;
                    inside.decodable &= link.decodable;
                    list.push(facts.link_trace_id(link.trace_id));
                }
            }
            Ok(())
        })?;

        match self.take_span(scope_number, &view, inside, limits) {
            Ok((trace_id, mut span)) => {
                span.facts = (number(first_fact), number(self.fact_lists.len()));
                self.push_span(trace_id, span);
            }
            Err((reason, place)) => {
                self.fact_lists.truncate(first_fact);
                refused.add(reason, place, self.position, &view);
            }
        }
        Ok(())
    }

    /// The span, unless it is refused.
    fn take_span(
        &mut self,
        scope_number: u32,
        view: &otlp::Span<'a>,
        inside: Inside,
        limits: &Limits,
    ) -> Result<(TraceId, Span<'a>), (Reason, Place)> {
        let trace_id = TraceId::from_span(view.trace_id).ok_or((Reason::TraceId, Place::Span))?;
        let id = <[u8; 8]>::try_from(view.span_id)
            .ok()
            .filter(|id| *id != [0; 8])
            .ok_or((Reason::SpanId, Place::Span))?;
        if let Some(field) = view.invalid_id {
            return Err((field.into(), Place::Span));
        }
        if !inside.link_ids_fit {
            return Err((Reason::LinkId, Place::Span));
        }
        if !(inside.utf8 && view.utf8) {
            return Err((Reason::Utf8, Place::Span));
        }
        let missing = (Reason::Utf8, Place::Span);
        let scope = self.scopes.get(scope_number as usize).ok_or(missing)?;
        let resource = self.resources.get(scope.resource as usize).ok_or(missing)?;
        if !resource.utf8 {
            return Err((Reason::Utf8, Place::Resource));
        }
        if !scope.utf8 {
            return Err((Reason::Utf8, Place::Scope));
        }
        for (decodable, place) in [
            (inside.decodable && view.decodable, Place::Span),
            (resource.decodable, Place::Resource),
            (scope.decodable, Place::Scope),
        ] {
            if !decodable {
                return Err((Reason::Undecodable, place));
            }
        }
        let in_scope = field_len(view.raw.len()) + scope.header.len();
        let in_resource = field_len(in_scope) + resource.header.len();
        if field_len(in_resource) > limits.max_message_bytes {
            return Err((Reason::TooLarge, Place::Span));
        }
        let service = resource.service;
        let operation = self
            .operations
            .operation(service, view.name, SpanKind::from_wire(view.kind))
            .ok_or((Reason::Utf8, Place::Span))?;
        Ok((
            trace_id,
            Span {
                raw: view.raw,
                scope: scope_number,
                operation,
                facts: (0, 0),
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
        let (traces, hasher) = (&mut self.traces, &self.hasher);
        let hash = hasher.hash_one(trace_id);
        let is_it = |number: &u32| {
            let trace = traces.get(*number as usize);
            trace.is_some_and(|trace| trace.id == trace_id)
        };
        if let Some(trace) = self.trace_numbers.find(hash, is_it) {
            let Some(trace) = traces.get_mut(*trace as usize) else {
                return;
            };
            if let Some(last) = self.spans.get_mut(trace.last as usize) {
                last.next = Some(number);
            }
            trace.last = number;
            return;
        }
        let new = super::number(traces.len());
        traces.push(Trace {
            id: trace_id,
            first: number,
            last: number,
        });
        self.trace_numbers.insert_unique(hash, new, |number| {
            let trace = traces.get(*number as usize);
            trace.map_or(0, |trace| hasher.hash_one(trace.id))
        });
    }
}
