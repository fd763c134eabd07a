//! Views of spans, events and links.

use super::{
    Attributes, EMPTY_SPAN_NAME, Repeated, Validity, depth, is_span_id_len, is_trace_id_len,
    is_utf8,
};
use crate::wire::{Error, Fields};

/// A view of a span.
#[derive(Clone, Copy, Debug)]
pub struct Span<'a> {
    /// 16 bytes if it is valid.
    pub trace_id: &'a [u8],
    /// 8 bytes if it is valid.
    pub span_id: &'a [u8],
    /// The W3C trace state; may be empty.
    pub trace_state: &'a [u8],
    /// Empty for a span without a parent.
    pub parent_span_id: &'a [u8],
    /// The span name; may be empty.
    pub name: &'a [u8],
    /// The number of its `SpanKind`: the low 32 bits of the number sent, because an enum has no more.
    pub kind: u64,
    /// Start time in nanoseconds since the Unix epoch.
    pub start_time_unix_nano: u64,
    /// End time in nanoseconds since the Unix epoch.
    pub end_time_unix_nano: u64,
    /// The number of its `StatusCode`: the low 32 bits of the number sent.
    pub status_code: u64,
    /// The description of the status; may be empty.
    pub status_message: &'a [u8],
    /// Validity of everything except ids, attributes, events and links.
    pub validity: Validity,
    /// The first id sent whose length pdata refuses. Does not cover links.
    pub invalid_id: Option<IdField>,
    /// Number of links.
    pub link_count: usize,
    /// The encoded message.
    pub raw: &'a [u8],
}

/// A field of a [`Span`] that holds an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdField {
    /// `trace_id`.
    TraceId,
    /// `span_id`.
    SpanId,
    /// `parent_span_id`.
    ParentSpanId,
}

/// An encoded message inside a [`Span`].
#[derive(Clone, Copy, Debug)]
pub enum Child<'a> {
    /// A `KeyValue`.
    Attribute(&'a [u8]),
    /// An `Event`.
    Event(&'a [u8]),
    /// A `Link`.
    Link(&'a [u8]),
}

/// A view of a span's event.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// Time in nanoseconds since the Unix epoch.
    pub time_unix_nano: u64,
    /// The event's name; may be empty.
    pub name: &'a [u8],
    /// Validity of everything except attributes.
    pub validity: Validity,
    /// The encoded message.
    pub raw: &'a [u8],
}

/// A view of a span's link to another span.
#[derive(Clone, Copy, Debug)]
pub struct Link<'a> {
    /// The other span's trace id; of any length.
    pub trace_id: &'a [u8],
    /// The other span's id; of any length.
    pub span_id: &'a [u8],
    /// The other span's W3C trace state; may be empty.
    pub trace_state: &'a [u8],
    /// Validity of everything except ids and attributes.
    pub validity: Validity,
    /// True if pdata accepts the length of every trace id and span id sent.
    pub ids_valid: bool,
    /// The encoded message.
    pub raw: &'a [u8],
}

// === impl Span ===

impl<'a> Span<'a> {
    /// Parses an encoded `Span`.
    ///
    /// # Errors
    /// If the bytes are not such a message. Attributes, events and links are not checked.
    #[inline]
    pub fn parse(raw: &'a [u8]) -> Result<Self, Error> {
        Self::read(raw, |_| Ok(()))
    }

    /// Parses an encoded `Span` and passes each attribute, event and link to `child`, in the order sent. The offset of an error of
    /// `child` counts from the start of the bytes it was given. The same holds for [`Event::read`] and [`Link::read`].
    #[inline]
    pub fn read(
        raw: &'a [u8],
        mut child: impl FnMut(Child<'a>) -> Result<(), Error>,
    ) -> Result<Self, Error> {
        let mut span = Self {
            trace_id: &[],
            span_id: &[],
            trace_state: &[],
            parent_span_id: &[],
            name: &[],
            kind: 0,
            start_time_unix_nano: 0,
            end_time_unix_nano: 0,
            status_code: 0,
            status_message: &[],
            validity: Validity::VALID,
            invalid_id: None,
            link_count: 0,
            raw,
        };
        let mut pass =
            |message: Child<'a>| child(message).map_err(|e| e.relative_to(raw, message.bytes()));
        for field in Fields::within(raw, depth::SPAN) {
            let field = field?;
            match field.number {
                9 => pass(Child::Attribute(field.bytes()?))?,
                1 => {
                    span.trace_id = field.bytes()?;
                    span.check_id(is_trace_id_len(span.trace_id), IdField::TraceId);
                }
                2 => {
                    span.span_id = field.bytes()?;
                    span.check_id(is_span_id_len(span.span_id), IdField::SpanId);
                }
                3 => {
                    span.trace_state = field.bytes()?;
                    span.validity.utf8 &= is_utf8(span.trace_state);
                }
                4 => {
                    span.parent_span_id = field.bytes()?;
                    span.check_id(is_span_id_len(span.parent_span_id), IdField::ParentSpanId);
                }
                5 => {
                    span.name = field.bytes()?;
                    span.validity.utf8 &= is_utf8(span.name);
                }
                6 => span.kind = enum_number(field.varint()?),
                7 => span.start_time_unix_nano = field.fixed64()?,
                8 => span.end_time_unix_nano = field.fixed64()?,
                10 | 12 | 14 => {
                    field.varint()?;
                }
                11 => pass(Child::Event(field.bytes()?))?,
                13 => {
                    span.link_count += 1;
                    pass(Child::Link(field.bytes()?))?;
                }
                15 => field.read_message(raw, |status| span.merge_status(status))?,
                16 => {
                    field.fixed32()?;
                }
                _ => span.validity.decodable &= !field.is_group(),
            }
        }
        Ok(span)
    }

    #[inline]
    fn check_id(&mut self, is_valid: bool, field: IdField) {
        if !is_valid {
            self.invalid_id.get_or_insert(field);
        }
    }

    fn merge_status(&mut self, raw: &'a [u8]) -> Result<(), Error> {
        for field in Fields::within(raw, depth::SPAN_CHILD) {
            let field = field?;
            match field.number {
                2 => {
                    self.status_message = field.bytes()?;
                    self.validity.utf8 &= is_utf8(self.status_message);
                }
                3 => self.status_code = enum_number(field.varint()?),
                _ => self.validity.decodable &= !field.is_group(),
            }
        }
        Ok(())
    }

    /// The name by which it is listed and found: [`EMPTY_SPAN_NAME`] if its name is empty.
    pub fn listed_name(&self) -> &'a [u8] {
        match self.name {
            b"" => EMPTY_SPAN_NAME.as_bytes(),
            name => name,
        }
    }

