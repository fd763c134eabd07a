//! Spans, their events and links.

use super::{Attributes, Repeated, depth, fits_span_id, fits_trace_id, is_utf8};
use crate::wire::{Error, Fields};

/// One operation inside a trace.
#[derive(Clone, Copy, Debug)]
pub struct Span<'a> {
    /// 16 bytes, if the client keeps the rules.
    pub trace_id: &'a [u8],
    /// 8 bytes, if the client keeps the rules.
    pub span_id: &'a [u8],
    /// The W3C trace state; may be empty.
    pub trace_state: &'a [u8],
    /// Empty for a span without a parent.
    pub parent_span_id: &'a [u8],
    /// What the operation is called; may be empty.
    pub name: &'a [u8],
    /// The number of its `SpanKind`: the low 32 bits of what was sent, as an enum has no more.
    pub kind: u64,
    /// When it began, in nanoseconds since the Unix epoch.
    pub start_time_unix_nano: u64,
    /// When it ended, in nanoseconds since the Unix epoch.
    pub end_time_unix_nano: u64,
    /// The number of its `StatusCode`: the low 32 bits of what was sent.
    pub status_code: u64,
    /// May be empty.
    pub status_message: &'a [u8],
    /// Whether every trace state, name and status message sent is valid UTF-8. Says nothing of attributes, events and links.
    pub utf8: bool,
    /// The first id sent whose length pdata refuses. Says nothing of links.
    pub misfit: Option<IdField>,
    /// Whether no group was sent in it or its status. Says nothing of attributes, events and links.
    pub decodable: bool,
    /// How many links were sent.
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

/// A message inside a [`Span`], encoded.
#[derive(Clone, Copy, Debug)]
pub enum Child<'a> {
    /// A `KeyValue`.
    Attribute(&'a [u8]),
    /// An `Event`.
    Event(&'a [u8]),
    /// A `Link`.
    Link(&'a [u8]),
}

/// Something that happened during a span.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// When, in nanoseconds since the Unix epoch.
    pub time_unix_nano: u64,
    /// What; may be empty.
    pub name: &'a [u8],
    /// Whether every name sent is valid UTF-8.
    pub utf8: bool,
    /// Whether no group was sent in it. Says nothing of attributes.
    pub decodable: bool,
    /// The encoded message.
    pub raw: &'a [u8],
}

/// Another span that a span has to do with.
#[derive(Clone, Copy, Debug)]
pub struct Link<'a> {
    /// The other span's trace; of any length.
    pub trace_id: &'a [u8],
    /// The other span; of any length.
    pub span_id: &'a [u8],
    /// The other span's W3C trace state; may be empty.
    pub trace_state: &'a [u8],
    /// Whether every trace state sent is valid UTF-8.
    pub utf8: bool,
    /// Whether pdata takes the length of every trace id and span id sent.
    pub ids_fit: bool,
    /// Whether no group was sent in it. Says nothing of attributes.
    pub decodable: bool,
    /// The encoded message.
    pub raw: &'a [u8],
}

// === impl Span ===

impl<'a> Span<'a> {
    /// A view of an encoded `Span`.
    ///
    /// # Errors
    /// When the bytes are no such message; attributes, events and links are not looked into.
    #[inline]
    pub fn parse(raw: &'a [u8]) -> Result<Self, Error> {
        Self::read(raw, |_| Ok(()))
    }

