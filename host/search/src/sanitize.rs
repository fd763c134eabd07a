//! Removes ids that Jaeger's client cannot decode from spans that an older release stored. One such id would make a whole answer
//! unreadable. A span that loses an id gets an attribute that says so. Everything else stays the same, byte for byte.

use larder_model::Hex;
use larder_proto::otlp::{Link, Span, depth, is_span_id_len, is_trace_id_len};
use larder_proto::wire::{DEPTH, Error, Fields};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use prost::encoding::{WireType, encode_key, encode_varint};

/// Attribute of a span without its parent's span id. The value is the stored id in hexadecimal.
const DROPPED_PARENT: &str = "larder.dropped.parent_span_id";
/// Attribute of a span without some of its links. The value is their number.
const DROPPED_LINKS: &str = "larder.dropped.links";

/// Spans that Jaeger's client can decode.
#[derive(Debug, Default)]
pub(crate) struct Sanitized {
    /// An encoded `TracesData`.
    pub(crate) bytes: Vec<u8>,
    /// Number of spans without their parent's span id.
    pub(crate) without_parent: u64,
    /// Number of spans without at least one of their links.
    pub(crate) without_link: u64,
}

/// Returns `true` if Jaeger's client can decode the ids of a span and of its links.
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

/// Removes invalid ids from an encoded `TracesData`. With `mark`, adds the attributes to their spans.
pub(crate) fn sanitize(traces: &[u8], mark: bool) -> Result<Sanitized, Error> {
    let mut sanitized = Sanitized::default();
    let mut bytes = Vec::with_capacity(traces.len());
    replace(traces, (1, DEPTH), &mut bytes, &mut |resource, out| {
        let depth = depth::RESOURCE_SPANS;
        replace(resource, (2, depth), out, &mut |scope, out| {
            let depth = depth::SCOPE_SPANS;
            replace(scope, (2, depth), out, &mut |span, out| {
                sanitized.push_span(span, mark, out)
            })
        })
    })?;
    sanitized.bytes = bytes;
    Ok(sanitized)
}

// === impl Sanitized ===

impl Sanitized {
    fn push_span(&mut self, raw: &[u8], mark: bool, out: &mut Vec<u8>) -> Result<(), Error> {
        // The last one counts of an id that was sent more than once.
        let parent = Span::parse(raw)?.parent_span_id;
        let is_parent_valid = is_span_id_len(parent);
        let mut dropped_links = 0;
        for field in Fields::within(raw, depth::SPAN) {
            let field = field?;
            let is_kept = match field.number {
                1 => is_trace_id_len(field.bytes()?),
                2 => is_span_id_len(field.bytes()?),
                4 => is_parent_valid && is_span_id_len(field.bytes()?),
                13 => {
                    let is_valid = Link::parse(field.bytes()?)?.ids_valid;
                    dropped_links += i64::from(!is_valid);
                    is_valid
                }
                _ => true,
            };
            if is_kept {
                out.extend_from_slice(field.raw);
            }
        }
        self.without_parent += u64::from(!is_parent_valid);
        self.without_link += u64::from(dropped_links > 0);
        if mark && !is_parent_valid {
            let id = format!("{:.16}", Hex(parent));
            push_attribute(DROPPED_PARENT, Value::StringValue(id), out);
        }
        if mark && dropped_links > 0 {
            push_attribute(DROPPED_LINKS, Value::IntValue(dropped_links), out);
        }
        Ok(())
    }
}

/// Copies a message and replaces the content of each field of this number by the output of `content`. `depth` is the maximum nesting
/// inside the message.
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

#[cfg(test)]
mod tests;
