//! Builds fragments from the spans of each trace, and batches from fragments.

use larder_model::digest::{self, Encoder};
use larder_model::storage::{
    Batch, BatchBuilder, DurationRange, FragmentFacts, SpanKind, StatusCode, Term, TimeRange,
    TraceId,
};
use larder_model::terms::{self, TextField};
use prost::encoding::encode_varint;

use super::headers::Scope;
use super::refused::Refused;
use super::request::{Request, Span};
use super::{Limits, field_len};

/// Limit of the fragments of one request together, as a multiple of `max_batch_bytes`. Each trace repeats its resources, so a large
/// resource with many tiny traces would otherwise take unlimited memory.
const MAX_GROWTH: usize = 32;

/// Buffers that are reused from request to request.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    digest: Encoder,
    constants: ConstantTerms,
    terms: Vec<Term>,
    /// Numbers of the spans of the open fragment.
    spans: Vec<u32>,
    runs: Vec<Run>,
}

/// Consecutive spans of the open fragment with the same scope, and so the same resource.
#[derive(Clone, Copy, Debug)]
struct Run {
    scope: u32,
    resource: u32,
    /// Number of the fragment's spans up to the end of the run.
    end: usize,
    /// The length of its encoded `ScopeSpans`.
    len: usize,
}

/// Builds the batches of one request.
pub(super) struct Assembler<'s, 'a> {
    request: &'s mut Request<'a>,
    limits: &'s Limits,
    scratch: &'s mut Scratch,
    builder: BatchBuilder,
    batches: Vec<Batch>,
    /// Numbers of the open fragment and the open batch, from 1.
    fragment: u32,
    batch: u32,
    fragments_in_batch: usize,
    /// Upper bound of the length of the open fragment.
    size: usize,
    /// Maximum of `size`, unless the open fragment holds a single span.
    max_size: usize,
    /// Length of all closed fragments.
    total: usize,
    spans: u64,
}

// === impl Assembler ===

impl<'s, 'a> Assembler<'s, 'a> {
    pub(super) fn new(
        request: &'s mut Request<'a>,
        limits: &'s Limits,
        scratch: &'s mut Scratch,
    ) -> Self {
        Self {
            request,
            limits,
            scratch,
            builder: BatchBuilder::default(),
            batches: Vec::new(),
            fragment: 1,
            batch: 1,
            fragments_in_batch: 0,
            size: 0,
            max_size: 0,
            total: 0,
            spans: 0,
        }
    }

    /// Builds the batches. Returns them with their number of spans. `length` is the length of the request.
    pub(super) fn assemble(mut self, length: usize, refused: &mut Refused) -> (Vec<Batch>, u64) {
        // Regrouping repeats headers. Unused capacity costs nothing, but growing copies the buffer.
        let room = (length + length / 2).min(self.limits.max_batch_bytes);
        self.builder = BatchBuilder::with_capacity(room);
        self.builder.terms().reserve(room / 3 / size_of::<Term>());
        self.builder.digest().reserve(room / 6);
        let max = self.limits.max_batch_bytes.saturating_mul(MAX_GROWTH);
        for trace in 0..self.request.traces.len() {
            let Some(trace) = self.request.traces.get(super::number(trace)) else {
                break;
            };
            let (id, mut next) = (trace.id, Some(trace.first));
            while let Some(number) = next {
                let Some(span) = self.request.spans.get(number as usize) else {
                    break;
                };
                next = span.next;
                if self.total > max {
                    refused.add_grown();
                } else {
                    self.push(id, number);
                }
            }
            self.finish_fragment(id);
        }
        self.finish_batch();
        (self.batches, self.spans)
    }

    /// Adds a span to the open fragment, or to a new one if it would exceed the limit.
    fn push(&mut self, id: TraceId, number: u32) {
        let Some((span, scope, resource_header)) = self.parts(number) else {
            return;
        };
        let (scope_number, resource) = (span.scope, scope.resource);
        let span_len = field_len(span.raw.len());
        let scope_header = self.request.scope_header(scope).len();
        // Upper bounds of the bytes written before the span.
        let before_scope = MAX_FIELD_HEADER_LEN + scope_header;
        let before_resource = MAX_FIELD_HEADER_LEN + resource_header + before_scope;
        let mut last = self.scratch.runs.last().copied();
        let before = |last: Option<Run>| match last {
            Some(run) if run.scope == scope_number => 0,
            Some(run) if run.resource == resource => before_scope,
            _ => before_resource,
        };
        let grown = self.size + before(last) + span_len;
        if last.is_some() && grown > self.max_size {
            self.finish_fragment(id);
            last = None;
        }
        if last.is_none() {
            // Spans share a large header, which would otherwise be repeated for each.
            let max = self.limits.max_fragment_bytes;
            let is_large = before_resource > max / 2;
            self.max_size = if is_large { before_resource + max } else { max };
        }
        self.size += before(last) + span_len;
        let same_scope = before(last) == 0;
        self.scratch.spans.push(number);
        let end = self.scratch.spans.len();
        match self.scratch.runs.last_mut() {
            Some(run) if same_scope => {
                run.end = end;
                run.len += span_len;
            }
            _ => self.scratch.runs.push(Run {
                scope: scope_number,
                resource,
                end,
                len: scope_header + span_len,
            }),
        }
    }

