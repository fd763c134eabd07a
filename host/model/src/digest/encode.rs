//! Encodes digests.

use prost::encoding::encode_varint;

use super::{BACKWARDS, PARENT_SHIFT, Parent, STATUS_SHIFT, Span, VERSION};

/// Encodes one digest after another. Reuses its buffers.
#[derive(Debug, Default)]
pub struct Encoder {
    /// The encoded strings with their lengths.
    strings: Vec<u8>,
    string_count: u32,
    spans: Vec<u8>,
    span_count: u64,
    last_start: u64,
}

// === impl Encoder ===

impl Encoder {
    /// Creates an encoder without spans.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a string and returns its number in the digest. The caller adds each string only once.
    pub fn string(&mut self, string: &str) -> u32 {
        encode_varint(string.len() as u64, &mut self.strings);
        self.strings.extend_from_slice(string.as_bytes());
        self.string_count += 1;
        self.string_count - 1
    }

    /// Adds a span whose service and name are numbers of strings.
    pub fn push(&mut self, span: &Span<u32>) {
        let backwards = span.end < span.start;
        let parent = match span.parent {
            Parent::None => 0,
            Parent::Id(_) => 1,
            Parent::InvalidId => 2,
        };
        let flags = span.kind as u8
            | (span.status as u8) << STATUS_SHIFT
            | parent << PARENT_SHIFT
            | if backwards { BACKWARDS } else { 0 };
        self.spans.push(flags);
        self.spans.extend_from_slice(&span.span_id);
        if let Parent::Id(id) = span.parent {
            self.spans.extend_from_slice(&id);
        }
        let delta = span.start.wrapping_sub(self.last_start).cast_signed();
        let zigzag = (delta << 1) ^ (delta >> 63);
        encode_varint(zigzag.cast_unsigned(), &mut self.spans);
        encode_varint(span.end.abs_diff(span.start), &mut self.spans);
        encode_varint(u64::from(span.service), &mut self.spans);
        encode_varint(u64::from(span.name), &mut self.spans);
        self.last_start = span.start;
        self.span_count += 1;
    }

    /// Appends the digest of the added spans to `out`, and starts a new digest.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        out.push(VERSION);
        encode_varint(u64::from(self.string_count), out);
        out.extend_from_slice(&self.strings);
        encode_varint(self.span_count, out);
        out.extend_from_slice(&self.spans);

        self.strings.clear();
        self.string_count = 0;
        self.spans.clear();
        self.span_count = 0;
        self.last_start = 0;
    }
}

/// Encodes the digest of these spans.
#[cfg(test)]
pub(crate) fn encode(spans: &[Span<&str>]) -> Vec<u8> {
    let mut encoder = Encoder::new();
    let mut known = std::collections::HashMap::new();
    for span in spans {
        let mut number = |string| {
            *known
                .entry(string)
                .or_insert_with(|| encoder.string(string))
        };
        let (service, name) = (number(span.service), number(span.name));
        encoder.push(&Span {
            span_id: span.span_id,
            parent: span.parent,
            start: span.start,
            end: span.end,
            kind: span.kind,
            status: span.status,
            service,
            name,
        });
    }
    let mut digest = Vec::new();
    encoder.finish(&mut digest);
    digest
}
