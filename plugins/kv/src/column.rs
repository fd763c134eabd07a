//! Columns of integers: fixed-width offsets from the smallest one, so that any row can be read directly.

use crate::cache::Value;
use crate::codec::{Damaged, Input, put_varint};

/// A column of fixed-width integers, read in place.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Column {
    /// The smallest number; rows store their difference from it.
    base: u64,
    /// Bytes per row.
    width: u8,
    /// Offset of the first row in the value.
    at: usize,
}

/// Appends a column: its base, its width, and each number less the base in little-endian order.
pub(crate) fn encode(out: &mut Vec<u8>, numbers: impl Iterator<Item = u64> + Clone) {
    let (mut base, mut most) = (u64::MAX, 0);
    for number in numbers.clone() {
        base = base.min(number);
        most = most.max(number);
    }
    let base = base.min(most);
    let width = width_of(most - base);
    put_varint(out, base);
    out.push(width);
    for number in numbers {
        let bytes = (number - base).to_le_bytes();
        // Writing eight bytes and truncating is faster than copying a variable number.
        let end = out.len() + usize::from(width);
        out.extend_from_slice(&bytes);
        out.truncate(end);
    }
}

fn width_of(most: u64) -> u8 {
    let bits = u64::BITS - most.leading_zeros();
    u8::try_from(bits.div_ceil(8)).unwrap_or(8)
}

// === impl Column ===

impl Column {
    /// Parses a column of `rows` rows at the front of `input`, which reads the payload of `value`.
    pub(crate) fn parse(
        value: &Value,
        input: &mut Input<'_>,
        rows: usize,
    ) -> Result<Self, Damaged> {
        let base = input.varint()?;
        let width = input.byte()?;
        if width > 8 {
            return Err(Damaged);
        }
        let at = crate::frame::BEFORE + (value.payload().len() - input.len());
        let bytes = rows.checked_mul(usize::from(width)).ok_or(Damaged)?;
        input.bytes(bytes)?;
        Ok(Self { base, width, at })
    }

    /// Returns the number in a row. It always reads eight bytes, which the checksum after the last row makes safe.
    #[inline]
    pub(crate) fn get(&self, value: &Value, row: u32) -> u64 {
        if self.width == 0 {
            return self.base;
        }
        let at = self.at + row as usize * usize::from(self.width);
        let bytes = value.bytes().get(at..).and_then(<[u8]>::first_chunk::<8>);
        let all = bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes));
        let unused = 64 - 8 * u32::from(self.width);
        self.base.saturating_add((all << unused) >> unused)
    }
}
