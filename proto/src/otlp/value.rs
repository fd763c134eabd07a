//! Views of attributes and their values.

use std::borrow::Cow;

use super::{Repeated, Validity, is_utf8};
use crate::wire::{DEPTH, Error, Field, Fields};

/// A named value.
#[derive(Clone, Debug, PartialEq)]
pub struct KeyValue<'a> {
    /// The name; may be empty.
    pub key: &'a [u8],
    /// `None` if no value was sent, or one of a type that traces do not have.
    pub value: Option<AnyValue<'a>>,
    /// Validity of everything in it, at all depths.
    pub validity: Validity,
}

/// A value of any type. Jaeger's `AnyValue` is the same on the wire.
#[derive(Clone, Debug, PartialEq)]
pub enum AnyValue<'a> {
    /// Text.
    String(&'a [u8]),
    /// A bool.
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
        merge_value(&mut value, raw?, Nested::Skip)?;
        Ok(value)
    })
}

/// The entries of an encoded `KeyValueList`, in the order sent.
pub fn entries(list: &[u8]) -> impl Iterator<Item = Result<KeyValue<'_>, Error>> {
    Repeated::new(list, 1).map(|raw| read_key_value(raw?, Nested::Skip))
}

// === impl KeyValue ===

impl<'a> KeyValue<'a> {
    /// Parses an encoded `KeyValue`, at all depths.
    ///
    /// # Errors
    /// If the bytes are not such a message.
    #[inline]
    pub fn parse(raw: &'a [u8]) -> Result<Self, Error> {
        Self::parse_within(raw, DEPTH)
    }

    /// Parses an encoded `KeyValue` with at most `depth` levels of nesting.
    ///
    /// # Errors
    /// If the bytes are not such a message.
    #[inline]
    pub fn parse_within(raw: &'a [u8], depth: u32) -> Result<Self, Error> {
        read_key_value(raw, Nested::Check { depth })
    }
}

// === impl AnyValue ===

impl<'a> AnyValue<'a> {
    /// Parses an encoded `AnyValue`, at all depths. Returns `None` if it holds no value.
    ///
    /// # Errors
    /// If the bytes are not such a message.
    pub fn parse(raw: &'a [u8]) -> Result<Option<Self>, Error> {
        let mut value = None;
        merge_value(&mut value, raw, Nested::Check { depth: DEPTH })?;
        Ok(value)
    }
}

// === reading ===

/// Treatment of arrays and lists inside a value.
#[derive(Clone, Copy)]
enum Nested {
    /// They have been checked already.
    Skip,
    /// They are checked, with at most `depth` levels of nesting.
    Check { depth: u32 },
}

impl Nested {
    #[inline]
    fn depth(self) -> u32 {
        match self {
            Self::Skip => DEPTH,
            Self::Check { depth } => depth,
        }
    }
}

#[inline]
fn read_key_value(raw: &[u8], nested: Nested) -> Result<KeyValue<'_>, Error> {
    let (mut key, mut value, mut validity) = (&[][..], None, Validity::VALID);
    let mut fields = Fields::within(raw, nested.depth());
    while let Some(field) = fields.next() {
        let field = field?;
        match field.number {
            1 => {
                key = field.bytes()?;
                validity.utf8 &= is_utf8(key);
            }
            2 => {
                let inner = field.bytes()?;
                let depth = fields.inner_depth(&field)?;
                let nested = match nested {
                    Nested::Skip => Nested::Skip,
                    Nested::Check { .. } => Nested::Check { depth },
                };
                validity &= merge_value(&mut value, inner, nested)
                    .map_err(|e| e.relative_to(raw, inner))?;
            }
            3 => {
                field.varint()?;
            }
            _ => validity &= unknown(&fields, &field)?,
        }
    }
    Ok(KeyValue {
        key,
        value,
        validity,
    })
}

