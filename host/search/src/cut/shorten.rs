//! Cuts values of resources, scopes and spans to a length, and marks each.

use larder_proto::wire::{DEPTH, Error, Field, Fields};
use opentelemetry_proto::tonic::common::v1::any_value::Value;

use super::super::sanitize::{push_attribute, push_field};
use super::level::{FLOOR, MARK};

/// Prefix of the attribute beside one whose value is cut. The rest is the start of its key, and the value its length: of the text or the
/// bytes, or of the encoded array or map.
const TRUNCATED: &str = "larder.truncated.";
/// Prefix of the attribute beside one whose key is cut. The rest is the start of the key, and the value its length in bytes.
const TRUNCATED_KEY: &str = "larder.truncated_key.";
/// Prefix of the attribute of a message with another field that is cut. The rest is the field's name, or its number if it is no field of
/// OTLP, and the value its length in bytes.
const TRUNCATED_FIELD: &str = "larder.truncated_field.";

/// The most bytes of a key that its mark repeats.
const MARKED_KEY: usize = 64;
/// The most bytes of the key and the length of a field with a number below 16 and less than 256 MiB.
const FIELD: usize = 5;
/// An array or a map whose next entry gets less than this many bytes ends before it.
const MIN_ENTRY: usize = 64;

/// A message with attributes or in one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Resource,
    Scope,
    Span,
    Event,
    Link,
    Status,
}

/// A field of such a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Attribute,
    /// A text, with the field's name.
    Text(&'static str),
    /// A message inside.
    Child(Kind),
    /// An id, a number or a time, of which the last one counts.
    Scalar,
    /// References of a resource to entities, and fields that are not OTLP's.
    Other,
}

/// Cuts values, or measures them.
#[derive(Debug)]
pub(super) struct Shortener {
    /// Values that are longer by more than a mark are cut to this many bytes.
    level: usize,
    /// Number of cut values.
    pub(super) values: usize,
    /// The lengths of all values that are not too short to be cut.
    pub(super) lengths: Vec<usize>,
}

// === impl Kind ===

impl Kind {
    /// The role of a field.
    pub(super) fn role(self, number: u32) -> Role {
        match (self, number) {
            (Self::Resource, 1)
            | (Self::Scope | Self::Event, 3)
            | (Self::Span, 9)
            | (Self::Link, 4) => Role::Attribute,
            (Self::Scope, 1) | (Self::Span, 5) | (Self::Event, 2) => Role::Text("name"),
            (Self::Scope, 2) => Role::Text("version"),
            (Self::Span | Self::Link, 3) => Role::Text("trace_state"),
            (Self::Status, 2) => Role::Text("status.message"),
            (Self::Span, 11) => Role::Child(Self::Event),
            (Self::Span, 13) => Role::Child(Self::Link),
            (Self::Span, 15) => Role::Child(Self::Status),
            (Self::Resource, 2)
            | (Self::Scope, 4)
            | (Self::Span, 1 | 2 | 4 | 6 | 7 | 8 | 10 | 12 | 14 | 16)
            | (Self::Event, 1 | 4)
            | (Self::Link, 1 | 2 | 5 | 6)
            | (Self::Status, 3) => Role::Scalar,
            _ => Role::Other,
        }
    }

    /// Number of the field with attributes. A status is marked in its span.
    pub(super) fn attributes(self) -> u32 {
        match self {
            Self::Resource => 1,
            Self::Scope | Self::Event => 3,
            Self::Span | Self::Status => 9,
            Self::Link => 4,
        }
    }
}

// === impl Shortener ===

impl Shortener {
    /// Cuts values to `level` bytes.
    pub(super) fn new(level: usize) -> Self {
        Self {
            level,
            values: 0,
            lengths: Vec::new(),
        }
    }

    /// Cuts nothing.
    pub(super) fn measuring() -> Self {
        Self::new(usize::MAX)
    }

    fn is_long(&mut self, len: usize) -> bool {
        if len > FLOOR {
            self.lengths.push(len);
        }
        let is_long = len > self.level.saturating_add(MARK);
        self.values += usize::from(is_long);
        is_long
    }

