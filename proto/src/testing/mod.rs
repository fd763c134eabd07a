//! Fields and random OTLP requests for tests of this crate and of the host. They include everything that the wire format allows, even if no client
//! sends it.

#![allow(
    clippy::cast_possible_truncation,
    reason = "random numbers are cut on purpose"
)]

pub mod mirror;

use proptest::collection::vec;
use proptest::prelude::*;

/// Encodes a length-delimited field: a string, bytes or a message.
pub fn bytes_field(number: u32, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    prost::encoding::bytes::encode(number, &content.to_vec(), &mut out);
    out
}

/// Strategy for encoded, well-formed `TracesData`. With `bad_utf8`, some strings are not UTF-8.
pub fn traces(bad_utf8: bool) -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..1200).prop_map(move |entropy| {
        let mut out = Vec::new();
        let mut source = Source {
            entropy: &entropy,
            bad_utf8,
        };
        source.message(TRACES_DATA, &mut out);
        out
    })
}

/// Strategy for encoded `TracesData` with bytes changed, removed and inserted.
pub fn mutated_traces() -> impl Strategy<Value = Vec<u8>> {
    let change = (any::<prop::sample::Index>(), any::<u8>(), 0..4_u8);
    (traces(true), vec(change, 1..4)).prop_map(|(mut bytes, changes)| {
        for (position, byte, change) in changes {
            if bytes.is_empty() {
                bytes.push(byte);
            }
            let position = position.index(bytes.len());
            match change {
                0 => bytes.truncate(position),
                1 => bytes.insert(position, byte),
                2 => drop(bytes.remove(position)),
                // Small numbers make almost valid lengths and wire types.
                _ => {
                    if let Some(old) = bytes.get_mut(position) {
                        *old = old.wrapping_add((byte % 16).wrapping_sub(8));
                    }
                }
            }
        }
        bytes
    })
}

/// The fields of a message type, and the maximum number of fields to generate.
type FieldTable = (&'static [(u32, Kind)], usize);

#[derive(Clone, Copy)]
enum Kind {
    Varint,
    Fixed64,
    Fixed32,
    Text,
    Bytes,
    TraceId,
    SpanId,
    Key,
    Message(fn() -> FieldTable),
}

use Kind::{Bytes, Fixed32, Fixed64, Key, Message, SpanId, Text, TraceId, Varint};

const TRACES_DATA: FieldTable = (&[(1, Message(|| RESOURCE_SPANS))], 5);
const RESOURCE_SPANS: FieldTable = (
    &[
        (1, Message(|| RESOURCE)),
        (2, Message(|| SCOPE_SPANS)),
        (2, Message(|| SCOPE_SPANS)),
        (3, Text),
        (1000, Message(|| SCOPE_SPANS)),
    ],
    6,
);
const RESOURCE: FieldTable = (
    &[
        (1, Message(|| KEY_VALUE)),
        (1, Message(|| KEY_VALUE)),
        (2, Varint),
        (3, Message(|| ENTITY_REF)),
    ],
    4,
);
const ENTITY_REF: FieldTable = (&[(1, Text), (2, Text), (3, Text), (4, Text)], 3);
const SCOPE_SPANS: FieldTable = (
    &[
        (1, Message(|| SCOPE)),
        (2, Message(|| SPAN)),
        (2, Message(|| SPAN)),
        (2, Message(|| SPAN)),
        (3, Text),
    ],
    7,
);
const SCOPE: FieldTable = (
    &[
        (1, Text),
        (2, Text),
        (3, Message(|| KEY_VALUE)),
        (4, Varint),
    ],
    4,
);
const SPAN: FieldTable = (
    &[
        (3, Text),
        (4, SpanId),
        (5, Text),
        (6, Varint),
        (7, Fixed64),
        (8, Fixed64),
        (9, Message(|| KEY_VALUE)),
        (9, Message(|| KEY_VALUE)),
        (9, Message(|| KEY_VALUE)),
        (10, Varint),
        (11, Message(|| EVENT)),
        (12, Varint),
        (13, Message(|| LINK)),
        (14, Varint),
        (15, Message(|| STATUS)),
        (16, Fixed32),
        (1, TraceId),
        (2, SpanId),
    ],
    9,
);
const EVENT: FieldTable = (
    &[
        (1, Fixed64),
        (2, Text),
        (3, Message(|| KEY_VALUE)),
        (4, Varint),
    ],
    4,
);
const LINK: FieldTable = (
    &[
        (1, TraceId),
        (2, SpanId),
        (3, Text),
        (4, Message(|| KEY_VALUE)),
        (5, Varint),
        (6, Fixed32),
    ],
    5,
);
const STATUS: FieldTable = (&[(2, Text), (3, Varint)], 3);
const KEY_VALUE: FieldTable = (
    &[
        (1, Key),
        (2, Message(|| ANY_VALUE)),
        (2, Message(|| ANY_VALUE)),
        (3, Varint),
    ],
    4,
);
const ANY_VALUE: FieldTable = (
    &[
        (1, Text),
        (1, Text),
        (2, Varint),
        (3, Varint),
        (4, Fixed64),
        (5, Message(|| ARRAY)),
        (6, Message(|| LIST)),
        (7, Bytes),
        (8, Varint),
    ],
    2,
);
const ARRAY: FieldTable = (&[(1, Message(|| ANY_VALUE))], 3);
const LIST: FieldTable = (&[(1, Message(|| KEY_VALUE))], 3);

/// Generates a message from random bytes. After the last byte, every choice is the smallest.
struct Source<'a> {
    entropy: &'a [u8],
    bad_utf8: bool,
}