/// Merges an encoded `AnyValue` into `into`: an array or a list is merged with one of the same type, any other value is replaced.
#[inline]
fn merge_value<'a>(
    into: &mut Option<AnyValue<'a>>,
    raw: &'a [u8],
    nested: Nested,
) -> Result<Validity, Error> {
    let mut validity = Validity::VALID;
    let mut fields = Fields::within(raw, nested.depth());
    while let Some(field) = fields.next() {
        let field = field?;
        match field.number {
            1 => {
                let text = field.bytes()?;
                validity.utf8 &= is_utf8(text);
                *into = Some(AnyValue::String(text));
            }
            2 => *into = Some(AnyValue::Bool(field.varint()? != 0)),
            3 => *into = Some(AnyValue::Int(field.varint()?.cast_signed())),
            4 => *into = Some(AnyValue::Double(f64::from_bits(field.fixed64()?))),
            5 => {
                let array = field.bytes()?;
                if let Nested::Check { .. } = nested {
                    let depth = fields.inner_depth(&field)?;
                    validity &= check_array(array, depth).map_err(|e| e.relative_to(raw, array))?;
                }
                match into {
                    Some(AnyValue::Array(before)) => before.to_mut().extend_from_slice(array),
                    _ => *into = Some(AnyValue::Array(Cow::Borrowed(array))),
                }
            }
            6 => {
                let list = field.bytes()?;
                if let Nested::Check { .. } = nested {
                    let depth = fields.inner_depth(&field)?;
                    validity &= check_list(list, depth).map_err(|e| e.relative_to(raw, list))?;
                }
                match into {
                    Some(AnyValue::KvList(before)) => before.to_mut().extend_from_slice(list),
                    _ => *into = Some(AnyValue::KvList(Cow::Borrowed(list))),
                }
            }
            7 => *into = Some(AnyValue::Bytes(field.bytes()?)),
            8 => {
                // An index into a string table, which traces do not have.
                field.varint()?;
                *into = None;
            }
            _ => validity &= unknown(&fields, &field)?,
        }
    }
    Ok(validity)
}

/// Checks a field that the enclosing message does not define.
#[inline]
fn unknown(message: &Fields<'_>, field: &Field<'_>) -> Result<Validity, Error> {
    message.unknown(field)?;
    Ok(Validity {
        decodable: !field.is_group(),
        ..Validity::VALID
    })
}

// === checking ===
//
// Arrays and lists are checked without building views, because a view of each level would copy merged messages once per level.

fn check_array(raw: &[u8], depth: u32) -> Result<Validity, Error> {
    check_each(raw, depth, check_value)
}

fn check_list(raw: &[u8], depth: u32) -> Result<Validity, Error> {
    check_each(raw, depth, check_key_value)
}

/// Checks a message whose only field is 1, with messages that `check` checks.
fn check_each(
    raw: &[u8],
    depth: u32,
    check: fn(&[u8], u32) -> Result<Validity, Error>,
) -> Result<Validity, Error> {
    let mut validity = Validity::VALID;
    let mut fields = Fields::within(raw, depth);
    while let Some(field) = fields.next() {
        let field = field?;
        if field.number == 1 {
            let inner = field.bytes()?;
            let depth = fields.inner_depth(&field)?;
            validity &= check(inner, depth).map_err(|e| e.relative_to(raw, inner))?;
        } else {
            validity &= unknown(&fields, &field)?;
        }
    }
    Ok(validity)
}

fn check_key_value(raw: &[u8], depth: u32) -> Result<Validity, Error> {
    let mut validity = Validity::VALID;
    let mut fields = Fields::within(raw, depth);
    while let Some(field) = fields.next() {
        let field = field?;
        match field.number {
            1 => validity.utf8 &= is_utf8(field.bytes()?),
            2 => {
                let value = field.bytes()?;
                let depth = fields.inner_depth(&field)?;
                validity &= check_value(value, depth).map_err(|e| e.relative_to(raw, value))?;
            }
            3 => {
                field.varint()?;
            }
            _ => validity &= unknown(&fields, &field)?,
        }
    }
    Ok(validity)
}

fn check_value(raw: &[u8], depth: u32) -> Result<Validity, Error> {
    let mut validity = Validity::VALID;
    let mut fields = Fields::within(raw, depth);
    while let Some(field) = fields.next() {
        let field = field?;
        match field.number {
            1 => validity.utf8 &= is_utf8(field.bytes()?),
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
                validity &= checked.map_err(|e| e.relative_to(raw, inner))?;
            }
            _ => validity &= unknown(&fields, &field)?,
        }
    }
    Ok(validity)
}
