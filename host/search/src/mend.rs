//! Spans that an older release stored with ids that Jaeger's client cannot decode. One of them would make all of an answer unreadable,
//! so each is answered without the id, and with an attribute that says so. All else of it stays byte for byte.

use std::fmt::Write as _;

use larder_proto::otlp::{Link, Span, depth, is_span_id_len, is_trace_id_len};
use larder_proto::wire::{DEPTH, Error, Fields};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use prost::encoding::{WireType, encode_key, encode_varint};

/// The attribute of a span that is answered without its parent's span id: the bytes that are stored, in hexadecimal.
const DROPPED_PARENT: &str = "larder.dropped.parent_span_id";
/// The attribute of a span that is answered without some of its links: how many.
const DROPPED_LINKS: &str = "larder.dropped.links";

/// How many bytes of a parent's span id the attribute tells.
const MOST_OF_AN_ID: usize = 16;

/// Stored spans as they can be answered.
#[derive(Debug, Default)]
pub(crate) struct Mended {
    /// An encoded `TracesData`.
    pub(crate) bytes: Vec<u8>,
    /// How many spans are without their parent's span id.
    pub(crate) without_parent: u64,
    /// How many spans are without at least one of their links.
    pub(crate) without_link: u64,
}

/// Whether Jaeger's client takes the ids of a span and of its links.
pub(crate) fn ids_valid(span: &Span<'_>) -> Result<bool, Error> {
    if span.invalid_id.is_some() {
        return Ok(false);
    }
    if span.link_count == 0 {
        return Ok(true);
    }
    for link in span.links() {
        if !link?.ids_valid {
            return Ok(false);
        }
    }
    Ok(true)
}

/// An encoded `TracesData` without the ids that do not fit: their spans are marked if `mark` says so.
pub(crate) fn mend(traces: &[u8], mark: bool) -> Result<Mended, Error> {
    let mut mended = Mended::default();
    let mut bytes = Vec::with_capacity(traces.len());
    replace(traces, (1, DEPTH), &mut bytes, &mut |resource, out| {
        let depth = depth::RESOURCE_SPANS;
        replace(resource, (2, depth), out, &mut |scope, out| {
            let depth = depth::SCOPE_SPANS;
            replace(scope, (2, depth), out, &mut |span, out| {
                mended.push_span(span, mark, out)
            })
        })
    })?;
    mended.bytes = bytes;
    Ok(mended)
}

// === impl Mended ===

impl Mended {
    fn push_span(&mut self, raw: &[u8], mark: bool, out: &mut Vec<u8>) -> Result<(), Error> {
        // Of an id that was sent more than once the last one counts.
        let parent = Span::parse(raw)?.parent_span_id;
        let has_parent = is_span_id_len(parent);
        let mut dropped_links = 0;
        for field in Fields::within(raw, depth::SPAN) {
            let field = field?;
            let stays = match field.number {
                1 => is_trace_id_len(field.bytes()?),
                2 => is_span_id_len(field.bytes()?),
                4 => has_parent && is_span_id_len(field.bytes()?),
                13 => {
                    let fits = Link::parse(field.bytes()?)?.ids_valid;
                    dropped_links += i64::from(!fits);
                    fits
                }
                _ => true,
            };
            if stays {
                out.extend_from_slice(field.raw);
            }
        }
        self.without_parent += u64::from(!has_parent);
        self.without_link += u64::from(dropped_links > 0);
        if mark && !has_parent {
            push_attribute(DROPPED_PARENT, Value::StringValue(hex(parent)), out);
        }
        if mark && dropped_links > 0 {
            push_attribute(DROPPED_LINKS, Value::IntValue(dropped_links), out);
        }
        Ok(())
    }
}

/// Copies a message, with the content of each field of this number as `content` makes it. `depth` is how deep messages may be nested
/// inside of it.
fn replace(
    message: &[u8],
    (number, depth): (u32, u32),
    out: &mut Vec<u8>,
    content: &mut impl FnMut(&[u8], &mut Vec<u8>) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut new = Vec::new();
    for field in Fields::within(message, depth) {
        let field = field?;
        if field.number != number {
            out.extend_from_slice(field.raw);
            continue;
        }
        let old = field.bytes()?;
        new.clear();
        content(old, &mut new)?;
        if new == old {
            out.extend_from_slice(field.raw);
        } else {
            push_field(number, &new, out);
        }
    }
    Ok(())
}

fn push_field(number: u32, content: &[u8], out: &mut Vec<u8>) {
    encode_key(number, WireType::LengthDelimited, out);
    encode_varint(content.len() as u64, out);
    out.extend_from_slice(content);
}

/// Appends an attribute to an encoded `Span`.
fn push_attribute(key: &str, value: Value, out: &mut Vec<u8>) {
    let attribute = KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    };
    prost::encoding::message::encode(9, &attribute, out);
}

/// The first bytes of an id.
fn hex(id: &[u8]) -> String {
    let mut text = String::new();
    for byte in id.iter().take(MOST_OF_AN_ID) {
        // A string takes all that is written, so there is no error to handle.
        write!(text, "{byte:02x}").unwrap_or_default();
    }
    if id.len() > MOST_OF_AN_ID {
        write!(text, "... ({} bytes)", id.len()).unwrap_or_default();
    }
    text
}

#[cfg(test)]
mod tests;
