//! Values with more nested messages than Jaeger's client decodes. The innermost arrays and maps become their string form (Q8), which is
//! what a search compares them by.

use larder_model::string_form;
use larder_proto::otlp::{AnyValue, pdata};
use larder_proto::wire::{DEPTH, Error, Fields};

use super::push_field;

/// An encoded message that is shorter nests nothing too deep: each nested message takes two bytes.
pub(super) const MIN_LEN: usize = 2 * MAX_MESSAGES as usize;

/// Maximum nested messages of an attribute, itself included.
const MAX_MESSAGES: u32 = pdata::MAX_NESTED_VALUES;

/// The messages of a value.
#[derive(Clone, Copy)]
enum Kind {
    KeyValue,
    AnyValue,
    Array,
    Map,
}

/// Returns `true` if Jaeger's client can decode an encoded `KeyValue`, as far as its nesting goes.
pub(super) fn decodes(attribute: &[u8]) -> bool {
    attribute.len() < MIN_LEN || fits(attribute, Kind::KeyValue, 1)
}

/// Returns `true` if no message inside nests too deep. `messages` is the number of nested messages down to this one, itself included; so
/// for the functions below.
fn fits(raw: &[u8], kind: Kind, messages: u32) -> bool {
    if messages > MAX_MESSAGES {
        return false;
    }
    Fields::within(raw, DEPTH).all(|field| {
        let Ok(field) = field else {
            return true;
        };
        let inner = match (kind, field.number) {
            (Kind::KeyValue, 2) | (Kind::Array, 1) => Kind::AnyValue,
            (Kind::AnyValue, 5) => Kind::Array,
            (Kind::AnyValue, 6) => Kind::Map,
            (Kind::Map, 1) => Kind::KeyValue,
            _ => return true,
        };
        let Ok(content) = field.bytes() else {
            return true;
        };
        fits(content, inner, messages + 1)
    })
}

/// Copies an encoded `KeyValue`, and replaces by text what is nested too deep in it. Returns the number of texts. The copy is never longer.
pub(super) fn push_attribute(attribute: &[u8], out: &mut Vec<u8>) -> Result<i64, Error> {
    if decodes(attribute) {
        out.extend_from_slice(attribute);
        return Ok(0);
    }
    push_key_value(attribute, 1, out)
}

/// Copies a `KeyValue`.
fn push_key_value(raw: &[u8], messages: u32, out: &mut Vec<u8>) -> Result<i64, Error> {
    push_each(raw, out, |number, inner, out| match number {
        2 => push_value(inner, messages + 1, out).map(Some),
        _ => Ok(None),
    })
}

/// Copies an `AnyValue`.
fn push_value(raw: &[u8], messages: u32, out: &mut Vec<u8>) -> Result<i64, Error> {
    let mut texts = 0;
    for field in Fields::within(raw, DEPTH) {
        let field = field?;
        // An array has its values inside, a map its entries and their values.
        let inside = match field.number {
            5 => 2,
            6 => 3,
            _ => {
                out.extend_from_slice(field.raw);
                continue;
            }
        };
        let content = field.bytes()?;
        if messages + inside > MAX_MESSAGES {
            push_text(field.raw, content.len(), out)?;
            texts += 1;
            continue;
        }
        let mut new = Vec::with_capacity(content.len());
        texts += push_each(content, &mut new, |number, inner, out| {
            match (number, field.number) {
                (1, 5) => push_value(inner, messages + 2, out).map(Some),
                (1, _) => push_key_value(inner, messages + 2, out).map(Some),
                _ => Ok(None),
            }
        })?;
        push_field(field.number, &new, out);
    }
    Ok(texts)
}

/// Copies a message, except the length-delimited fields that `push` copies.
fn push_each(
    raw: &[u8],
    out: &mut Vec<u8>,
    mut push: impl FnMut(u32, &[u8], &mut Vec<u8>) -> Result<Option<i64>, Error>,
) -> Result<i64, Error> {
    let mut texts = 0;
    let mut new = Vec::new();
    for field in Fields::within(raw, DEPTH) {
        let field = field?;
        new.clear();
        let pushed = match field.bytes() {
            Ok(inner) => push(field.number, inner, &mut new)?,
            Err(_) => None,
        };
        match pushed {
            Some(more) => {
                texts += more;
                push_field(field.number, &new, out);
            }
            None => out.extend_from_slice(field.raw),
        }
    }
    Ok(texts)
}

/// Pushes the string form of an encoded field of an `AnyValue`, as its `string_value`, at most `max` bytes of it.
fn push_text(field: &[u8], max: usize, out: &mut Vec<u8>) -> Result<(), Error> {
    let mut text = Vec::new();
    if let Some(value) = AnyValue::parse(field)? {
        string_form::write(&value, &mut text);
    }
    let text = String::from_utf8_lossy(&text);
    let text = text
        .get(..text.floor_char_boundary(max))
        .unwrap_or_default();
    push_field(1, text.as_bytes(), out);
    Ok(())
}
