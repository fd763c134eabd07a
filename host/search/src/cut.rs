//! Makes messages of pieces that are larger than a message (W9). A piece of several spans is split between them. Where that is not enough, the
//! largest values are cut: as many as necessary, each to the same length, so no smaller value loses anything. An attribute beside each cut
//! value has its length. What does not fit even so is left out, the last first, and attributes have the numbers. Ids are never cut.

mod keep;
mod level;
mod shorten;

use larder_proto::otlp::{depth, pdata};
use larder_proto::wire::{DEPTH, Error, Fields};

use super::sanitize::push_field;
use keep::{keep, keep_header};
use level::{MIN_LEVEL, level, shares};
pub(crate) use level::{shorten_text, shorten_texts};
use shorten::{Kind, Shortener};

/// The messages of one piece.
#[derive(Debug, Default)]
pub(crate) struct Fitted {
    /// Encoded `TracesData`, with the spans in the order of the piece.
    pub(crate) messages: Vec<Vec<u8>>,
    /// Number of values that were cut or left out.
    pub(crate) values: usize,
}

/// The spans of a piece, with the headers that they share.
#[derive(Debug, Default)]
struct Parts<'a> {
    /// Every field of each `ResourceSpans` except its `ScopeSpans`.
    resources: Vec<Vec<u8>>,
    /// Every field of each `ScopeSpans` except its spans.
    scopes: Vec<Vec<u8>>,
    spans: Vec<Span<'a>>,
    /// True once values of the headers are cut. They stay as they are then, as their marks have the lengths.
    are_headers_cut: bool,
}

/// A span with the indices of its headers.
#[derive(Clone, Copy, Debug)]
struct Span<'a> {
    resource: usize,
    scope: usize,
    raw: &'a [u8],
}

/// One encoded header each.
type Headers = Vec<Vec<u8>>;

/// The most bytes of a message around one span: the keys and lengths of three fields.
const ENVELOPE: usize = 3 * 6;

/// Makes messages of at most `limit` bytes of an encoded `TracesData`. A message is larger only if the limit is less than the ids and
/// texts of a span with their marks, about two KiB.
///
/// # Errors
/// If the bytes are no `TracesData`.
pub(crate) fn fit(traces: &[u8], limit: usize) -> Result<Fitted, Error> {
    let mut parts = Parts::read(traces)?;
    let mut fitted = Fitted::default();
    if parts.spans.len() > 1 {
        fitted.values += parts.shrink_headers(limit)?;
    }
    fitted.add(&parts, &parts.spans, limit)?;
    Ok(fitted)
}

// === impl Fitted ===

impl Fitted {
    /// Adds spans, in as many messages as necessary.
    fn add(&mut self, parts: &Parts<'_>, spans: &[Span<'_>], limit: usize) -> Result<(), Error> {
        if spans.is_empty() {
            return Ok(());
        }
        let whole = parts.encode(spans);
        if whole.len() <= limit {
            self.messages.push(whole);
            return Ok(());
        }
        if let [span] = spans {
            return self.add_cut(parts, *span, whole.len(), limit);
        }
        let (before, after) = spans.split_at(spans.len() / 2);
        self.add(parts, before, limit)?;
        self.add(parts, after, limit)
    }

    /// Adds a span that with its headers is larger than a message: `len` bytes.
    fn add_cut(
        &mut self,
        parts: &Parts<'_>,
        span: Span<'_>,
        len: usize,
        limit: usize,
    ) -> Result<(), Error> {
        let mut measure = Shortener::measuring();
        parts.shorten(span, &mut measure)?;
        let level = level(&mut measure.lengths, len, limit);
        let mut shortener = Shortener::new(level.unwrap_or(MIN_LEVEL));
        let [resource, scope, raw] = parts.shorten(span, &mut shortener)?;
        self.values += shortener.values;
        let message = encode_one([&resource, &scope, &raw]);
        if message.len() <= limit {
            self.messages.push(message);
            return Ok(());
        }
        let lens = [resource.len(), scope.len(), raw.len()];
        let [of_resource, of_scope, of_span] = shares(lens, limit.saturating_sub(ENVELOPE));
        let mut omitted = 0;
        let resource = keep_header(Kind::Resource, &resource, of_resource, &mut omitted)?;
        let scope = keep_header(Kind::Scope, &scope, of_scope, &mut omitted)?;
        let raw = keep(Kind::Span, &raw, of_span, &mut omitted)?;
        self.values += omitted;
        self.messages.push(encode_one([&resource, &scope, &raw]));
        Ok(())
    }
}

