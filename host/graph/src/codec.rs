//! Frames of what is kept: a version, the content, and a checksum. Numbers are protobuf's varints.
//!
//! | part | bytes |
//! |---|---|
//! | version | 1 |
//! | content | any |
//! | checksum | 8, big-endian: XXH3 of all before it, with the number of the value as its seed |

use prost::encoding::{decode_varint, encode_varint};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Length of a checksum, in bytes.
const CHECKSUM: usize = 8;

/// Error for kept bytes that cannot be read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Damaged(pub(crate) &'static str);

/// Content that is being read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading<'a> {
    rest: &'a [u8],
}

/// Frames what `write` appends. `number` tells the value from others, so that none is read in another's place.
pub(crate) fn seal(version: u8, number: u64, write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = vec![version];
    write(&mut bytes);
    let checksum = xxh3_64_with_seed(&bytes, number);
    bytes.extend_from_slice(&checksum.to_be_bytes());
    bytes
}

/// The content of a frame.
pub(crate) fn open(bytes: &[u8], version: u8, number: u64) -> Result<Reading<'_>, Damaged> {
    let (content, checksum) = bytes
        .split_last_chunk::<CHECKSUM>()
        .ok_or(Damaged("the bytes end early"))?;
    if xxh3_64_with_seed(content, number) != u64::from_be_bytes(*checksum) {
        return Err(Damaged("the checksum is wrong"));
    }
    match content.split_first() {
        Some((found, rest)) if *found == version => Ok(Reading { rest }),
        Some(_) => Err(Damaged("the version is unknown")),
        None => Err(Damaged("there are no bytes")),
    }
}

/// Appends a number.
pub(crate) fn put(bytes: &mut Vec<u8>, number: u64) {
    encode_varint(number, bytes);
}

/// Appends a length or a count.
pub(crate) fn put_len(bytes: &mut Vec<u8>, length: usize) {
    encode_varint(length as u64, bytes);
}

/// Appends bytes with their length.
pub(crate) fn put_bytes(bytes: &mut Vec<u8>, some: &[u8]) {
    put_len(bytes, some.len());
    bytes.extend_from_slice(some);
}

// === impl Reading ===

impl<'a> Reading<'a> {
    /// Reads bytes that a frame holds.
    pub(crate) fn of(rest: &'a [u8]) -> Self {
        Self { rest }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.rest.len()
    }

    pub(crate) fn number(&mut self) -> Result<u64, Damaged> {
        decode_varint(&mut self.rest).map_err(|_| Damaged("a number is malformed"))
    }

    pub(crate) fn number_u32(&mut self) -> Result<u32, Damaged> {
        let number = self.number()?;
        u32::try_from(number).map_err(|_| Damaged("a number is too large"))
    }

    pub(crate) fn length(&mut self) -> Result<usize, Damaged> {
        let number = self.number()?;
        usize::try_from(number).map_err(|_| Damaged("a length is too large"))
    }

    /// The number of items that follow. Each takes at least one byte, so a number that cannot be true is refused before memory is
    /// allocated for it.
    pub(crate) fn count(&mut self) -> Result<usize, Damaged> {
        let count = self.length()?;
        if count > self.rest.len() {
            return Err(Damaged("it counts more than its bytes can hold"));
        }
        Ok(count)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, Damaged> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Damaged> {
        let (taken, rest) = self
            .rest
            .split_first_chunk()
            .ok_or(Damaged("the bytes end early"))?;
        self.rest = rest;
        Ok(*taken)
    }

    pub(crate) fn take(&mut self, length: usize) -> Result<&'a [u8], Damaged> {
        let (taken, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or(Damaged("the bytes end early"))?;
        self.rest = rest;
        Ok(taken)
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], Damaged> {
        let length = self.length()?;
        self.take(length)
    }

    /// Checks that nothing is left.
    pub(crate) fn end(self) -> Result<(), Damaged> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(Damaged("bytes follow the end"))
        }
    }
}
