//! Iterates over the fields of an encoded protobuf message, without copying.
//!
//! Accepts and refuses the same messages as prost. Refused are a varint of more than 10 bytes or 64 bits, a key of more than 32 bits, field
//! number 0, an unknown wire type, a length past the end, a group that is not closed or closed by another number, and nesting
//! deeper than [`DEPTH`]. Invalid bytes never cause a panic.

use std::fmt;

/// Maximum nesting of messages and groups inside the outermost message; the limit of prost.
pub const DEPTH: u32 = 100;

/// The fields of one encoded message, in the order sent. Ends after the first error.
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    whole: &'a [u8],
    rest: &'a [u8],
    depth: u32,
}

/// One encoded field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Field<'a> {
    /// The field number; never 0.
    pub number: u32,
    /// The field's value.
    pub value: Value<'a>,
    /// Key and value as sent.
    pub raw: &'a [u8],
    /// Position of `raw` in the message, in bytes.
    pub offset: usize,
}

/// The value of a field, by its wire type.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// int32 to uint64, bool, enum.
    Varint(u64),
    /// fixed64, double.
    Fixed64(u64),
    /// string, bytes, a message, packed numbers.
    Bytes(&'a [u8]),
    /// fixed32, float.
    Fixed32(u32),
    /// The bytes between the start and end keys of a group.
    Group(&'a [u8]),
}

/// Error for bytes that are not a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error {
    cause: Cause,
    offset: usize,
}

/// The violated rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    CutOff,
    Varint,
    Key,
    WireType(u64),
    FieldZero,
    EndOfGroup,
    TooDeep,
    Mistyped(u32),
}

// === impl Fields ===

impl<'a> Fields<'a> {
    /// The fields of an outermost message.
    #[inline]
    pub fn new(message: &'a [u8]) -> Self {
        Self::within(message, DEPTH)
    }

    /// The fields of a message inside of which `depth` more levels may be nested.
    #[inline]
    pub fn within(message: &'a [u8], depth: u32) -> Self {
        Self {
            whole: message,
            rest: message,
            depth,
        }
    }

    fn offset(&self) -> usize {
        self.whole.len() - self.rest.len()
    }

    /// Fast path for almost every field of a request: a key of one byte, followed by a length of at most two bytes, a varint of one
    /// byte, or a fixed64. Returns `None` for any other field.
    #[expect(clippy::inline_always, reason = "a call costs more than the reading")]
    #[inline(always)]
    fn read_short(&mut self) -> Option<Field<'a>> {
        let before = self.rest;
        let (key, after) = before.split_first()?;
        // Longer keys and field number 0 take the slow path.
        if !(8..0x80).contains(key) {
            return None;
        }
        let (value, rest) = match (key & 7, after) {
            (2, [length, after @ ..]) if *length < 0x80 => {
                let (content, rest) = after.split_at_checked(usize::from(*length))?;
                (Value::Bytes(content), rest)
            }
            (2, [low, high, after @ ..]) if *high < 0x80 => {
                let length = usize::from(low & 0x7f) | usize::from(*high) << 7;
                let (content, rest) = after.split_at_checked(length)?;
                (Value::Bytes(content), rest)
            }
            (0, [byte, rest @ ..]) if *byte < 0x80 => (Value::Varint(u64::from(*byte)), rest),
            (1, after) => {
                let (bytes, rest) = after.split_first_chunk()?;
                (Value::Fixed64(u64::from_le_bytes(*bytes)), rest)
            }
            _ => return None,
        };
        let offset = self.offset();
        self.rest = rest;
        let (raw, _) = before.split_at_checked(before.len() - rest.len())?;
        Some(Field {
            number: u32::from(key >> 3),
            value,
            raw,
            offset,
        })
    }

    #[inline(never)]
    fn read(&mut self) -> Result<Field<'a>, Error> {
        let before = self.rest;
        let offset = self.offset();
        match read_field(&mut self.rest, self.depth) {
            Ok((number, value)) => {
                let (raw, _) = before.split_at(before.len() - self.rest.len());
                Ok(Field {
                    number,
                    value,
                    raw,
                    offset,
                })
            }
            Err(cause) => {
                let error = cause.at(self.offset());
                self.rest = &[];
                Err(error)
            }
        }
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, Error>;

    #[expect(clippy::inline_always, reason = "a call costs more than the reading")]
    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        if let Some(field) = self.read_short() {
            return Some(Ok(field));
        }
        if self.rest.is_empty() {
            return None;
        }
        Some(self.read())
    }
}