    /// A span, its scope, and the length of its resource's header.
    fn parts(&self, span: u32) -> Option<(&Span<'a>, &Scope, usize)> {
        let span = self.request.spans.get(span as usize)?;
        let scope = self.request.scopes.get(span.scope)?;
        let resource = self.request.resources.get(scope.resource)?;
        Some((span, scope, self.request.resource_header(resource).len()))
    }

    fn finish_fragment(&mut self, id: TraceId) {
        if self.scratch.spans.is_empty() {
            return;
        }
        if self.fragments_in_batch > 0 && self.weight() + self.size > self.limits.max_batch_bytes {
            self.finish_batch();
        }
        let facts = self.write_spans(id);
        self.write_otlp();
        self.builder.finish_fragment(facts);
        self.fragments_in_batch += 1;
        self.spans += u64::from(facts.span_count);
        self.total += self.size;
        self.fragment += 1;
        self.size = 0;
        self.scratch.spans.clear();
        self.scratch.runs.clear();
    }

    fn finish_batch(&mut self) {
        if self.fragments_in_batch > 0 {
            let builder = std::mem::take(&mut self.builder);
            self.batches.push(builder.build());
            self.batch += 1;
            self.fragments_in_batch = 0;
        }
    }

    /// Weight of the open batch, as [`Batch::weight`] counts it.
    fn weight(&mut self) -> usize {
        self.builder.otlp().len()
            + self.builder.digest().len()
            + self.builder.terms().len() * size_of::<Term>()
            + self.fragments_in_batch * 64
    }

    /// Writes the terms, operations and digest of the open fragment.
    fn write_spans(&mut self, trace_id: TraceId) -> FragmentFacts {
        let mut facts = FragmentFacts {
            trace_id,
            span_count: super::number(self.scratch.spans.len()),
            starts: TimeRange {
                start: u64::MAX,
                end: 0,
            },
            durations: DurationRange {
                shortest: u64::MAX,
                longest: 0,
            },
        };
        self.scratch.terms.clear();
        let mut seen = KindSet::default();
        let max_listed = self.limits.max_listed_bytes;
        for position in 0..self.scratch.spans.len() {
            let Some(number) = self.scratch.spans.get(position) else {
                break;
            };
            let number = *number as usize;
            let fragment = self.fragment;
            let out = &mut self.scratch.terms;
            self.request.push_span_terms(number, fragment, out);
            let Some(span) = self.request.spans.get(number) else {
                break;
            };
            let (start, end) = (span.start, span.end);
            let duration = end.saturating_sub(start);
            facts.starts.start = facts.starts.start.min(start);
            facts.starts.end = facts.starts.end.max(start);
            facts.durations.shortest = facts.durations.shortest.min(duration);
            facts.durations.longest = facts.durations.longest.max(duration);

            let (number, scope, status) = (span.operation, span.scope, span.status);
            let operations = &mut self.request.operations;
            let Some(operation) = operations.get_mut(number) else {
                break;
            };
            let is_new = operation.fragment != fragment;
            if is_new {
                operation.fragment = fragment;
                self.scratch.terms.extend(operation.terms);
                let unlisted = self.scratch.constants.unlisted_span_name;
                let unlisted = (!operation.is_listed).then_some(unlisted);
                self.scratch.terms.extend(unlisted);
            }
            let (service, name, kind) = (operation.service, operation.name, operation.kind);
            seen.kinds |= 1 << kind as u8;
            seen.statuses |= 1 << status as u8;
            let digest = &mut self.scratch.digest;
            let span = digest::Span {
                span_id: span.id,
                parent: span.parent,
                start,
                end,
                kind,
                status,
                service: operations.in_digest(service, fragment, digest),
                name: operations.in_digest(name, fragment, digest),
            };
            digest.push(&span);
            if is_new
                && let Some(index) =
                    operations.in_batch(number, self.batch, max_listed, &mut self.builder)
            {
                self.builder.fragment_operations().push(index);
            }
            if status == StatusCode::Error {
                self.add_error(scope);
            }
        }
        for run in &self.scratch.runs {
            let out = &mut self.scratch.terms;
            self.request
                .push_header_terms(run.scope, self.fragment, out);
        }
        let has_dictionary = self.request.facts.has_dictionary();
        let constants = &self.scratch.constants;
        seen.push_terms(constants, has_dictionary, &mut self.scratch.terms);
        // Most duplicates were skipped above, but different attributes can have the same string form.
        self.scratch.terms.sort_unstable();
        self.scratch.terms.dedup();
        self.builder.terms().extend_from_slice(&self.scratch.terms);
        self.scratch.digest.finish(self.builder.digest());
        facts
    }