    /// The attributes, in the order sent.
    pub fn attributes(&self) -> Attributes<'a> {
        Attributes::of(self.raw, 9)
    }

    /// The events, in the order sent.
    pub fn events(&self) -> impl Iterator<Item = Result<Event<'a>, Error>> + use<'a> {
        Repeated::new(self.raw, 11).map(|raw| Event::parse(raw?))
    }

    /// The links, in the order sent.
    pub fn links(&self) -> impl Iterator<Item = Result<Link<'a>, Error>> + use<'a> {
        Repeated::new(self.raw, 13).map(|raw| Link::parse(raw?))
    }
}

/// Keeps the 32 bits that an enum has, like prost. A negative number is sent with more.
fn enum_number(sent: u64) -> u64 {
    sent & u64::from(u32::MAX)
}

// === impl Child ===

impl<'a> Child<'a> {
    /// The encoded message.
    pub fn bytes(&self) -> &'a [u8] {
        match self {
            Self::Attribute(raw) | Self::Event(raw) | Self::Link(raw) => raw,
        }
    }
}

// === impl Event ===

impl<'a> Event<'a> {
    /// Parses an encoded `Event`.
    pub fn parse(raw: &'a [u8]) -> Result<Self, Error> {
        Self::read(raw, |_| Ok(()))
    }

    /// Parses an encoded `Event` and passes each encoded attribute to `attribute`.
    pub fn read(
        raw: &'a [u8],
        mut attribute: impl FnMut(&'a [u8]) -> Result<(), Error>,
    ) -> Result<Self, Error> {
        let mut event = Self {
            time_unix_nano: 0,
            name: &[],
            validity: Validity::VALID,
            raw,
        };
        for field in Fields::within(raw, depth::SPAN_CHILD) {
            let field = field?;
            match field.number {
                1 => event.time_unix_nano = field.fixed64()?,
                2 => {
                    event.name = field.bytes()?;
                    event.validity.utf8 &= is_utf8(event.name);
                }
                3 => field.read_message(raw, &mut attribute)?,
                4 => {
                    field.varint()?;
                }
                _ => event.validity.decodable &= !field.is_group(),
            }
        }
        Ok(event)
    }

    /// The attributes, in the order sent.
    pub fn attributes(&self) -> Attributes<'a> {
        Attributes::of(self.raw, 3)
    }
}

// === impl Link ===

impl<'a> Link<'a> {
    /// Parses an encoded `Link`.
    pub fn parse(raw: &'a [u8]) -> Result<Self, Error> {
        Self::read(raw, |_| Ok(()))
    }

    /// Parses an encoded `Link` and passes each encoded attribute to `attribute`.
    pub fn read(
        raw: &'a [u8],
        mut attribute: impl FnMut(&'a [u8]) -> Result<(), Error>,
    ) -> Result<Self, Error> {
        let mut link = Self {
            trace_id: &[],
            span_id: &[],
            trace_state: &[],
            validity: Validity::VALID,
            ids_valid: true,
            raw,
        };
        for field in Fields::within(raw, depth::SPAN_CHILD) {
            let field = field?;
            match field.number {
                1 => {
                    link.trace_id = field.bytes()?;
                    link.ids_valid &= is_trace_id_len(link.trace_id);
                }
                2 => {
                    link.span_id = field.bytes()?;
                    link.ids_valid &= is_span_id_len(link.span_id);
                }
                3 => {
                    link.trace_state = field.bytes()?;
                    link.validity.utf8 &= is_utf8(link.trace_state);
                }
                4 => field.read_message(raw, &mut attribute)?,
                5 => {
                    field.varint()?;
                }
                6 => {
                    field.fixed32()?;
                }
                _ => link.validity.decodable &= !field.is_group(),
            }
        }
        Ok(link)
    }

    /// The attributes, in the order sent.
    pub fn attributes(&self) -> Attributes<'a> {
        Attributes::of(self.raw, 4)
    }
}
