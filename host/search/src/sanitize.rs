//! Makes stored spans such that Jaeger's client can decode them. One that it cannot would make a whole answer unreadable. Ids of a wrong
//! length, which an older release stored, are removed; what is nested too deep in a value becomes text. What loses something gets an
//! attribute that says so, and so does the first span of a trace of which only the beginning is kept. Everything else stays the same, byte
//! for byte.

mod nesting;

use larder_model::Hex;
use larder_proto::otlp::{Link, Span, TracesData, depth, is_span_id_len, is_trace_id_len, pdata};
use larder_proto::wire::{DEPTH, Error, Fields};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use prost::encoding::{WireType, encode_key, encode_varint};

/// Attribute of a span without its parent's span id. The value is the stored id in hexadecimal.
const DROPPED_PARENT: &str = "larder.dropped.parent_span_id";
/// Attribute of a span without some of its links. The value is their number.
const DROPPED_LINKS: &str = "larder.dropped.links";
/// Attribute of the first span of a trace of which only the beginning is kept. The value is the number of spans that were dropped.
const DROPPED_SPANS: &str = "larder.dropped.spans";

/// Attribute of a span, a resource or a scope with values whose innermost parts are text. The value is the number of these texts.
const FLATTENED: &str = "larder.flattened.values";

/// The attributes of a message: its own, and those of its children.
struct AttributeFields {
    /// Number of the field with its attributes.
    own: u32,
    /// Numbers of fields with messages, and of the fields with attributes in these.
    of_children: &'static [(u32, u32)],
}

const SPAN: AttributeFields = AttributeFields {
    own: 9,
    of_children: &[(11, 3), (13, 4)],
};
const RESOURCE: AttributeFields = AttributeFields {
    own: 1,
    of_children: &[],
};
const SCOPE: AttributeFields = AttributeFields {
    own: 3,
    of_children: &[],
};

/// Spans that Jaeger's client can decode.
#[derive(Debug, Default)]
pub(crate) struct Sanitized {
    /// An encoded `TracesData`.
    pub(crate) bytes: Vec<u8>,
    /// Number of spans without their parent's span id.
    pub(crate) without_parent: u64,
    /// Number of spans without at least one of their links.
    pub(crate) without_link: u64,
    /// Number of spans, resources and scopes with values whose innermost parts are text.
    pub(crate) flattened: u64,
    /// The number of dropped spans that the next span is marked with.
    dropped_spans: u64,
}

