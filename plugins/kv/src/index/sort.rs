//! Builds the index of newly sealed fragments: sorts their terms by radix and writes them as lists.

use larder_plugin::Error;

use super::{CHUNK_BITS, Finished, IndexWriter};
use crate::codec::put_varint;

/// Terms with the ordinals of the fragments that have them. Its memory is reused by the next seal.
#[derive(Debug, Default)]
pub(crate) struct Sorter {
    keys: Vec<u64>,
    spare: Vec<u64>,
}

// === impl Sorter ===

impl Sorter {
    /// Clears the sorter and reserves room for `terms` terms.
    pub(crate) fn begin(&mut self, terms: usize) {
        self.keys.clear();
        self.keys.reserve(terms);
    }

    /// Adds the terms of the fragment with this ordinal. Ordinals ascend.
    #[inline(never)]
    pub(crate) fn push(&mut self, ordinal: u32, terms: &[[u8; 4]]) {
        let key = |term: &[u8; 4]| u64::from(u32::from_le_bytes(*term)) << 32 | u64::from(ordinal);
        self.keys.extend(terms.iter().map(key));
    }
}

/// Writes the lists of all terms that were pushed.
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
        put_long(term, list, &mut writer, &mut buffer)?;
    }
    writer.finish()
}

/// Writes a list that takes more than one run.
#[cold]
#[inline(never)]
fn put_long(
    term: u32,
    list: &[u64],
    writer: &mut IndexWriter,
    buffer: &mut Vec<u8>,
) -> Result<(), Error> {
    let mut runs = Vec::new();
    let mut rest = list;
    while let Some(first) = rest.first() {
        let chunk = low(*first) >> CHUNK_BITS;
        let run;
        (run, rest) = rest.split_at(run_len(rest, writer.run_bytes));
        buffer.clear();
        encode_keys(run, chunk << CHUNK_BITS, buffer);
        runs.push(writer.run(chunk, buffer)?);
    }
    writer.long(term, &runs)
}

/// Returns the number of keys that make the next run: whole chunks, until they reach `run_bytes`.
fn run_len(keys: &[u64], run_bytes: usize) -> usize {
    let chunk_of = |key: &u64| low(*key) >> CHUNK_BITS;
    let Some(last) = keys.get(run_bytes.saturating_sub(1)).map(chunk_of) else {
        return keys.len();
    };
    let after = keys.get(run_bytes..).unwrap_or_default();
    run_bytes + after.partition_point(|key| chunk_of(key) == last)
}

/// Encodes a list. A fragment whose terms share their stored half appears only once.
#[inline(never)]
fn encode_keys(keys: &[u64], base: u32, out: &mut Vec<u8>) {
    let mut next = base;
    for key in keys {
        // Wraps around for an ordinal that has just been written.
        let delta = low(*key).wrapping_sub(next);
        if delta < 0x80 {
            out.push(delta.to_le_bytes()[0]);
        } else if delta == u32::MAX {
            continue;
        } else {
            put_varint(out, u64::from(delta));
        }
        next = low(*key).wrapping_add(1);
    }
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

/// Sorts keys by their upper halves. The sort is stable, so equal ones stay ordered by their lower halves. Keys are first split
/// into 256 parts by the highest byte; each part fits the CPU cache and is sorted in three passes from the lowest byte.
fn sort_by_term(keys: &mut Vec<u64>, spare: &mut Vec<u64>) {
    spare.clear();
    spare.resize(keys.len(), 0);
    scatter(keys, spare, 56);
    let (mut unsorted, mut sorted) = (spare.as_mut_slice(), keys.as_mut_slice());
    while let Some(first) = unsorted.first() {
        let len = unsorted.partition_point(|key| key >> 56 == first >> 56);
        let (part, rest) = std::mem::take(&mut unsorted).split_at_mut(len);
        let (to, others) = std::mem::take(&mut sorted).split_at_mut(len);
        (unsorted, sorted) = (rest, others);
        if len <= SMALL {
            part.sort_unstable();
            to.copy_from_slice(part);
        } else {
            scatter(part, to, 32);
            scatter(to, part, 40);
            scatter(part, to, 48);
        }
    }
}

/// Parts of at most this many keys are sorted by comparison.
const SMALL: usize = 64;

/// Moves keys to the positions that the eight bits from `shift` give them.
fn scatter(from: &[u64], to: &mut [u64], shift: u32) {
    let mut starts = [0_u32; 256];
    count(from, &mut starts, shift);
    let mut sum = 0;
    for start in &mut starts {
        sum += std::mem::replace(start, sum);
    }
    place(from, to, &mut starts, shift);
}

#[expect(clippy::cast_possible_truncation, reason = "a digit has eight bits")]
fn digit(key: u64, shift: u32) -> usize {
    (key >> shift) as usize & 0xff
}

/// Counts the digits of all keys.
///
/// A function of its own, as are the other loops over every term: inside a large function the compiler of the sandbox keeps nothing in
/// registers, and each step takes twice as long.
#[inline(never)]
#[expect(clippy::indexing_slicing, reason = "a digit has eight bits")]
fn count(keys: &[u64], counts: &mut [u32; 256], shift: u32) {
    for key in keys {
        counts[digit(*key, shift)] += 1;
    }
}

/// Moves each key to where its digit starts, which advances.
#[inline(never)]
#[expect(
    clippy::indexing_slicing,
    reason = "a digit has eight bits, and places count the keys"
)]
fn place(from: &[u64], to: &mut [u64], starts: &mut [u32; 256], shift: u32) {
    let mut place = |key: &u64| {
        let start = &mut starts[digit(*key, shift)];
        to[*start as usize] = *key;
        *start += 1;
    };
    // By four, as each turn of a loop in the sandbox asks whether the call's time is over.
    let (fours, rest) = from.as_chunks::<4>();
    for four in fours {
        four.iter().for_each(&mut place);
    }
    rest.iter().for_each(place);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_sorted_by_term_and_stay_in_order() {
        let noise = |n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15) & !0xffff_ffff;
        // All different; of a few terms; of many terms that share their upper bits; with one term that most keys have.
        for mask in [u64::MAX << 32, 0xff << 50, 0xffff << 32] {
            for common in [1, 3] {
                let term = |n: u64| {
                    if n.is_multiple_of(common) {
                        noise(n) & mask
                    } else {
                        7 << 32
                    }
                };
                let mut keys: Vec<u64> = (1..9000).map(|n| term(n) | n).collect();
                let mut sorted = keys.clone();
                sorted.sort_unstable();
                sort_by_term(&mut keys, &mut Vec::new());
                assert_eq!(keys, sorted);
            }
        }
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