    /// Copies the fields around the `ScopeSpans` of a resource, or around the spans of a scope.
    pub(super) fn header(&mut self, kind: Kind, raw: &[u8]) -> Result<Vec<u8>, Error> {
        let (mut parent, mut rest, mut marks) = (None, Vec::new(), Vec::new());
        for field in Fields::within(raw, DEPTH) {
            let field = field?;
            match field.number {
                // The contents of a message that was sent in parts, joined, are the message.
                1 => parent
                    .get_or_insert_with(Vec::new)
                    .extend_from_slice(field.bytes()?),
                3 => self.text("schema_url", kind, &field, (&mut rest, &mut marks))?,
                _ => self.other(kind, &field, (&mut rest, &mut marks)),
            }
        }
        let mut header = Vec::with_capacity(raw.len().min(1 << 20));
        if parent.is_some() || !marks.is_empty() {
            let mut parent = self.message(kind, &parent.unwrap_or_default())?;
            parent.append(&mut marks);
            push_field(1, &parent, &mut header);
        }
        header.append(&mut rest);
        Ok(header)
    }

    /// Copies a message with its marks.
    pub(super) fn message(&mut self, kind: Kind, raw: &[u8]) -> Result<Vec<u8>, Error> {
        let (mut message, mut marks) = (Vec::new(), Vec::new());
        self.fields(kind, raw, (&mut message, &mut marks))?;
        message.append(&mut marks);
        Ok(message)
    }

    fn fields(
        &mut self,
        kind: Kind,
        raw: &[u8],
        (out, marks): (&mut Vec<u8>, &mut Vec<u8>),
    ) -> Result<(), Error> {
        for field in Fields::within(raw, DEPTH) {
            let field = field?;
            match kind.role(field.number) {
                Role::Attribute => self.attribute(kind, &field, out)?,
                Role::Text(name) => self.text(name, kind, &field, (&mut *out, &mut *marks))?,
                Role::Child(Kind::Status) => {
                    let mut status = Vec::new();
                    self.fields(Kind::Status, field.bytes()?, (&mut status, &mut *marks))?;
                    push_field(field.number, &status, out);
                }
                Role::Child(child) => {
                    let child = self.message(child, field.bytes()?)?;
                    push_field(field.number, &child, out);
                }
                Role::Scalar | Role::Other => {
                    self.other(kind, &field, (&mut *out, &mut *marks));
                }
            }
        }
        Ok(())
    }

    fn text(
        &mut self,
        name: &str,
        kind: Kind,
        field: &Field<'_>,
        (out, marks): (&mut Vec<u8>, &mut Vec<u8>),
    ) -> Result<(), Error> {
        let text = field.bytes()?;
        if self.is_long(text.len()) {
            push_field(field.number, start(text, self.level), out);
            push_mark(kind, TRUNCATED_FIELD, name, text.len(), marks);
        } else {
            out.extend_from_slice(field.raw);
        }
        Ok(())
    }

    /// A field that cannot be cut is left out if it is long.
    fn other(&mut self, kind: Kind, field: &Field<'_>, (out, marks): (&mut Vec<u8>, &mut Vec<u8>)) {
        if self.is_long(field.raw.len()) {
            let name = match (kind, field.number) {
                (Kind::Resource, 3) => "entity_refs".to_owned(),
                (_, number) => number.to_string(),
            };
            push_mark(kind, TRUNCATED_FIELD, &name, field.raw.len(), marks);
        } else {
            out.extend_from_slice(field.raw);
        }
    }