/// Returns `true` if Jaeger's client can decode the resources and scopes of an encoded `TracesData`, and no resource has spans in a field
/// that does not count.
pub(crate) fn are_headers_sound(traces: &[u8]) -> Result<bool, Error> {
    for resource_spans in TracesData::new(traces).resource_spans() {
        let resource_spans = resource_spans?;
        let is_sound = !resource_spans.has_old_scope_spans
            && all_decode(resource_spans.raw_resource(), &RESOURCE)?;
        if !is_sound {
            return Ok(false);
        }
        for scope_spans in resource_spans.scope_spans() {
            if !all_decode(scope_spans?.raw_scope(), &SCOPE)? {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// Returns `true` if Jaeger's client can decode a span.
pub(crate) fn is_span_sound(span: &Span<'_>) -> Result<bool, Error> {
    Ok(ids_valid(span)? && all_decode([Ok(span.raw)], &SPAN)?)
}

/// Returns `true` if Jaeger's client can decode the ids of a span and of its links.
fn ids_valid(span: &Span<'_>) -> Result<bool, Error> {
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

/// Returns `true` if Jaeger's client can decode all attributes of these encoded messages.
fn all_decode<'a>(
    messages: impl IntoIterator<Item = Result<&'a [u8], Error>>,
    fields: &AttributeFields,
) -> Result<bool, Error> {
    for message in messages {
        let message = message?;
        if message.len() < nesting::MIN_LEN {
            continue;
        }
        for field in Fields::new(message) {
            let field = field?;
            let child = fields
                .of_children
                .iter()
                .find(|(at, _)| *at == field.number);
            let decodes = if field.number == fields.own {
                nesting::decodes(field.bytes()?)
            } else if let Some((_, own)) = child {
                let of_children = &[];
                let own = *own;
                let fields = AttributeFields { own, of_children };
                all_decode([field.bytes()], &fields)?
            } else {
                true
            };
            if !decodes {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// Removes or replaces what Jaeger's client cannot decode in an encoded `TracesData`. With `mark`, adds the attributes; the first span
/// gets that of `dropped_spans` if these are not 0.
pub(crate) fn sanitize(traces: &[u8], mark: bool, dropped_spans: u64) -> Result<Sanitized, Error> {
    let mut sanitized = Sanitized {
        dropped_spans,
        ..Sanitized::default()
    };
    let mut bytes = Vec::with_capacity(traces.len());
    replace(traces, DEPTH, &mut bytes, &mut |number, raw, out| {
        (number == 1)
            .then(|| sanitized.push_resource_spans(raw?, mark, out))
            .transpose()
    })?;
    sanitized.bytes = bytes;
    Ok(sanitized)
}

/// Removes or replaces what Jaeger's client cannot decode in an encoded `TracesData`, with the attributes that say so, unless these alone
/// would make it larger than `limit`.
#[cold]
pub(crate) fn within(traces: &[u8], limit: usize, dropped_spans: u64) -> Result<Sanitized, Error> {
    let marked = sanitize(traces, true, dropped_spans)?;
    if marked.bytes.len() > limit && traces.len() <= limit {
        // Without attributes it is never longer than what is stored.
        return sanitize(traces, false, dropped_spans);
    }
    Ok(marked)
}

// === impl Sanitized ===

impl Sanitized {
    fn push_resource_spans(
        &mut self,
        raw: &[u8],
        mark: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let mut kept = Vec::with_capacity(raw.len());
        for field in Fields::within(raw, depth::RESOURCE_SPANS) {
            let field = field?;
            if field.number != pdata::OLD_SCOPE_SPANS {
                kept.extend_from_slice(field.raw);
            }
        }
        let depth = depth::RESOURCE_SPANS;
        replace(&kept, depth, out, &mut |number, raw, out| match number {
            1 => self.push_header(raw?, (&RESOURCE, mark), out).map(Some),
            2 => self.push_scope_spans(raw?, mark, out).map(Some),
            _ => Ok(None),
        })
    }

    fn push_scope_spans(&mut self, raw: &[u8], mark: bool, out: &mut Vec<u8>) -> Result<(), Error> {
        replace(
            raw,
            depth::SCOPE_SPANS,
            out,
            &mut |number, raw, out| match number {
                1 => self.push_header(raw?, (&SCOPE, mark), out).map(Some),
                2 => self.push_span(raw?, mark, out).map(Some),
                _ => Ok(None),
            },
        )
    }

    /// Pushes an encoded `Resource` or `InstrumentationScope`.
    fn push_header(
        &mut self,
        raw: &[u8],
        (fields, mark): (&AttributeFields, bool),
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let texts = flatten(raw, fields, out)?;
        self.flattened += u64::from(texts > 0);
        if mark && texts > 0 {
            push_attribute(fields.own, FLATTENED, Value::IntValue(texts), out);
        }
        Ok(())
    }

    fn push_span(&mut self, raw: &[u8], mark: bool, out: &mut Vec<u8>) -> Result<(), Error> {
        // The last one counts of an id that was sent more than once.
        let parent = Span::parse(raw)?.parent_span_id;
        let is_parent_valid = is_span_id_len(parent);
        let mut dropped_links = 0;
        let mut kept = Vec::with_capacity(raw.len());
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
                kept.extend_from_slice(field.raw);
            }
        }
        let texts = flatten(&kept, &SPAN, out)?;
        self.without_parent += u64::from(!is_parent_valid);
        self.without_link += u64::from(dropped_links > 0);
        self.flattened += u64::from(texts > 0);
        if mark && !is_parent_valid {
            let id = format!("{:.16}", Hex(parent));
            push_attribute(SPAN.own, DROPPED_PARENT, Value::StringValue(id), out);
        }
        if mark && dropped_links > 0 {
            push_attribute(SPAN.own, DROPPED_LINKS, Value::IntValue(dropped_links), out);
        }
        if mark && texts > 0 {
            push_attribute(SPAN.own, FLATTENED, Value::IntValue(texts), out);
        }
        let dropped = std::mem::take(&mut self.dropped_spans);
        if mark && dropped > 0 {
            let dropped = i64::try_from(dropped).unwrap_or(i64::MAX);
            push_attribute(SPAN.own, DROPPED_SPANS, Value::IntValue(dropped), out);
        }
        Ok(())
    }
}

/// Copies a message with attributes, and replaces by text what is nested too deep in these. Returns the number of texts.
fn flatten(raw: &[u8], fields: &AttributeFields, out: &mut Vec<u8>) -> Result<i64, Error> {
    let mut texts = 0;
    replace(raw, DEPTH, out, &mut |number, raw, out| {
        if number == fields.own {
            texts += nesting::push_attribute(raw?, out)?;
        } else if let Some((_, own)) = fields.of_children.iter().find(|(at, _)| *at == number) {
            let of_children = &[];
            let own = *own;
            texts += flatten(raw?, &AttributeFields { own, of_children }, out)?;
        } else {
            return Ok(None);
        }
        Ok(Some(()))
    })?;
    Ok(texts)
}

/// Copies a message. `content` gets the number of each field, its content if that is length-delimited, and a buffer for its new content;
/// it returns `None` if the field stays. `depth` is the maximum nesting inside the message.
fn replace<'a>(
    message: &'a [u8],
    depth: u32,
    out: &mut Vec<u8>,
    content: &mut impl FnMut(u32, Result<&'a [u8], Error>, &mut Vec<u8>) -> Result<Option<()>, Error>,
) -> Result<(), Error> {
    let mut new = Vec::new();
    for field in Fields::within(message, depth) {
        let field = field?;
        new.clear();
        match content(field.number, field.bytes(), &mut new)? {
            Some(()) if field.bytes().is_ok_and(|old| old != new) => {
                push_field(field.number, &new, out);
            }
            _ => out.extend_from_slice(field.raw),
        }
    }
    Ok(())
}

/// Appends a length-delimited field to an encoded message.
pub(crate) fn push_field(number: u32, content: &[u8], out: &mut Vec<u8>) {
    encode_key(number, WireType::LengthDelimited, out);
    encode_varint(content.len() as u64, out);
    out.extend_from_slice(content);
}

/// Appends an attribute as field `number` of an encoded message.
pub(crate) fn push_attribute(number: u32, key: &str, value: Value, out: &mut Vec<u8>) {
    let attribute = KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    };
    prost::encoding::message::encode(number, &attribute, out);
}

#[cfg(test)]
mod tests;
