//! Columns: numbers of one width above the smallest of them, so that one is read without reading those before it.

use crate::cache::Value;
use crate::codec::{Damaged, Input, put_varint};

/// Numbers of one width, read in place.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Column {
    /// The smallest number.
    base: u64,
    /// Bytes a row.
    width: u8,
    /// Where it begins in the value.
    at: usize,
}

/// Appends a column: its base, its width, and each number less the base, the lowest byte first.
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
        // The bytes that do not count are cut off again, which is quicker than to copy a few.
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
    /// The column of so many rows at the front of `input`, which reads the payload of `value`.
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

    /// The number of a row that there is: the checksum follows the last one, so that eight bytes can always be read.
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