impl Source<'_> {
    fn byte(&mut self) -> u8 {
        match self.entropy.split_first() {
            Some((byte, rest)) => {
                self.entropy = rest;
                *byte
            }
            None => 0,
        }
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::from(self.byte()) % limit.max(1)
    }

    fn number(&mut self) -> u64 {
        match self.below(4) {
            0 => 0,
            1 | 2 => self.below(8) as u64,
            _ => u64::from_le_bytes(std::array::from_fn(|_| self.byte())),
        }
    }

    fn message(&mut self, (known, most): FieldTable, out: &mut Vec<u8>) {
        let is_span = known.len() == SPAN.0.len();
        // Most spans should be valid.
        if is_span && self.below(8) > 0 {
            self.field(1, TraceId, out);
            self.field(2, SpanId, out);
        }
        for _ in 0..self.below(most + 1) {
            match self.below(24) {
                0 => self.unknown_field(3, out),
                choice => {
                    let choice = choice + self.below(8);
                    if let Some((number, kind)) = known.get(choice % known.len()) {
                        self.field(*number, *kind, out);
                    }
                }
            }
        }
    }

    fn field(&mut self, number: u32, kind: Kind, out: &mut Vec<u8>) {
        let mut content = Vec::new();
        match kind {
            Varint => {
                self.key(number, 0, out);
                let value = self.number();
                return self.varint(value, out);
            }
            Fixed64 => {
                self.key(number, 1, out);
                return out.extend(self.time().to_le_bytes());
            }
            Fixed32 => {
                self.key(number, 5, out);
                return out.extend((self.number() as u32).to_le_bytes());
            }
            Text => self.text(&mut content),
            Key => {
                let keys = ["service.name", "a", "b", "error", ""];
                match keys.get(self.below(8)) {
                    Some(key) => content.extend(key.as_bytes()),
                    None => self.text(&mut content),
                }
            }
            Bytes => content.extend((0..self.below(5)).map(|_| self.byte())),
            TraceId => self.id(16, &mut content),
            SpanId => self.id(8, &mut content),
            Message(fields) => self.message(fields(), &mut content),
        }
        self.key(number, 2, out);
        self.varint(content.len() as u64, out);
        out.extend(content);
    }

    /// A time near the others, an unusual one, or the bits of a double.
    fn time(&mut self) -> u64 {
        match self.below(8) {
            0 => self.number(),
            1 => u64::MAX - self.below(2) as u64,
            2 => (f64::from(self.byte()) / 8.0).to_bits(),
            3 => f64::NAN.to_bits(),
            _ => 1_700_000_000_000_000_000 + self.below(200) as u64,
        }
    }

    fn text(&mut self, out: &mut Vec<u8>) {
        let words = ["", "a", "shop", "GET /", "é", "1", "true", "1e3", "日本"];
        match self.below(32) {
            0 if self.bad_utf8 => out.extend(b"\xc3("),
            1 => out.resize(self.below(200), b'x'),
            choice => {
                if let Some(word) = words.get(choice % words.len()) {
                    out.extend(word.as_bytes());
                }
            }
        }
    }

    fn id(&mut self, length: usize, out: &mut Vec<u8>) {
        match self.below(16) {
            0 => out.resize(self.below(20), 1),
            1 => out.resize(length, 0),
            _ => {
                out.resize(length, 0);
                if let Some(last) = out.last_mut() {
                    *last = 1 + self.below(4) as u8;
                }
            }
        }
    }

    fn key(&mut self, number: u32, wire_type: u32, out: &mut Vec<u8>) {
        self.varint(u64::from(number << 3 | wire_type), out);
    }

    /// A varint, sometimes longer than necessary.
    fn varint(&mut self, mut value: u64, out: &mut Vec<u8>) {
        let mut padding = match self.below(32) {
            0 => 1 + self.below(3),
            _ => 0,
        };
        for _ in 0..9 {
            if value < 0x80 && padding == 0 {
                break;
            }
            if value < 0x80 {
                padding -= 1;
            }
            out.push(value as u8 | 0x80);
            value >>= 7;
        }
        out.push(value as u8 & 0x7f);
    }

    fn unknown_field(&mut self, depth: usize, out: &mut Vec<u8>) {
        let number = match self.below(3) {
            0 => 17 + self.below(3) as u32,
            1 => 1001,
            _ => 0x1fff_ffff,
        };
        match self.below(5) {
            0 if depth > 0 => {
                self.key(number, 3, out);
                for _ in 0..self.below(3) {
                    self.unknown_field(depth - 1, out);
                }
                self.key(number, 4, out);
            }
            1 => self.field(number, Fixed64, out),
            2 => self.field(number, Fixed32, out),
            3 => self.field(number, Bytes, out),
            _ => self.field(number, Varint, out),
        }
    }
}