    /// Reads an encoded `Span` and hands over each message in it, in the order sent. Errors of `child` are
    /// counted from the start of the bytes it was given; so below.
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
            utf8: true,
            misfit: None,
            decodable: true,
            link_count: 0,
            raw,
        };
        let mut pass =
            |message: Child<'a>| child(message).map_err(|e| e.counted_from(raw, message.bytes()));
        for field in Fields::within(raw, depth::SPAN) {
            let field = field?;
            match field.number {
                9 => pass(Child::Attribute(field.bytes()?))?,
                1 => {
                    span.trace_id = field.bytes()?;
                    span.check_id(fits_trace_id(span.trace_id), IdField::TraceId);
                }
                2 => {
                    span.span_id = field.bytes()?;
                    span.check_id(fits_span_id(span.span_id), IdField::SpanId);
                }
                3 => {
                    span.trace_state = field.bytes()?;
                    span.utf8 &= is_utf8(span.trace_state);
                }
                4 => {
                    span.parent_span_id = field.bytes()?;
                    span.check_id(fits_span_id(span.parent_span_id), IdField::ParentSpanId);
                }
                5 => {
                    span.name = field.bytes()?;
                    span.utf8 &= is_utf8(span.name);
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
                15 => {
                    let status = field.bytes()?;
                    span.merge_status(status)
                        .map_err(|e| e.counted_from(raw, status))?;
                }
                16 => {
                    field.fixed32()?;
                }
                _ => span.decodable &= !field.is_group(),
            }
        }
        Ok(span)
    }

    #[inline]
    fn check_id(&mut self, fits: bool, field: IdField) {
        if !fits {
            self.misfit.get_or_insert(field);
        }
    }

    fn merge_status(&mut self, raw: &'a [u8]) -> Result<(), Error> {
        for field in Fields::within(raw, depth::SPAN_CHILD) {
            let field = field?;
            match field.number {
                2 => {
                    self.status_message = field.bytes()?;
                    self.utf8 &= is_utf8(self.status_message);
                }
                3 => self.status_code = enum_number(field.varint()?),
                _ => self.decodable &= !field.is_group(),
            }
        }
        Ok(())
    }

    /// Its attributes, in the order sent.
    pub fn attributes(&self) -> Attributes<'a> {
        Attributes::of(self.raw, 9)
    }

    /// Its events, in the order sent.
    pub fn events(&self) -> impl Iterator<Item = Result<Event<'a>, Error>> + use<'a> {
        Repeated::new(self.raw, 11).map(|raw| Event::parse(raw?))
    }

    /// Its links, in the order sent.
    pub fn links(&self) -> impl Iterator<Item = Result<Link<'a>, Error>> + use<'a> {
        Repeated::new(self.raw, 13).map(|raw| Link::parse(raw?))
    }
}

/// An enum has 32 bits; prost drops the others, which a negative number has.
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
    /// A view of an encoded `Event`.
    pub fn parse(raw: &'a [u8]) -> Result<Self, Error> {
        Self::read(raw, |_| Ok(()))
    }

    /// Reads an encoded `Event` and hands over each of its attributes.
    pub fn read(
        raw: &'a [u8],
        mut attribute: impl FnMut(&'a [u8]) -> Result<(), Error>,
    ) -> Result<Self, Error> {
        let mut event = Self {
            time_unix_nano: 0,
            name: &[],
            utf8: true,
            decodable: true,
            raw,
        };
        for field in Fields::within(raw, depth::SPAN_CHILD) {
            let field = field?;
            match field.number {
                1 => event.time_unix_nano = field.fixed64()?,
                2 => {
                    event.name = field.bytes()?;
                    event.utf8 &= is_utf8(event.name);
                }
                3 => {
                    let inner = field.bytes()?;
                    attribute(inner).map_err(|e| e.counted_from(raw, inner))?;
                }
                4 => {
                    field.varint()?;
                }
                _ => event.decodable &= !field.is_group(),
            }
        }
        Ok(event)
    }

    /// Its attributes, in the order sent.
    pub fn attributes(&self) -> Attributes<'a> {
        Attributes::of(self.raw, 3)
    }
}

// === impl Link ===

impl<'a> Link<'a> {
    /// A view of an encoded `Link`.
    pub fn parse(raw: &'a [u8]) -> Result<Self, Error> {
        Self::read(raw, |_| Ok(()))
    }

    /// Reads an encoded `Link` and hands over each of its attributes.
    pub fn read(
        raw: &'a [u8],
        mut attribute: impl FnMut(&'a [u8]) -> Result<(), Error>,
    ) -> Result<Self, Error> {
        let mut link = Self {
            trace_id: &[],
            span_id: &[],
            trace_state: &[],
            utf8: true,
            ids_fit: true,
            decodable: true,
            raw,
        };
        for field in Fields::within(raw, depth::SPAN_CHILD) {
            let field = field?;
            match field.number {
                1 => {
                    link.trace_id = field.bytes()?;
                    link.ids_fit &= fits_trace_id(link.trace_id);
                }
                2 => {
                    link.span_id = field.bytes()?;
                    link.ids_fit &= fits_span_id(link.span_id);
                }
                3 => {
                    link.trace_state = field.bytes()?;
                    link.utf8 &= is_utf8(link.trace_state);
                }
                4 => {
                    let inner = field.bytes()?;
                    attribute(inner).map_err(|e| e.counted_from(raw, inner))?;
                }
                5 => {
                    field.varint()?;
                }
                6 => {
                    field.fixed32()?;
                }
                _ => link.decodable &= !field.is_group(),
            }
        }
        Ok(link)
    }

    /// Its attributes, in the order sent.
    pub fn attributes(&self) -> Attributes<'a> {
        Attributes::of(self.raw, 4)
    }
}
