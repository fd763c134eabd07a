//! Keeps of a message with too many values as many as fit. No value in it is long.

use std::collections::BTreeMap;

use larder_proto::otlp::KeyValue;
use larder_proto::wire::{DEPTH, Error, Fields};
use opentelemetry_proto::tonic::common::v1::any_value::Value;

use super::super::sanitize::{push_attribute, push_field};
use super::shorten::{Kind, Role};

/// Prefix of the attribute of a message of which attributes, events, links or other fields are left out. The value is their number.
const OMITTED: &str = "larder.omitted.";

/// Bytes for these attributes.
const MARKS: usize = 4 * 48;
/// An event or a link is cut to no less than about this many bytes: its fields that are not repeated, with their marks.
const MIN_CHILD: usize = 1024;

/// The numbers of what is left out of a message.
#[derive(Clone, Copy, Debug, Default)]
struct Omitted {
    attributes: usize,
    events: usize,
    links: usize,
    fields: usize,
}

/// Keeps a message's ids, numbers and texts, and as many attributes, events and links as fit `max` bytes. Adds the number of all others to
/// `omitted`.
pub(super) fn keep(
    kind: Kind,
    raw: &[u8],
    max: usize,
    omitted: &mut usize,
) -> Result<Vec<u8>, Error> {
    if raw.len() <= max {
        return Ok(raw.to_vec());
    }
    let mut left_out = Omitted::default();
    let mut kept = singular(kind, raw, &mut left_out)?;
    let max = max.saturating_sub(MARKS);
    keep_attributes(kind, raw, max, &mut kept, &mut left_out)?;
    for field in Fields::within(raw, DEPTH) {
        let field = field?;
        let (child, left_out) = match kind.role(field.number) {
            Role::Child(Kind::Event) => (Kind::Event, &mut left_out.events),
            Role::Child(Kind::Link) => (Kind::Link, &mut left_out.links),
            _ => continue,
        };
        let room = max.saturating_sub(kept.len());
        if field.raw.len() <= room {
            kept.extend_from_slice(field.raw);
        } else if room > 2 * MIN_CHILD {
            let child = keep(child, field.bytes()?, room / 2, omitted)?;
            push_field(field.number, &child, &mut kept);
        } else {
            *left_out += 1;
        }
    }
    *omitted += left_out.push_marks(kind, &mut kept);
    Ok(kept)
}

/// Keeps the fields around the `ScopeSpans` of a resource, or around the spans of a scope, as [`keep`] does.
pub(super) fn keep_header(
    kind: Kind,
    raw: &[u8],
    max: usize,
    omitted: &mut usize,
) -> Result<Vec<u8>, Error> {
    if raw.len() <= max {
        return Ok(raw.to_vec());
    }
    let (mut parent, mut schema_url, mut fields) = (&[][..], &[][..], 0);
    for field in Fields::within(raw, DEPTH) {
        let field = field?;
        match field.number {
            1 => parent = field.bytes()?,
            3 => schema_url = field.raw,
            _ => fields += 1,
        }
    }
    let max = max.saturating_sub(schema_url.len() + MARKS);
    let mut parent = keep(kind, parent, max, omitted)?;
    let left_out = Omitted {
        fields,
        ..Omitted::default()
    };
    *omitted += left_out.push_marks(kind, &mut parent);
    let mut header = Vec::new();
    push_field(1, &parent, &mut header);
    header.extend_from_slice(schema_url);
    Ok(header)
}

/// The last one of each field that is not repeated.
fn singular(kind: Kind, raw: &[u8], omitted: &mut Omitted) -> Result<Vec<u8>, Error> {
    let mut last = BTreeMap::new();
    for field in Fields::within(raw, DEPTH) {
        let field = field?;
        match kind.role(field.number) {
            Role::Text(_) | Role::Scalar => {
                last.insert(field.number, field.raw.to_vec());
            }
            Role::Child(Kind::Status) => {
                let status = keep(Kind::Status, field.bytes()?, 0, &mut omitted.fields)?;
                let mut new = Vec::new();
                push_field(field.number, &status, &mut new);
                last.insert(field.number, new);
            }
            Role::Attribute | Role::Child(_) => {}
            Role::Other => omitted.fields += 1,
        }
    }
    Ok(last.into_values().collect::<Vec<_>>().concat())
}

/// Appends as many attributes as fit, in their order, but a resource's service before all others.
fn keep_attributes(
    kind: Kind,
    raw: &[u8],
    max: usize,
    kept: &mut Vec<u8>,
    omitted: &mut Omitted,
) -> Result<(), Error> {
    let mut service = &[][..];
    for field in Fields::within(raw, DEPTH) {
        let field = field?;
        if kind == Kind::Resource
            && service.is_empty()
            && kind.role(field.number) == Role::Attribute
            && KeyValue::parse(field.bytes()?)?.key == b"service.name"
        {
            service = field.raw;
        }
    }
    kept.extend_from_slice(service);
    for field in Fields::within(raw, DEPTH) {
        let field = field?;
        if kind.role(field.number) != Role::Attribute || std::ptr::eq(field.raw, service) {
            continue;
        }
        if kept.len() + field.raw.len() <= max {
            kept.extend_from_slice(field.raw);
        } else {
            omitted.attributes += 1;
        }
    }
    Ok(())
}

// === impl Omitted ===

impl Omitted {
    /// Marks a message. Returns the number of all that is left out of it.
    fn push_marks(self, kind: Kind, out: &mut Vec<u8>) -> usize {
        let mut all = 0;
        for (name, count) in [
            ("attributes", self.attributes),
            ("events", self.events),
            ("links", self.links),
            ("fields", self.fields),
        ] {
            // A status has no attributes.
            if count > 0 && kind != Kind::Status {
                let key = format!("{OMITTED}{name}");
                let value = Value::IntValue(i64::try_from(count).unwrap_or(i64::MAX));
                push_attribute(kind.attributes(), &key, value, out);
            }
            all += count;
        }
        all
    }
}
