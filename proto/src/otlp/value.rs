//! Attributes and their values.

use std::borrow::Cow;

use super::{Flags, Repeated, is_utf8};
use crate::wire::{DEPTH, Error, Field, Fields};

/// A named value.
#[derive(Clone, Debug, PartialEq)]
pub struct KeyValue<'a> {
    /// The name; may be empty.
    pub key: &'a [u8],
    /// None where no value was sent, or none that traces have.
    pub value: Option<AnyValue<'a>>,
    /// Whether every string sent in it is valid UTF-8, at all depths.
    pub utf8: bool,
    /// Whether no group was sent in it, at any depth.
    pub decodable: bool,
}

/// A value of any kind. Jaeger's `AnyValue` is the same on the wire.
#[derive(Clone, Debug, PartialEq)]
pub enum AnyValue<'a> {
    /// Text.
    String(&'a [u8]),
    /// A truth value.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A floating-point number.
    Double(f64),
    /// An encoded `ArrayValue`; see [`values`].
    Array(Cow<'a, [u8]>),
    /// An encoded `KeyValueList`; see [`entries`].
    KvList(Cow<'a, [u8]>),
    /// Bytes.
    Bytes(&'a [u8]),
}

/// The values of an encoded `ArrayValue`, in the order sent.
pub fn values(array: &[u8]) -> impl Iterator<Item = Result<Option<AnyValue<'_>>, Error>> {
    Repeated::new(array, 1).map(|raw| {
        let mut value = None;
        merge_value(&mut value, raw?, Looking::Here)?;
        Ok(value)
    })
}

/// The entries of an encoded `KeyValueList`, in the order sent.
pub fn entries(list: &[u8]) -> impl Iterator<Item = Result<KeyValue<'_>, Error>> {
    Repeated::new(list, 1).map(|raw| read_key_value(raw?, Looking::Here))
}

// === impl KeyValue ===

impl<'a> KeyValue<'a> {
    /// A view of an encoded `KeyValue`, which is read to its last depth.
    ///
    /// # Errors
    /// When the bytes are no such message.
    #[inline]
    pub fn parse(raw: &'a [u8]) -> Result<Self, Error> {
        Self::parse_within(raw, DEPTH)
    }

    /// The same for one inside of which no more than `depth` levels may be nested.
    #[inline]
    pub fn parse_within(raw: &'a [u8], depth: u32) -> Result<Self, Error> {
        read_key_value(raw, Looking::Inside { depth })
    }
}

// === impl AnyValue ===

impl<'a> AnyValue<'a> {
    /// A view of an encoded `AnyValue`, which is read to its last depth; `None` where it holds no value.
    ///
    /// # Errors
    /// When the bytes are no such message.
    pub fn parse(raw: &'a [u8]) -> Result<Option<Self>, Error> {
        let mut value = None;
        merge_value(&mut value, raw, Looking::Inside { depth: DEPTH })?;
        Ok(value)
    }
}

// === reading ===

/// Whether arrays and lists are looked into.
#[derive(Clone, Copy)]
enum Looking {
    /// No: they were before.
    Here,
    /// Yes, `depth` levels further.
    Inside { depth: u32 },
}

impl Looking {
    #[inline]
    fn depth(self) -> u32 {
        match self {
            Self::Here => DEPTH,
            Self::Inside { depth } => depth,
        }
    }
}

#[inline]
fn read_key_value(raw: &[u8], looking: Looking) -> Result<KeyValue<'_>, Error> {
    let mut read = KeyValue {
        key: &[],
        value: None,
        utf8: true,
        decodable: true,
    };
    let mut flags = Flags::GOOD;
    let mut fields = Fields::within(raw, looking.depth());
    while let Some(field) = fields.next() {
        let field = field?;
        match field.number {
            1 => {
                read.key = field.bytes()?;
                flags.utf8 &= is_utf8(read.key);
            }
            2 => {
                let value = field.bytes()?;
                let depth = fields.inner_depth(&field)?;
                let looking = match looking {
                    Looking::Here => Looking::Here,
                    Looking::Inside { .. } => Looking::Inside { depth },
                };
                flags &= merge_value(&mut read.value, value, looking)
                    .map_err(|e| e.counted_from(raw, value))?;
            }
            3 => {
                field.varint()?;
            }
            _ => flags &= unknown(&fields, &field)?,
        }
    }
    read.utf8 = flags.utf8;
    read.decodable = flags.decodable;
    Ok(read)
}

