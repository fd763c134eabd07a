//! Writing digests.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};
use prost::encoding::encode_varint;

use super::{BACKWARDS, PARENT_SHIFT, Parent, STATUS_SHIFT, Span, VERSION};

/// Makes one digest after another, reusing its buffers.
#[derive(Debug, Default)]
pub struct Encoder {
    strings: Strings,
    spans: Vec<u8>,
    count: u64,
    last_start: u64,
}

/// Each string once, numbered in order of appearance.
#[derive(Debug, Default)]
struct Strings {
    /// All strings, joined.
    bytes: Vec<u8>,
    /// Where each ends in `bytes`.
    ends: Vec<usize>,
    numbers: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

// === impl Encoder ===

impl Encoder {
    /// Without spans.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a span.
    pub fn push(&mut self, span: &Span<'_>) {
        let backwards = span.end < span.start;
        let parent = match span.parent {
            Parent::None => 0,
            Parent::Id(_) => 1,
            Parent::Odd => 2,
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
        let service = self.strings.number(span.service);
        let name = self.strings.number(span.name);
        encode_varint(u64::from(service), &mut self.spans);
        encode_varint(u64::from(name), &mut self.spans);
        self.last_start = span.start;
        self.count += 1;
    }

    /// Appends the digest of the spans pushed to `out`, and starts anew.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        out.push(VERSION);
        encode_varint(self.strings.ends.len() as u64, out);
        for number in 0..self.strings.ends.len() {
            let string = self.strings.get(number);
            encode_varint(string.len() as u64, out);
            out.extend_from_slice(string);
        }
        encode_varint(self.count, out);
        out.extend_from_slice(&self.spans);

        self.strings.clear();
        self.spans.clear();
        self.count = 0;
        self.last_start = 0;
    }
}

// === impl Strings ===

impl Strings {
    fn get(&self, number: usize) -> &[u8] {
        nth(&self.bytes, &self.ends, number)
    }

    fn number(&mut self, string: &str) -> u32 {
        let Self {
            bytes,
            ends,
            numbers,
            hasher,
        } = self;
        let hash = hasher.hash_one(string.as_bytes());
        if let Some(number) = numbers.find(hash, |number| {
            nth(bytes, ends, *number as usize) == string.as_bytes()
        }) {
            return *number;
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "4 billion strings do not fit a request"
        )]
        let number = ends.len() as u32;
        bytes.extend_from_slice(string.as_bytes());
        ends.push(bytes.len());
        numbers.insert_unique(hash, number, |number| {
            hasher.hash_one(nth(bytes, ends, *number as usize))
        });
        number
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        self.numbers.clear();
    }
}

/// The string with this number; "" where there is none.
fn nth<'a>(bytes: &'a [u8], ends: &[usize], number: usize) -> &'a [u8] {
    let start = match number.checked_sub(1) {
        Some(before) => ends.get(before).copied().unwrap_or_default(),
        None => 0,
    };
    let end = ends.get(number).copied().unwrap_or_default();
    bytes.get(start..end).unwrap_or_default()
}
