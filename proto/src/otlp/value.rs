//! Views of attributes and their values.

use std::borrow::Cow;

use super::{Repeated, Validity, is_utf8};
use crate::wire::{Error, Field, Fields};

/// Maximum levels of arrays and maps in a value: the limit of OpenTelemetry. Deeper ones are not read, and clear
/// [`Validity::nesting`].
pub const MAX_LEVELS: u32 = 64;

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
    /// Parses an encoded `KeyValue`, down to [`MAX_LEVELS`].
    ///
    /// # Errors
    /// If the bytes are not such a message.
    #[inline]
    pub fn parse(raw: &'a [u8]) -> Result<Self, Error> {
        read_key_value(raw, Nested::Check)
    }
}

// === impl AnyValue ===

impl<'a> AnyValue<'a> {
    /// Parses an encoded `AnyValue`, down to [`MAX_LEVELS`]. Returns `None` if it holds no value.
    ///
    /// # Errors
    /// If the bytes are not such a message.
    pub fn parse(raw: &'a [u8]) -> Result<Option<Self>, Error> {
        let mut value = None;
        merge_value(&mut value, raw, Nested::Check)?;
        Ok(value)
    }
}

// === reading ===

/// Treatment of arrays and lists inside a value.
#[derive(Clone, Copy)]
enum Nested {
    /// They have been checked already.
    Skip,
    /// They are checked, down to [`MAX_LEVELS`].
    Check,
}

#[inline]
fn read_key_value(raw: &[u8], nested: Nested) -> Result<KeyValue<'_>, Error> {
    let (mut key, mut value, mut validity) = (&[][..], None, Validity::VALID);
    for field in Fields::new(raw) {
        let field = field?;
        match field.number {
            1 => {
                key = field.bytes()?;
                validity.utf8 &= is_utf8(key);
            }
            2 => {
                let inner = field.bytes()?;
                validity &= merge_value(&mut value, inner, nested)
                    .map_err(|e| e.relative_to(raw, inner))?;
            }
            3 => {
                field.varint()?;
            }
            _ => validity &= unknown(&field),
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
    for field in Fields::new(raw) {
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
                if let Nested::Check = nested {
                    validity &=
                        check_array(array, MAX_LEVELS).map_err(|e| e.relative_to(raw, array))?;
                }
                match into {
                    Some(AnyValue::Array(before)) => before.to_mut().extend_from_slice(array),
                    _ => *into = Some(AnyValue::Array(Cow::Borrowed(array))),
                }
            }
            6 => {
                let list = field.bytes()?;
                if let Nested::Check = nested {
                    validity &=
                        check_list(list, MAX_LEVELS).map_err(|e| e.relative_to(raw, list))?;
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
            _ => validity &= unknown(&field),
        }
    }
    Ok(validity)
}

/// Checks a field that the enclosing message does not define.
#[inline]
fn unknown(field: &Field<'_>) -> Validity {
    Validity {
        decodable: !field.is_group(),
        ..Validity::VALID
    }
}

// === checking ===
//
// Arrays and lists are checked without building views, because a view of each level would copy merged messages once per level. `levels` is
// the number of levels of arrays and lists that are left, so no input recurses deeper.

fn check_array(raw: &[u8], levels: u32) -> Result<Validity, Error> {
    check_each(raw, levels, check_value)
}

fn check_list(raw: &[u8], levels: u32) -> Result<Validity, Error> {
    check_each(raw, levels, check_key_value)
}

/// Checks a message whose only field is 1, with messages that `check` checks. Takes up one level.
fn check_each(
    raw: &[u8],
    levels: u32,
    check: fn(&[u8], u32) -> Result<Validity, Error>,
) -> Result<Validity, Error> {
    let mut validity = Validity::VALID;
    let Some(levels) = levels.checked_sub(1) else {
        validity.nesting = false;
        return Ok(validity);
    };
    for field in Fields::new(raw) {
        let field = field?;
        if field.number == 1 {
            let inner = field.bytes()?;
            validity &= check(inner, levels).map_err(|e| e.relative_to(raw, inner))?;
        } else {
            validity &= unknown(&field);
        }
    }
    Ok(validity)
}

fn check_key_value(raw: &[u8], levels: u32) -> Result<Validity, Error> {
    let mut validity = Validity::VALID;
    for field in Fields::new(raw) {
        let field = field?;
        match field.number {
            1 => validity.utf8 &= is_utf8(field.bytes()?),
            2 => {
                let value = field.bytes()?;
                validity &= check_value(value, levels).map_err(|e| e.relative_to(raw, value))?;
            }
            3 => {
                field.varint()?;
            }
            _ => validity &= unknown(&field),
        }
    }
    Ok(validity)
}

fn check_value(raw: &[u8], levels: u32) -> Result<Validity, Error> {
    let mut validity = Validity::VALID;
    for field in Fields::new(raw) {
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
                let checked = match field.number {
                    5 => check_array(inner, levels),
                    _ => check_list(inner, levels),
                };
                validity &= checked.map_err(|e| e.relative_to(raw, inner))?;
            }
            _ => validity &= unknown(&field),
        }
    }
    Ok(validity)
}
