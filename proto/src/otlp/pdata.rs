//! The rules of pdata, the decoder of the OpenTelemetry Collector, with which Jaeger's client reads every answer.
//!
//! Follows `UnmarshalProto` of the messages of traces in pdata 1.61 to 1.71. A message that breaks one rule cannot be read at all.

use Kind::{Bytes, Fixed32, Fixed64, Message, SpanId, TraceId, Varint};

/// The field of `ResourceSpans` that held what `ScopeSpans` do now, in OTLP before 0.15; pdata decodes it still.
pub const OLD_SCOPE_SPANS: u32 = 1000;

/// How many messages of values may be nested; since pdata 1.71.
const MOST_NESTED: u32 = 100;

/// A message's known fields.
struct Known {
    fields: &'static [(u32, Kind)],
    /// Whether it counts for [`MOST_NESTED`].
    is_value: bool,
}

#[derive(Clone, Copy)]
enum Kind {
    Varint,
    Fixed64,
    Fixed32,
    /// Of any content: pdata does not look at UTF-8.
    Bytes,
    TraceId,
    SpanId,
    Message(fn() -> &'static Known),
}

/// Whether pdata takes an encoded `TracesData`.
pub fn takes(traces: &[u8]) -> bool {
    read_message(traces, &TRACES_DATA, 0).is_some()
}

/// Whether pdata takes an encoded `ScopeSpans`.
pub(super) fn takes_scope_spans(raw: &[u8]) -> bool {
    read_message(raw, &SCOPE_SPANS, 0).is_some()
}

const fn message(fields: &'static [(u32, Kind)]) -> Known {
    let is_value = false;
    Known { fields, is_value }
}

const fn value(fields: &'static [(u32, Kind)]) -> Known {
    let is_value = true;
    Known { fields, is_value }
}

static TRACES_DATA: Known = message(&[(1, Message(|| &RESOURCE_SPANS))]);
static RESOURCE_SPANS: Known = message(&[
    (1, Message(|| &RESOURCE)),
    (2, Message(|| &SCOPE_SPANS)),
    (3, Bytes),
    (OLD_SCOPE_SPANS, Message(|| &SCOPE_SPANS)),
]);
static RESOURCE: Known = message(&[
    (1, Message(|| &KEY_VALUE)),
    (2, Varint),
    (3, Message(|| &ENTITY_REF)),
]);
static ENTITY_REF: Known = message(&[(1, Bytes), (2, Bytes), (3, Bytes), (4, Bytes)]);
static SCOPE_SPANS: Known = message(&[(1, Message(|| &SCOPE)), (2, Message(|| &SPAN)), (3, Bytes)]);
static SCOPE: Known = message(&[
    (1, Bytes),
    (2, Bytes),
    (3, Message(|| &KEY_VALUE)),
    (4, Varint),
]);
static SPAN: Known = message(&[
    (1, TraceId),
    (2, SpanId),
    (3, Bytes),
    (4, SpanId),
    (5, Bytes),
    (6, Varint),
    (7, Fixed64),
    (8, Fixed64),
    (9, Message(|| &KEY_VALUE)),
    (10, Varint),
    (11, Message(|| &EVENT)),
    (12, Varint),
    (13, Message(|| &LINK)),
    (14, Varint),
    (15, Message(|| &STATUS)),
    (16, Fixed32),
]);
static EVENT: Known = message(&[
    (1, Fixed64),
    (2, Bytes),
    (3, Message(|| &KEY_VALUE)),
    (4, Varint),
]);
static LINK: Known = message(&[
    (1, TraceId),
    (2, SpanId),
    (3, Bytes),
    (4, Message(|| &KEY_VALUE)),
    (5, Varint),
    (6, Fixed32),
]);
static STATUS: Known = message(&[(2, Bytes), (3, Varint)]);
static KEY_VALUE: Known = value(&[(1, Bytes), (2, Message(|| &ANY_VALUE)), (3, Varint)]);
static ANY_VALUE: Known = value(&[
    (1, Bytes),
    (2, Varint),
    (3, Varint),
    (4, Fixed64),
    (5, Message(|| &ARRAY_VALUE)),
    (6, Message(|| &KEY_VALUE_LIST)),
    (7, Bytes),
    (8, Varint),
]);
static ARRAY_VALUE: Known = value(&[(1, Message(|| &ANY_VALUE))]);
static KEY_VALUE_LIST: Known = value(&[(1, Message(|| &KEY_VALUE))]);

/// Reads all of a message; `None` where pdata gives an error, so below.
fn read_message(raw: &[u8], known: &Known, depth: u32) -> Option<()> {
    if known.is_value && depth >= MOST_NESTED {
        return None;
    }
    let depth = if known.is_value { depth + 1 } else { 0 };
    let mut rest = raw;
    while !rest.is_empty() {
        let (number, wire_type) = read_key(&mut rest)?;
        let kind = known.fields.iter().find(|(known, _)| *known == number);
        match (kind.map(|(_, kind)| *kind), wire_type) {
            (None, wire_type) => skip_unknown(&mut rest, wire_type)?,
            (Some(Varint), 0) => drop(read_varint(&mut rest)?),
            (Some(Fixed64), 1) => drop(take(&mut rest, 8)?),
            (Some(Fixed32), 5) => drop(take(&mut rest, 4)?),
            (Some(kind), 2) => {
                let content = take_counted(&mut rest)?;
                match kind {
                    Bytes => {}
                    TraceId if super::fits_trace_id(content) => {}
                    SpanId if super::fits_span_id(content) => {}
                    Message(known) => read_message(content, known(), depth)?,
                    _ => return None,
                }
            }
            _ => return None,
        }
    }
    Some(())
}

/// Skips the value of a field that the message does not know. Of a group pdata skips the keys up to the first field with a value, and
/// takes what follows for fields of the message: it refuses all groups but empty ones.
fn skip_unknown(rest: &mut &[u8], mut wire_type: u8) -> Option<()> {
    let mut open_groups = 0_u32;
    while !rest.is_empty() {
        match wire_type {
            0 => return read_varint(rest).map(drop),
            1 => return take(rest, 8).map(drop),
            2 => return take_counted(rest).map(drop),
            3 => open_groups += 1,
            4 => open_groups = open_groups.checked_sub(1)?,
            5 => return take(rest, 4).map(drop),
            _ => return None,
        }
        if open_groups == 0 {
            return Some(());
        }
        (_, wire_type) = read_key(rest)?;
    }
    None
}

fn read_key(rest: &mut &[u8]) -> Option<(u32, u8)> {
    let key = read_varint(rest)?;
    // pdata keeps 32 bits of the number, of which the highest is a sign.
    let number = u32::try_from(key >> 3 & u64::from(u32::MAX)).ok()?;
    let wire_type = u8::try_from(key & 7).ok()?;
    (1..=i32::MAX.cast_unsigned())
        .contains(&number)
        .then_some((number, wire_type))
}

/// Of ten bytes at the most; what passes 64 bits is cut.
fn read_varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        value |= u64::from(byte & 0x7f) << shift;
        if *byte < 0x80 {
            return Some(value);
        }
    }
    None
}

fn take_counted<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = read_varint(rest)?;
    take(rest, usize::try_from(length).ok()?)
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(taken)
}
