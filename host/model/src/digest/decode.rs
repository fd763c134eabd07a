//! Decodes digests. They come from a plugin, so they are not trusted.

use std::fmt;

use larder_proto::otlp::{EMPTY_SPAN_NAME, MISSING_SERVICE_NAME};

use super::{BACKWARDS, PARENT_SHIFT, Parent, STATUS_SHIFT, Span, VERSION};
use crate::storage::{SpanKind, StatusCode};

/// Minimum encoded length of a span, in bytes.
const MIN_SPAN_LEN: usize = 13;

/// A digest with decoded strings. Spans are decoded by [`Digest::spans`].
#[derive(Clone, Debug)]
pub struct Digest<'a> {
    strings: Vec<&'a str>,
    count: usize,
    spans: &'a [u8],
}

/// Error for bytes that are not a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error(Cause);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    Empty,
    Version(u8),
    CutOff,
    Varint,
    Count,
    Utf8,
    Flags(u8),
    NoString,
    EndOfTime,
    Trailing,
}

/// Decodes the strings of a digest. Its spans are decoded when they are iterated.
///
/// # Errors
/// If the bytes are not a digest of a known version. Faults in the spans are found when they are iterated.
pub fn decode(bytes: &[u8]) -> Result<Digest<'_>, Error> {
    let (version, mut rest) = bytes.split_first().ok_or(Error(Cause::Empty))?;
    if *version != VERSION {
        return Err(Error(Cause::Version(*version)));
    }
    let count = read_count(&mut rest, 1)?;
    let strings = (0..count)
        .map(|_| {
            let length = read_varint(&mut rest)?;
            let length = usize::try_from(length).map_err(|_| Error(Cause::CutOff))?;
            let string = take(&mut rest, length)?;
            str::from_utf8(string).map_err(|_| Error(Cause::Utf8))
        })
        .collect::<Result<_, _>>()?;
    let count = read_count(&mut rest, MIN_SPAN_LEN)?;
    Ok(Digest {
        strings,
        count,
        spans: rest,
    })
}

// === impl Digest ===

impl<'a> Digest<'a> {
    /// Number of spans that the digest declares.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Returns `true` if the digest declares no spans.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The spans in the order in which they were added: [`Digest::len`] of them, or fewer with an error as the last item.
    pub fn spans(&self) -> impl Iterator<Item = Result<Span<&'a str>, Error>> + '_ {
        let mut rest = self.spans;
        let mut last_start = 0;
        let mut left = self.count;
        std::iter::from_fn(move || {
            left = left.checked_sub(1)?;
            let span = self.read_span(&mut rest, last_start).and_then(|span| {
                if left == 0 && !rest.is_empty() {
                    return Err(Error(Cause::Trailing));
                }
                Ok(span)
            });
            match &span {
                Ok(span) => last_start = span.start,
                Err(_) => left = 0,
            }
            Some(span)
        })
    }

    fn read_span(&self, rest: &mut &'a [u8], last_start: u64) -> Result<Span<&'a str>, Error> {
        let [flags] = take_array(rest)?;
        let bad_flags = || Error(Cause::Flags(flags));
        let kind = SpanKind::from_wire(u64::from(flags & 0b111));
        let status = StatusCode::from_wire(u64::from(flags >> STATUS_SHIFT & 0b11));
        if kind as u8 != flags & 0b111 || status as u8 != flags >> STATUS_SHIFT & 0b11 {
            return Err(bad_flags());
        }
        let span_id = take_array(rest)?;
        let parent = match flags >> PARENT_SHIFT & 0b11 {
            0 => Parent::None,
            1 => Parent::Id(take_array(rest)?),
            2 => Parent::InvalidId,
            _ => return Err(bad_flags()),
        };
        let zigzag = read_varint(rest)?;
        let delta = (zigzag >> 1) ^ (zigzag & 1).wrapping_neg();
        let start = last_start.wrapping_add(delta);
        let duration = read_varint(rest)?;
        let end = match flags & BACKWARDS {
            0 => start.checked_add(duration),
            _ => start.checked_sub(duration),
        };
        Ok(Span {
            span_id,
            parent,
            start,
            end: end.ok_or(Error(Cause::EndOfTime))?,
            kind,
            status,
            service: or_listed(self.read_string(rest)?, MISSING_SERVICE_NAME),
            name: or_listed(self.read_string(rest)?, EMPTY_SPAN_NAME),
        })
    }

    fn read_string(&self, rest: &mut &[u8]) -> Result<&'a str, Error> {
        let number = usize::try_from(read_varint(rest)?).map_err(|_| Error(Cause::NoString))?;
        self.strings
            .get(number)
            .copied()
            .ok_or(Error(Cause::NoString))
    }
}

/// An older release wrote an empty name where a newer one writes the name that stands for it.
fn or_listed<'a>(name: &'a str, stands_for_empty: &'static str) -> &'a str {
    if name.is_empty() {
        stands_for_empty
    } else {
        name
    }
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a [u8], Error> {
    let (taken, after) = rest.split_at_checked(length).ok_or(Error(Cause::CutOff))?;
    *rest = after;
    Ok(taken)
}

fn take_array<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], Error> {
    let (taken, after) = rest.split_first_chunk().ok_or(Error(Cause::CutOff))?;
    *rest = after;
    Ok(*taken)
}

fn read_varint(rest: &mut &[u8]) -> Result<u64, Error> {
    prost::encoding::decode_varint(rest).map_err(|_| Error(Cause::Varint))
}

/// Reads the number of items that follow. Each takes at least `min_len` bytes, so a number that cannot be true is refused before memory
/// is allocated for it.
fn read_count(rest: &mut &[u8], min_len: usize) -> Result<usize, Error> {
    let count = usize::try_from(read_varint(rest)?).map_err(|_| Error(Cause::Count))?;
    if count > rest.len() / min_len {
        return Err(Error(Cause::Count));
    }
    Ok(count)
}

// === impl Error ===

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a digest: ")?;
        match self.0 {
            Cause::Empty => write!(f, "there are no bytes"),
            Cause::Version(version) => write!(f, "version {version} is unknown"),
            Cause::CutOff => write!(f, "the bytes end early"),
            Cause::Varint => write!(f, "a varint is malformed"),
            Cause::Count => write!(f, "it counts more than its bytes can hold"),
            Cause::Utf8 => write!(f, "a string is not UTF-8"),
            Cause::Flags(flags) => write!(f, "a span has the flags {flags:#010b}"),
            Cause::NoString => write!(f, "a span names a string that is not there"),
            Cause::EndOfTime => write!(f, "a span ends outside of time"),
            Cause::Trailing => write!(f, "bytes follow the last span"),
        }
    }
}

impl std::error::Error for Error {}
