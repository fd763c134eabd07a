//! The rules of pdata, the decoder of the OpenTelemetry Collector, which Jaeger's client uses for every answer.
//!
//! Follows `UnmarshalProto` of the trace messages in pdata 1.61 to 1.71. A message that breaks one rule cannot be decoded at all.

use FieldType::{Bytes, Fixed32, Fixed64, Message, SpanId, Text, TraceId, Varint};

/// The field of `ResourceSpans` that held its `ScopeSpans` in OTLP before 0.15. pdata still decodes it, and reads it as field 2 if there is
/// no field 2.
pub const OLD_SCOPE_SPANS: u32 = 1000;

/// Maximum nesting of value messages, an attribute's `KeyValue` included; since pdata 1.71.
pub const MAX_NESTED_VALUES: u32 = 100;

/// A message type: its fields.
pub(super) struct MessageType {
    pub(super) fields: &'static [(u32, FieldType)],
    /// True if it counts for [`MAX_NESTED_VALUES`].
    pub(super) is_value: bool,
    /// Number of the field with its attributes, if it is a span, a resource or a scope.
    pub(super) marks: Option<u32>,
    /// Number of the field with its name, if it is a span.
    pub(super) name: Option<u32>,
}

#[derive(Clone, Copy)]
pub(super) enum FieldType {
    Varint,
    Fixed64,
    Fixed32,
    Bytes,
    /// A string. pdata does not check that it is UTF-8.
    Text,
    TraceId,
    SpanId,
    Message(fn() -> &'static MessageType),
}

/// Returns `true` if pdata can decode an encoded `TracesData`.
pub fn decodes(traces: &[u8]) -> bool {
    read_message(traces, &TRACES_DATA, 0).is_some()
}

/// Returns `true` if pdata can decode an encoded `KeyValue`.
#[cfg(test)]
pub(super) fn decodes_attribute(raw: &[u8]) -> bool {
    read_message(raw, &KEY_VALUE, 0).is_some()
}

const fn message(fields: &'static [(u32, FieldType)]) -> MessageType {
    MessageType {
        fields,
        is_value: false,
        marks: None,
        name: None,
    }
}

const fn value(fields: &'static [(u32, FieldType)]) -> MessageType {
    MessageType {
        is_value: true,
        ..message(fields)
    }
}

/// A message with attributes in field `marks`.
const fn marked(marks: u32, fields: &'static [(u32, FieldType)]) -> MessageType {
    MessageType {
        marks: Some(marks),
        ..message(fields)
    }
}

pub(super) static TRACES_DATA: MessageType = message(&[(1, Message(|| &RESOURCE_SPANS))]);
pub(super) static RESOURCE_SPANS: MessageType = message(&[
    (1, Message(|| &RESOURCE)),
    (2, Message(|| &SCOPE_SPANS)),
    (3, Text),
    (OLD_SCOPE_SPANS, Message(|| &SCOPE_SPANS)),
]);
static RESOURCE: MessageType = marked(
    1,
    &[
        (1, Message(|| &KEY_VALUE)),
        (2, Varint),
        (3, Message(|| &ENTITY_REF)),
    ],
);
static ENTITY_REF: MessageType = message(&[(1, Text), (2, Text), (3, Text), (4, Text)]);
static SCOPE_SPANS: MessageType =
    message(&[(1, Message(|| &SCOPE)), (2, Message(|| &SPAN)), (3, Text)]);
static SCOPE: MessageType = marked(
    3,
    &[
        (1, Text),
        (2, Text),
        (3, Message(|| &KEY_VALUE)),
        (4, Varint),
    ],
);
static SPAN: MessageType = MessageType {
    name: Some(5),
    ..marked(
        9,
        &[
            (1, TraceId),
            (2, SpanId),
            (3, Text),
            (4, SpanId),
            (5, Text),
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
        ],
    )
};
static EVENT: MessageType = message(&[
    (1, Fixed64),
    (2, Text),
    (3, Message(|| &KEY_VALUE)),
    (4, Varint),
]);
static LINK: MessageType = message(&[
    (1, TraceId),
    (2, SpanId),
    (3, Text),
    (4, Message(|| &KEY_VALUE)),
    (5, Varint),
    (6, Fixed32),
]);
static STATUS: MessageType = message(&[(2, Text), (3, Varint)]);
static KEY_VALUE: MessageType = value(&[(1, Text), (2, Message(|| &ANY_VALUE)), (3, Varint)]);
static ANY_VALUE: MessageType = value(&[
    (1, Text),
    (2, Varint),
    (3, Varint),
    (4, Fixed64),
    (5, Message(|| &ARRAY_VALUE)),
    (6, Message(|| &KEY_VALUE_LIST)),
    (7, Bytes),
    (8, Varint),
]);
static ARRAY_VALUE: MessageType = value(&[(1, Message(|| &ANY_VALUE))]);
static KEY_VALUE_LIST: MessageType = value(&[(1, Message(|| &KEY_VALUE))]);

/// Reads a whole message. Like the functions below, returns `None` if pdata returns an error.
fn read_message(raw: &[u8], ty: &MessageType, depth: u32) -> Option<()> {
    if ty.is_value && depth >= MAX_NESTED_VALUES {
        return None;
    }
    let depth = if ty.is_value { depth + 1 } else { 0 };
    let mut rest = raw;
    while !rest.is_empty() {
        let (number, wire_type) = read_key(&mut rest)?;
        let kind = ty.fields.iter().find(|(known, _)| *known == number);
        match (kind.map(|(_, kind)| *kind), wire_type) {
            (None, wire_type) => skip_unknown(&mut rest, wire_type)?,
            (Some(Varint), 0) => drop(read_varint(&mut rest)?),
            (Some(Fixed64), 1) => drop(take(&mut rest, 8)?),
            (Some(Fixed32), 5) => drop(take(&mut rest, 4)?),
            (Some(kind), 2) => {
                let content = take_length_delimited(&mut rest)?;
                match kind {
                    Bytes | Text => {}
                    TraceId if super::is_trace_id_len(content) => {}
                    SpanId if super::is_span_id_len(content) => {}
                    Message(ty) => read_message(content, ty(), depth)?,
                    _ => return None,
                }
            }
            _ => return None,
        }
    }
    Some(())
}

/// Skips the value of a field that the message type does not define. In a group pdata skips the keys up to the first field with a value,
/// and reads the bytes after it as fields of the message. It therefore refuses all groups except empty ones.
fn skip_unknown(rest: &mut &[u8], mut wire_type: u8) -> Option<()> {
    let mut open_groups = 0_u32;
    while !rest.is_empty() {
        match wire_type {
            0 => return read_varint(rest).map(drop),
            1 => return take(rest, 8).map(drop),
            2 => return take_length_delimited(rest).map(drop),
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
    // pdata keeps 32 bits of the field number, the highest of which is a sign.
    let number = u32::try_from(key >> 3 & u64::from(u32::MAX)).ok()?;
    let wire_type = u8::try_from(key & 7).ok()?;
    (1..=i32::MAX.cast_unsigned())
        .contains(&number)
        .then_some((number, wire_type))
}

/// Reads a varint of at most ten bytes. Bits beyond 64 are dropped.
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

fn take_length_delimited<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = read_varint(rest)?;
    take(rest, usize::try_from(length).ok()?)
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(taken)
}