/// Reads an encoded `AnyValue` on top of `into`: another arm replaces it, the same message is merged. Tells of what was read.
#[inline]
fn merge_value<'a>(
    into: &mut Option<AnyValue<'a>>,
    raw: &'a [u8],
    looking: Looking,
) -> Result<Flags, Error> {
    let mut flags = Flags::GOOD;
    let mut fields = Fields::within(raw, looking.depth());
    while let Some(field) = fields.next() {
        let field = field?;
        match field.number {
            1 => {
                let text = field.bytes()?;
                flags.utf8 &= is_utf8(text);
                *into = Some(AnyValue::String(text));
            }
            2 => *into = Some(AnyValue::Bool(field.varint()? != 0)),
            3 => *into = Some(AnyValue::Int(field.varint()?.cast_signed())),
            4 => *into = Some(AnyValue::Double(f64::from_bits(field.fixed64()?))),
            5 => {
                let array = field.bytes()?;
                if let Looking::Inside { .. } = looking {
                    let depth = fields.inner_depth(&field)?;
                    flags &= check_array(array, depth).map_err(|e| e.counted_from(raw, array))?;
                }
                match into {
                    Some(AnyValue::Array(before)) => before.to_mut().extend_from_slice(array),
                    _ => *into = Some(AnyValue::Array(Cow::Borrowed(array))),
                }
            }
            6 => {
                let list = field.bytes()?;
                if let Looking::Inside { .. } = looking {
                    let depth = fields.inner_depth(&field)?;
                    flags &= check_list(list, depth).map_err(|e| e.counted_from(raw, list))?;
                }
                match into {
                    Some(AnyValue::KvList(before)) => before.to_mut().extend_from_slice(list),
                    _ => *into = Some(AnyValue::KvList(Cow::Borrowed(list))),
                }
            }
            7 => *into = Some(AnyValue::Bytes(field.bytes()?)),
            8 => {
                // An index into a table that traces do not have.
                field.varint()?;
                *into = None;
            }
            _ => flags &= unknown(&fields, &field)?,
        }
    }
    Ok(flags)
}

/// Reads a field that the message around it does not know.
#[inline]
fn unknown(around: &Fields<'_>, field: &Field<'_>) -> Result<Flags, Error> {
    around.unknown(field)?;
    Ok(Flags {
        decodable: !field.is_group(),
        ..Flags::GOOD
    })
}

// === checking ===
//
// Arrays and lists are checked without building views: a view of every level would copy merged messages once a level.

fn check_array(raw: &[u8], depth: u32) -> Result<Flags, Error> {
    check_each(raw, depth, check_value)
}

fn check_list(raw: &[u8], depth: u32) -> Result<Flags, Error> {
    check_each(raw, depth, check_key_value)
}

/// Checks a message whose only known field is 1, messages that `check` checks.
fn check_each(
    raw: &[u8],
    depth: u32,
    check: fn(&[u8], u32) -> Result<Flags, Error>,
) -> Result<Flags, Error> {
    let mut flags = Flags::GOOD;
    let mut fields = Fields::within(raw, depth);
    while let Some(field) = fields.next() {
        let field = field?;
        if field.number == 1 {
            let inner = field.bytes()?;
            let depth = fields.inner_depth(&field)?;
            flags &= check(inner, depth).map_err(|e| e.counted_from(raw, inner))?;
        } else {
            flags &= unknown(&fields, &field)?;
        }
    }
    Ok(flags)
}

fn check_key_value(raw: &[u8], depth: u32) -> Result<Flags, Error> {
    let mut flags = Flags::GOOD;
    let mut fields = Fields::within(raw, depth);
    while let Some(field) = fields.next() {
        let field = field?;
        match field.number {
            1 => flags.utf8 &= is_utf8(field.bytes()?),
            2 => {
                let value = field.bytes()?;
                let depth = fields.inner_depth(&field)?;
                flags &= check_value(value, depth).map_err(|e| e.counted_from(raw, value))?;
            }
            3 => {
                field.varint()?;
            }
            _ => flags &= unknown(&fields, &field)?,
        }
    }
    Ok(flags)
}

fn check_value(raw: &[u8], depth: u32) -> Result<Flags, Error> {
    let mut flags = Flags::GOOD;
    let mut fields = Fields::within(raw, depth);
    while let Some(field) = fields.next() {
        let field = field?;
        match field.number {
            1 => flags.utf8 &= is_utf8(field.bytes()?),
            7 => {
                field.bytes()?;
            }
            2 | 3 | 8 => {
                field.varint()?;
            }
            4 => {
                field.fixed64()?;
            }
            5 | 6 => {
                let inner = field.bytes()?;
                let depth = fields.inner_depth(&field)?;
                let checked = match field.number {
                    5 => check_array(inner, depth),
                    _ => check_list(inner, depth),
                };
                flags &= checked.map_err(|e| e.counted_from(raw, inner))?;
            }
            _ => flags &= unknown(&fields, &field)?,
        }
    }
    Ok(flags)
}
