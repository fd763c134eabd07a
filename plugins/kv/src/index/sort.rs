//! Sealing: the terms of some thousand fragments, sorted by radix and written as lists.

use larder_plugin::Error;

use super::lists::encode;
use super::{CHUNK_BITS, Finished, IndexWriter};

/// Terms with the ordinals of the fragments that have them. Kept from one seal to the next.
#[derive(Debug, Default)]
pub(crate) struct Sorter {
    keys: Vec<u64>,
    spare: Vec<u64>,
}

// === impl Sorter ===

impl Sorter {
    /// Forgets all, and makes room for so many.
    pub(crate) fn begin(&mut self, terms: usize) {
        self.keys.clear();
        self.keys.reserve(terms);
    }

    /// Adds the terms of the fragment with this ordinal. Ordinals ascend.
    #[inline]
    pub(crate) fn push(&mut self, ordinal: u32, terms: &[[u8; 4]]) {
        let key = |term: &[u8; 4]| u64::from(u32::from_le_bytes(*term)) << 32 | u64::from(ordinal);
        self.keys.extend(terms.iter().map(key));
    }

    /// Gives the memory back that was needed for sorting.
    fn end(&mut self) {
        self.keys = Vec::new();
        self.spare = Vec::new();
    }
}

/// Writes the lists of all that has been pushed.
pub(crate) fn build(sorter: &mut Sorter, mut writer: IndexWriter) -> Result<Finished, Error> {
    sort_by_term(&mut sorter.keys, &mut sorter.spare);
    let mut buffer = Vec::new();
    for list in sorter.keys.chunk_by(|a, b| a >> 32 == b >> 32) {
        let Some(first) = list.first() else {
            continue;
        };
        let term = high(*first);
        if list.len() <= writer.run_bytes {
            buffer.clear();
            encode_keys(list, 0, &mut buffer);
            if buffer.len() <= writer.run_bytes {
                writer.short(term, &buffer)?;
                continue;
            }
        }
        let mut runs = Vec::new();
        let mut rest = list;
        while let Some(first) = rest.first() {
            let chunk = low(*first) >> CHUNK_BITS;
            let run;
            (run, rest) = rest.split_at(run_len(rest, writer.run_bytes));
            buffer.clear();
            encode_keys(run, chunk << CHUNK_BITS, &mut buffer);
            runs.push(writer.run(chunk, &buffer)?);
        }
        writer.long(term, &runs)?;
    }
    let finished = writer.finish();
    sorter.end();
    finished
}

/// How many of these make a run: whole chunks, until that is enough.
fn run_len(keys: &[u64], run_bytes: usize) -> usize {
    let chunk_of = |key: &u64| low(*key) >> CHUNK_BITS;
    let Some(last) = keys.get(run_bytes.saturating_sub(1)).map(chunk_of) else {
        return keys.len();
    };
    let after = keys.get(run_bytes..).unwrap_or_default();
    run_bytes + after.partition_point(|key| chunk_of(key) == last)
}

/// A fragment whose terms share what is kept of them has it once only in the list.
fn encode_keys(keys: &[u64], base: u32, out: &mut Vec<u8>) {
    let mut before = None;
    let ordinals = keys.iter().filter_map(|key| {
        let ordinal = low(*key);
        (before.replace(ordinal) != Some(ordinal)).then_some(ordinal)
    });
    encode(ordinals, base, out);
}

#[inline]
fn high(key: u64) -> u32 {
    (key >> 32) as u32
}

#[inline]
#[expect(
    clippy::cast_possible_truncation,
    reason = "the low half is what is wanted"
)]
fn low(key: u64) -> u32 {
    key as u32
}

/// Sorts keys by their high halves, in three passes over 11, 11 and 10 bits, the lowest first. Keys with equal high halves stay in
/// their order.
#[expect(
    clippy::indexing_slicing,
    reason = "digits are masked to the tables' size, and places count the keys"
)]
fn sort_by_term(keys: &mut Vec<u64>, spare: &mut Vec<u64>) {
    const SHIFTS: [u32; 3] = [32, 43, 54];
    const BUCKETS: usize = 1 << 11;
    #[expect(clippy::cast_possible_truncation, reason = "masked to 11 bits")]
    let digit = |key: u64, shift: u32| (key >> shift) as usize & (BUCKETS - 1);

    let mut starts = vec![[0_u32; BUCKETS]; SHIFTS.len()];
    for key in keys.iter() {
        for (counts, shift) in starts.iter_mut().zip(SHIFTS) {
            counts[digit(*key, shift)] += 1;
        }
    }
    spare.clear();
    spare.resize(keys.len(), 0);
    for (starts, shift) in starts.iter_mut().zip(SHIFTS) {
        let mut sum = 0;
        for start in starts.iter_mut() {
            sum += std::mem::replace(start, sum);
        }
        for key in keys.iter() {
            let start = &mut starts[digit(*key, shift)];
            spare[*start as usize] = *key;
            *start += 1;
        }
        std::mem::swap(keys, spare);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_sorted_by_term_and_stay_in_order() {
        let noise = (1..5000_u64).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15) & !0xffff_ffff);
        let mut keys: Vec<u64> = (0..)
            .zip(noise)
            .map(|(n, key)| key & (0xff << 50) | n)
            .collect();
        let mut sorted = keys.clone();
        sorted.sort_unstable();
        sort_by_term(&mut keys, &mut Vec::new());
        assert_eq!(keys, sorted);
    }

    #[test]
    fn runs_end_with_a_chunk() {
        let keys: Vec<u64> = (0..3000).filter(|n| n % 2 == 0).collect();
        assert_eq!(run_len(&keys, 100), 512);
        assert_eq!(run_len(&keys, 513), 1024);
        assert_eq!(run_len(&keys, 1400), 1500);
        assert_eq!(run_len(&keys, 5000), 1500);
    }
}