// === impl Field ===

impl<'a> Field<'a> {
    /// The value of a string, of bytes or of a message.
    ///
    /// # Errors
    /// If it has another wire type. The same holds for the methods below.
    #[inline]
    pub fn bytes(&self) -> Result<&'a [u8], Error> {
        match self.value {
            Value::Bytes(value) => Ok(value),
            _ => Err(self.mistyped()),
        }
    }

    /// Reads the message in this field of `outer` with `read`. The offset of an error of `read` becomes relative to `outer`.
    #[inline]
    pub fn read_message<T>(
        &self,
        outer: &[u8],
        read: impl FnOnce(&'a [u8]) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let inner = self.bytes()?;
        read(inner).map_err(|error| error.relative_to(outer, inner))
    }

    /// The value of a varint: an integer, a bool or an enum.
    #[inline]
    pub fn varint(&self) -> Result<u64, Error> {
        match self.value {
            Value::Varint(value) => Ok(value),
            _ => Err(self.mistyped()),
        }
    }

    /// The value of a fixed64 or a double.
    #[inline]
    pub fn fixed64(&self) -> Result<u64, Error> {
        match self.value {
            Value::Fixed64(value) => Ok(value),
            _ => Err(self.mistyped()),
        }
    }

    /// The value of a fixed32 or a float.
    #[inline]
    pub fn fixed32(&self) -> Result<u32, Error> {
        match self.value {
            Value::Fixed32(value) => Ok(value),
            _ => Err(self.mistyped()),
        }
    }

    /// Returns `true` for a group, which proto3 does not have.
    #[inline]
    pub fn is_group(&self) -> bool {
        matches!(self.value, Value::Group(_))
    }

    #[cold]
    fn mistyped(&self) -> Error {
        Cause::Mistyped(self.number).at(self.offset)
    }
}

// === impl Error ===

impl Cause {
    #[cold]
    fn at(self, offset: usize) -> Error {
        Error {
            cause: self,
            offset,
        }
    }
}