// === impl Parts ===

impl<'a> Parts<'a> {
    fn read(traces: &'a [u8]) -> Result<Self, Error> {
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
        self.resources.push(header);
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
        self.scopes.push(header);
        Ok(())
    }

    fn resource(&self, number: usize) -> &[u8] {
        self.resources.get(number).map_or(&[], Vec::as_slice)
    }

    fn scope(&self, number: usize) -> &[u8] {
        self.scopes.get(number).map_or(&[], Vec::as_slice)
    }

    /// Encodes these consecutive spans with their headers.
    fn encode(&self, spans: &[Span<'_>]) -> Vec<u8> {
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

    /// Cuts values of the headers, if these leave next to nothing of a message for spans, which would come in very many messages. Returns
    /// the number of values.
    fn shrink_headers(&mut self, limit: usize) -> Result<usize, Error> {
        let of =
            |span: &Span<'_>| self.resource(span.resource).len() + self.scope(span.scope).len();
        if self.spans.iter().map(of).max() <= Some(limit - limit / 32) {
            return Ok(0);
        }
        let len: usize = self
            .resources
            .iter()
            .chain(&self.scopes)
            .map(Vec::len)
            .sum();
        let spans = self.spans.iter().map(|span| span.raw.len() + ENVELOPE);
        let spans: usize = spans.sum();
        // All spans in one message, or at least half of each message for spans.
        let max = limit.saturating_sub(spans).max(limit / 2);
        let mut measure = Shortener::measuring();
        self.shorten_headers(&mut measure)?;
        let level = level(&mut measure.lengths, len, max);
        let mut shortener = Shortener::new(level.unwrap_or(MIN_LEVEL));
        (self.resources, self.scopes) = self.shorten_headers(&mut shortener)?;
        self.are_headers_cut = true;
        let mut values = shortener.values;
        for (kind, headers) in [
            (Kind::Resource, &mut self.resources),
            (Kind::Scope, &mut self.scopes),
        ] {
            for header in headers.iter_mut().filter(|header| header.len() > limit / 4) {
                if level.is_none() {
                    *header = keep_header(kind, header, limit / 4, &mut values)?;
                }
            }
        }
        Ok(values)
    }

    fn shorten_headers(&self, shortener: &mut Shortener) -> Result<(Headers, Headers), Error> {
        let mut of = |kind, headers: &[Vec<u8>]| {
            let headers = headers.iter();
            headers
                .map(|header| shortener.header(kind, header))
                .collect::<Result<Vec<_>, _>>()
        };
        let resources = of(Kind::Resource, &self.resources)?;
        Ok((resources, of(Kind::Scope, &self.scopes)?))
    }

    /// The resource's header, the scope's header and the span, each with its values cut.
    fn shorten(&self, span: Span<'_>, shortener: &mut Shortener) -> Result<[Vec<u8>; 3], Error> {
        let (resource, scope) = (self.resource(span.resource), self.scope(span.scope));
        let (resource, scope) = if self.are_headers_cut {
            (resource.to_vec(), scope.to_vec())
        } else {
            let resource = shortener.header(Kind::Resource, resource)?;
            (resource, shortener.header(Kind::Scope, scope)?)
        };
        Ok([resource, scope, shortener.message(Kind::Span, span.raw)?])
    }
}

/// Encodes a span with its headers.
fn encode_one([resource, scope, span]: [&[u8]; 3]) -> Vec<u8> {
    let mut scope_spans = scope.to_vec();
    push_field(2, span, &mut scope_spans);
    let mut resource_spans = resource.to_vec();
    push_field(2, &scope_spans, &mut resource_spans);
    let mut traces = Vec::new();
    push_field(1, &resource_spans, &mut traces);
    traces
}

#[cfg(test)]
mod tests;
