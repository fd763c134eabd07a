//! Makes messages of pieces that are larger than a message (W9). A piece of several spans is split between them. Where that is not enough, the
//! largest values are cut: as many as necessary, each to the same length, so no smaller value loses anything. An attribute beside each cut
//! value has its length. What does not fit even so is left out, the last first, and attributes have the numbers. Ids are never cut.

mod keep;
mod level;
mod shorten;

use larder_proto::wire::Error;

use super::parts::{Header, Parts, Span, encode_one};
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

impl Parts<'_> {
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
            .map(|header| header.len())
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
                    *header = Header::new(keep_header(kind, header, limit / 4, &mut values)?);
                }
            }
        }
        Ok(values)
    }

    /// The headers of the resources, and those of the scopes, each with its values cut.
    fn shorten_headers(
        &self,
        shortener: &mut Shortener,
    ) -> Result<(Vec<Header>, Vec<Header>), Error> {
        let mut of = |kind, headers: &[Header]| {
            let headers = headers.iter();
            headers
                .map(|header| shortener.header(kind, header).map(Header::new))
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

#[cfg(test)]
mod tests;