impl Error {
    /// Position of the fault, in bytes from the start of the message.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// The same error with an offset from the start of `outer`. `inner` is the message with the fault, a part of `outer`.
    #[cold]
    #[must_use]
    pub fn relative_to(self, outer: &[u8], inner: &[u8]) -> Self {
        let inner_starts = (inner.as_ptr() as usize).saturating_sub(outer.as_ptr() as usize);
        Self {
            cause: self.cause,
            offset: inner_starts + self.offset,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cause {
            Cause::CutOff => write!(f, "a field is cut off"),
            Cause::Varint => write!(f, "a varint is cut off or longer than 64 bits"),
            Cause::Key => write!(f, "a field's key is longer than 32 bits"),
            Cause::WireType(wire_type) => write!(f, "{wire_type} is no wire type"),
            Cause::FieldZero => write!(f, "a field has the number 0"),
            Cause::EndOfGroup => write!(f, "a group ends that was not begun"),
            Cause::TooDeep => write!(f, "messages are nested more than {DEPTH} deep"),
            Cause::Mistyped(number) => write!(f, "field {number} has the wrong wire type"),
        }?;
        write!(f, " at byte {}", self.offset)
    }
}

impl std::error::Error for Error {}

// === reading ===

const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const LENGTH_DELIMITED: u64 = 2;
const START_GROUP: u64 = 3;
const END_GROUP: u64 = 4;
const FIXED32: u64 = 5;

#[inline]
fn read_varint(rest: &mut &[u8]) -> Result<u64, Cause> {
    match **rest {
        [byte, ref after @ ..] if byte < 0x80 => {
            *rest = after;
            Ok(u64::from(byte))
        }
        [first, second, ref after @ ..] if second < 0x80 => {
            *rest = after;
            Ok(u64::from(first & 0x7f) | u64::from(second) << 7)
        }
        _ => read_long_varint(rest),
    }
}

fn read_long_varint(rest: &mut &[u8]) -> Result<u64, Cause> {
    let mut value = 0;
    let mut bytes = *rest;
    for shift in (0..70).step_by(7) {
        let [byte, after @ ..] = bytes else {
            break;
        };
        // The tenth byte holds only one bit.
        if shift == 63 && *byte > 1 {
            break;
        }
        value |= u64::from(byte & 0x7f) << shift;
        bytes = after;
        if *byte < 0x80 {
            *rest = bytes;
            return Ok(value);
        }
    }
    Err(Cause::Varint)
}

#[inline]
fn read_key(rest: &mut &[u8]) -> Result<(u32, u64), Cause> {
    let key = u32::try_from(read_varint(rest)?).map_err(|_| Cause::Key)?;
    let wire_type = u64::from(key & 7);
    if wire_type > FIXED32 {
        return Err(Cause::WireType(wire_type));
    }
    match key >> 3 {
        0 => Err(Cause::FieldZero),
        number => Ok((number, wire_type)),
    }
}

#[inline]
fn take<'a>(rest: &mut &'a [u8], length: u64) -> Result<&'a [u8], Cause> {
    let length = usize::try_from(length).map_err(|_| Cause::CutOff)?;
    let (taken, after) = rest.split_at_checked(length).ok_or(Cause::CutOff)?;
    *rest = after;
    Ok(taken)
}

#[inline]
fn read_field<'a>(rest: &mut &'a [u8], depth: u32) -> Result<(u32, Value<'a>), Cause> {
    let (number, wire_type) = read_key(rest)?;
    let value = match wire_type {
        LENGTH_DELIMITED => {
            let length = read_varint(rest)?;
            Value::Bytes(take(rest, length)?)
        }
        VARINT => Value::Varint(read_varint(rest)?),
        FIXED64 => {
            let (bytes, after) = rest.split_first_chunk().ok_or(Cause::CutOff)?;
            *rest = after;
            Value::Fixed64(u64::from_le_bytes(*bytes))
        }
        FIXED32 => {
            let (bytes, after) = rest.split_first_chunk().ok_or(Cause::CutOff)?;
            *rest = after;
            Value::Fixed32(u32::from_le_bytes(*bytes))
        }
        START_GROUP => Value::Group(read_group(rest, number, depth)?),
        _ => return Err(Cause::EndOfGroup),
    };
    Ok((number, value))
}

/// Reads up to and including the end key of group `number`. Returns the content before that key.
#[cold]
fn read_group<'a>(rest: &mut &'a [u8], number: u32, depth: u32) -> Result<&'a [u8], Cause> {
    let depth = depth.checked_sub(1).ok_or(Cause::TooDeep)?;
    let whole = *rest;
    loop {
        let before_key = *rest;
        let (inner, wire_type) = read_key(rest)?;
        if wire_type == END_GROUP {
            if inner != number {
                return Err(Cause::EndOfGroup);
            }
            let (content, _) = whole.split_at(whole.len() - before_key.len());
            return Ok(content);
        }
        // prost counts a level for every field inside a group, even for a number.
        if depth == 0 {
            return Err(Cause::TooDeep);
        }
        *rest = before_key;
        read_field(rest, depth)?;
    }
}

#[cfg(test)]
mod tests;
