//! Replaces what is not UTF-8 in the strings of a message. Jaeger does so before it stores a span, and a span that other clients write is
//! not lost for one bad byte.

use prost::encoding::{WireType, encode_key, encode_varint};

use super::MAX_LEVELS;
use super::pdata::{FieldType, MessageType, RESOURCE_SPANS, TRACES_DATA};
use crate::wire::{Error, Fields};

/// Attribute of a span, a resource or a scope with replaced strings. The value is their number.
pub const REPLACED_STRINGS: &str = "larder.replaced.strings";

/// Attribute of a span whose name was not UTF-8: the name as it was sent, as bytes. The key is that of Jaeger's sanitizer.
pub const INVALID_SPAN_NAME: &str = "invalid-span-name";

/// Maximum nesting of value messages that are repaired: those of [`MAX_LEVELS`] of maps, and an attribute with its value.
const MAX_VALUES: u32 = 2 + 3 * MAX_LEVELS;

/// Copies an encoded `TracesData`. In each string every sequence of bytes that is not UTF-8 is replaced by U+FFFD; the span, resource or scope
/// that holds it gets the attribute [`REPLACED_STRINGS`]. What is nested too deep in a value stays as it is.
///
/// # Errors
/// If the bytes are not such a message.
pub fn repair(traces: &[u8]) -> Result<Vec<u8>, Error> {
    let mut out = Vec::with_capacity(traces.len() + traces.len() / 8);
    push_message(traces, &TRACES_DATA, 0, &mut out)?;
    Ok(out)
}

/// Like [`repair`], but copies an encoded `ResourceSpans`.
///
/// # Errors
/// If the bytes are not such a message.
pub fn repair_resource_spans(resource_spans: &[u8]) -> Result<Vec<u8>, Error> {
    let mut out = Vec::with_capacity(resource_spans.len() + resource_spans.len() / 8);
    push_message(resource_spans, &RESOURCE_SPANS, 0, &mut out)?;
    Ok(out)
}

/// Copies a message. Returns the number of strings replaced in it and not told by an attribute yet.
fn push_message(
    raw: &[u8],
    ty: &MessageType,
    values: u32,
    out: &mut Vec<u8>,
) -> Result<i64, Error> {
    let values = if ty.is_value { values + 1 } else { 0 };
    if values > MAX_VALUES {
        out.extend_from_slice(raw);
        return Ok(0);
    }
    let mut replaced = 0;
    let mut invalid_name = None;
    for field in Fields::new(raw) {
        let field = field?;
        let known = ty.fields.iter().find(|(known, _)| *known == field.number);
        match (known.map(|(_, kind)| *kind), field.bytes()) {
            (Some(FieldType::Message(inner)), Ok(content)) => {
                let mut new = Vec::with_capacity(content.len());
                replaced += push_message(content, inner(), values, &mut new)
                    .map_err(|error| error.relative_to(raw, content))?;
                if new == content {
                    out.extend_from_slice(field.raw);
                } else {
                    push_field(field.number, &new, out);
                }
            }
            (Some(FieldType::Text), Ok(text)) if !super::is_utf8(text) => {
                replaced += 1;
                push_field(field.number, String::from_utf8_lossy(text).as_bytes(), out);
                if ty.name == Some(field.number) {
                    invalid_name = Some(text);
                }
            }
            _ => out.extend_from_slice(field.raw),
        }
    }
    let Some(attributes) = ty.marks else {
        return Ok(replaced);
    };
    if let Some(name) = invalid_name {
        let mut value = Vec::new();
        push_field(7, name, &mut value);
        push_attribute(attributes, INVALID_SPAN_NAME, &value, out);
    }
    if replaced > 0 {
        let mut value = Vec::new();
        encode_key(3, WireType::Varint, &mut value);
        encode_varint(replaced.cast_unsigned(), &mut value);
        push_attribute(attributes, REPLACED_STRINGS, &value, out);
    }
    Ok(0)
}

/// Pushes an attribute with an encoded `AnyValue`.
fn push_attribute(number: u32, key: &str, value: &[u8], out: &mut Vec<u8>) {
    let mut attribute = Vec::new();
    push_field(1, key.as_bytes(), &mut attribute);
    push_field(2, value, &mut attribute);
    push_field(number, &attribute, out);
}

fn push_field(number: u32, content: &[u8], out: &mut Vec<u8>) {
    encode_key(number, WireType::LengthDelimited, out);
    encode_varint(content.len() as u64, out);
    out.extend_from_slice(content);
}