    fn attribute(&mut self, kind: Kind, field: &Field<'_>, out: &mut Vec<u8>) -> Result<(), Error> {
        let attribute = field.bytes()?;
        if attribute.len() <= FLOOR {
            out.extend_from_slice(field.raw);
            return Ok(());
        }
        let (mut new, mut marks, mut key) = (Vec::new(), Vec::new(), &[][..]);
        // The key may follow the value, and the last one counts.
        for field in Fields::within(attribute, DEPTH) {
            let field = field?;
            if field.number == 1 {
                key = field.bytes()?;
            }
        }
        let name = String::from_utf8_lossy(start(key, MARKED_KEY));
        for field in Fields::within(attribute, DEPTH) {
            let field = field?;
            let content = match field.number {
                1 | 2 => field.bytes()?,
                _ => field.raw,
            };
            if !self.is_long(content.len()) {
                new.extend_from_slice(field.raw);
                continue;
            }
            match field.number {
                1 => {
                    push_field(1, start(content, self.level), &mut new);
                    push_mark(kind, TRUNCATED_KEY, &name, content.len(), &mut marks);
                }
                2 => {
                    let (value, len) = shorten_value(content, self.level)?;
                    push_field(2, &value, &mut new);
                    push_mark(kind, TRUNCATED, &name, len, &mut marks);
                }
                _ => {}
            }
        }
        push_field(field.number, &new, out);
        out.append(&mut marks);
        Ok(())
    }
}

/// The start of a text, at most `max` bytes of whole characters.
fn start(text: &[u8], max: usize) -> &[u8] {
    let mut end = max.min(text.len());
    // Bytes of this kind continue a character.
    while end > 0 && text.get(end).is_some_and(|byte| byte & 0xc0 == 0x80) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

/// Adds an attribute of `kind` that says how long a cut value was.
fn push_mark(kind: Kind, prefix: &str, name: &str, len: usize, out: &mut Vec<u8>) {
    let len = i64::try_from(len).unwrap_or(i64::MAX);
    let key = format!("{prefix}{name}");
    push_attribute(kind.attributes(), &key, Value::IntValue(len), out);
}

/// The start of an encoded `AnyValue`, at most `max` bytes, and the length of what it is the start of. An array or a map keeps its first
/// entries.
fn shorten_value(raw: &[u8], max: usize) -> Result<(Vec<u8>, usize), Error> {
    // The last field of a oneof counts.
    let mut last = None;
    for field in Fields::within(raw, DEPTH) {
        last = Some(field?);
    }
    let mut value = Vec::new();
    let Some(field) = last else {
        return Ok((value, 0));
    };
    let Ok(content) = field.bytes() else {
        return Ok((field.raw.to_vec(), field.raw.len()));
    };
    let room = max.saturating_sub(FIELD);
    match field.number {
        1 => push_field(1, start(content, room), &mut value),
        5 | 6 => {
            let entries = shorten_entries(content, field.number == 6, room)?;
            push_field(field.number, &entries, &mut value);
        }
        number => push_field(number, content.get(..room).unwrap_or(content), &mut value),
    }
    Ok((value, content.len()))
}

/// The first entries of an encoded `ArrayValue`, or of a `KeyValueList` if `is_map`, at most `max` bytes.
fn shorten_entries(raw: &[u8], is_map: bool, max: usize) -> Result<Vec<u8>, Error> {
    let mut entries = Vec::new();
    for field in Fields::within(raw, DEPTH) {
        let field = field?;
        let room = max.saturating_sub(entries.len());
        if field.raw.len() <= room {
            entries.extend_from_slice(field.raw);
            continue;
        }
        let Ok(entry) = field.bytes() else {
            break;
        };
        if room >= MIN_ENTRY {
            let room = room - FIELD;
            let entry = if is_map {
                shorten_entry(entry, room)?
            } else {
                shorten_value(entry, room)?.0
            };
            push_field(field.number, &entry, &mut entries);
        }
        break;
    }
    Ok(entries)
}

/// The start of the key and of the value of an encoded `KeyValue`, at most `max` bytes.
fn shorten_entry(raw: &[u8], max: usize) -> Result<Vec<u8>, Error> {
    let (mut key, mut value) = (&[][..], None);
    for field in Fields::within(raw, DEPTH) {
        let field = field?;
        match field.number {
            1 => key = field.bytes()?,
            2 => value = Some(field.bytes()?),
            _ => {}
        }
    }
    let mut entry = Vec::new();
    push_field(1, start(key, max / 2 - FIELD), &mut entry);
    if let Some(value) = value {
        let room = max.saturating_sub(entry.len() + FIELD);
        let value = if value.len() <= room {
            value.to_vec()
        } else {
            shorten_value(value, room)?.0
        };
        push_field(2, &value, &mut entry);
    }
    Ok(entry)
}
