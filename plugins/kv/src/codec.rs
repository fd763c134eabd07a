//! Encoding of numbers and bytes in stored values. Decoding checks everything, because stored bytes may be damaged.

/// The bytes are not a valid encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Damaged;

/// A reader over encoded bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Input<'a> {
    rest: &'a [u8],
}

/// Appends a varint: seven bits a byte, the lowest first; all bytes but the last have the high bit set.
#[inline]
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(low_byte(value) | 0x80);
        value >>= 7;
    }
    out.push(low_byte(value));
}

/// Appends a length and then the bytes.
pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

#[inline]
fn low_byte(value: u64) -> u8 {
    let [low, ..] = value.to_le_bytes();
    low
}

/// Converts to `u32`, saturating.
pub(crate) fn small(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

// === impl Input ===

impl<'a> Input<'a> {
    /// Reads from the start of `bytes`.
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Returns the bytes that have not been read.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Returns the number of unread bytes.
    pub(crate) fn len(&self) -> usize {
        self.rest.len()
    }

    /// Returns true at the end of the input.
    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Reads one byte.
    #[inline]
    pub(crate) fn byte(&mut self) -> Result<u8, Damaged> {
        let (first, rest) = self.rest.split_first().ok_or(Damaged)?;
        self.rest = rest;
        Ok(*first)
    }

    /// Reads `len` bytes.
    #[inline]
    pub(crate) fn bytes(&mut self, len: usize) -> Result<&'a [u8], Damaged> {
        let (bytes, rest) = self.rest.split_at_checked(len).ok_or(Damaged)?;
        self.rest = rest;
        Ok(bytes)
    }

    /// Reads a number that [`put_varint`] wrote.
    #[inline]
    pub(crate) fn varint(&mut self) -> Result<u64, Damaged> {
        let first = self.byte()?;
        if first < 0x80 {
            return Ok(u64::from(first));
        }
        self.rest_of_varint(first)
    }

    /// The slow path for varints of several bytes, kept out of line: most varints have one byte.
    #[inline(never)]
    fn rest_of_varint(&mut self, first: u8) -> Result<u64, Damaged> {
        let mut value = u64::from(first & 0x7f);
        let mut shift = 7;
        loop {
            let byte = self.byte()?;
            if shift > 63 {
                return Err(Damaged);
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
            shift += 7;
        }
    }

    /// Reads a varint that is a length or an offset in memory.
    #[inline]
    pub(crate) fn size(&mut self) -> Result<usize, Damaged> {
        usize::try_from(self.varint()?).map_err(|_| Damaged)
    }

    /// Reads a varint below 2^32.
    #[inline]
    pub(crate) fn small(&mut self) -> Result<u32, Damaged> {
        u32::try_from(self.varint()?).map_err(|_| Damaged)
    }

    /// Reads the number of items that follow. Each takes at least one byte, so a damaged count cannot cause a large allocation.
    pub(crate) fn count(&mut self) -> Result<usize, Damaged> {
        let count = self.size()?;
        if count > self.rest.len() {
            return Err(Damaged);
        }
        Ok(count)
    }

    /// Reads bytes that [`put_bytes`] wrote.
    pub(crate) fn prefixed(&mut self) -> Result<&'a [u8], Damaged> {
        let len = self.size()?;
        self.bytes(len)
    }

    /// Reads a little-endian `u32`.
    #[inline]
    pub(crate) fn u32(&mut self) -> Result<u32, Damaged> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(Damaged)?;
        self.rest = rest;
        Ok(u32::from_le_bytes(*bytes))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_varint_comes_back_as_it_was(value in any::<u64>(), shift in 0..64_u32) {
            let mut out = Vec::new();
            put_varint(&mut out, value >> shift);
            let mut input = Input::new(&out);
            prop_assert_eq!(input.varint(), Ok(value >> shift));
            prop_assert!(input.is_empty());
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..30)) {
            let mut input = Input::new(&bytes);
            while input.varint().is_ok() && input.prefixed().is_ok() && input.u32().is_ok() {}
            let _ = input.count();
        }
    }

    #[test]
    fn truncated_input_is_damaged() {
        assert_eq!(Input::new(&[0x80]).varint(), Err(Damaged));
        assert_eq!(Input::new(&[0xff; 11]).varint(), Err(Damaged));
        assert_eq!(Input::new(&[5, 1, 2]).prefixed(), Err(Damaged));
        assert_eq!(Input::new(&[1, 2, 3]).u32(), Err(Damaged));
    }
}