    /// Adds the term of a span with status error in the scope's service.
    fn add_error(&mut self, scope: u32) {
        let scope = self.request.scopes.get(scope);
        let resource = scope.map_or(0, |scope| scope.resource);
        let Some(resource) = self.request.resources.get_mut(resource) else {
            return;
        };
        if resource.error_fragment != self.fragment {
            resource.error_fragment = self.fragment;
            self.scratch.terms.push(resource.error_term);
        }
    }

    /// Writes the `TracesData` of the open fragment.
    fn write_otlp(&mut self) {
        let out = self.builder.otlp();
        let mut runs = self.scratch.runs.as_slice();
        let mut start = 0;
        while let Some(first) = runs.first() {
            let same = runs
                .iter()
                .take_while(|run| run.resource == first.resource)
                .count();
            let (of_resource, others) = runs.split_at(same);
            runs = others;
            let Some(resource) = self.request.resources.get(first.resource) else {
                continue;
            };
            let header = self.request.resource_header(resource);
            let scopes: usize = of_resource.iter().map(|run| field_len(run.len)).sum();
            // TracesData.resource_spans
            write_field_header(1, header.len() + scopes, out);
            out.extend_from_slice(header);
            for run in of_resource {
                // ResourceSpans.scope_spans
                write_field_header(2, run.len, out);
                if let Some(scope) = self.request.scopes.get(run.scope) {
                    out.extend_from_slice(self.request.scope_header(scope));
                }
                let spans = self.scratch.spans.get(start..run.end);
                for number in spans.unwrap_or_default() {
                    if let Some(span) = self.request.spans.get(*number as usize) {
                        // ScopeSpans.spans
                        write_field_header(2, span.raw.len(), out);
                        out.extend_from_slice(span.raw);
                    }
                }
                start = run.end;
            }
        }
    }
}

/// Maximum length of a field's key and length prefix: a key of one byte, and a length of less than 32 bits.
const MAX_FIELD_HEADER_LEN: usize = 6;

/// Writes the key and the length prefix of a message.
fn write_field_header(number: u8, len: usize, out: &mut Vec<u8>) {
    out.push(number << 3 | 2);
    encode_varint(len as u64, out);
}

/// Bit sets of the kinds and statuses in a fragment.
#[derive(Default)]
struct KindSet {
    kinds: u8,
    statuses: u8,
}

impl KindSet {
    fn push_terms(&self, terms: &ConstantTerms, has_dictionary: bool, out: &mut Vec<Term>) {
        let mut push = |bits: u8, terms: &[Term]| {
            for (number, term) in terms.iter().enumerate() {
                if bits & 1 << number != 0 {
                    out.push(*term);
                }
            }
        };
        push(self.kinds, &terms.kinds);
        if has_dictionary {
            push(self.statuses, &terms.statuses_with_listed_texts);
            out.push(terms.with_dictionary);
        } else {
            push(self.statuses, &terms.statuses);
        }
    }
}

/// The terms of all kinds and statuses, by their numbers, and terms of fragments with a dictionary.
#[derive(Debug)]
struct ConstantTerms {
    kinds: [Term; 6],
    statuses: [Term; 3],
    statuses_with_listed_texts: [Term; 3],
    with_dictionary: Term,
    unlisted_span_name: Term,
}

impl Default for ConstantTerms {
    fn default() -> Self {
        Self {
            kinds: [0, 1, 2, 3, 4, 5].map(|number| terms::kind(SpanKind::from_wire(number))),
            statuses: [0, 1, 2].map(|number| terms::status(StatusCode::from_wire(number))),
            statuses_with_listed_texts: [0, 1, 2]
                .map(|number| terms::status_with_listed_texts(StatusCode::from_wire(number))),
            with_dictionary: terms::with_dictionary(),
            unlisted_span_name: terms::unlisted_text(TextField::SpanName),
        }
    }
}
