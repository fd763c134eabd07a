//! The fragments of a group by trace: sorted by a hash of the trace id, with a Bloom filter that rules out most other traces.

use larder_plugin::TraceId;

use crate::cache::Value;
use crate::codec::{Damaged, Input, put_varint};
use crate::column::{self, Column};

/// A requested trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct WantedTrace {
    /// The [`hash`] of its id.
    pub(crate) hash: u64,
    pub(crate) id: TraceId,
    /// Its index in the request.
    pub(crate) place: usize,
}

/// Filter bits per fragment.
const FILTER_BITS: usize = 16;
/// Bits that a trace sets, all in one word.
const FILTER_HASHES: u32 = 6;

/// Hashes a trace id, for the sorted list and the filter.
#[inline]
pub(crate) fn hash(id: TraceId) -> u64 {
    let mut mixed = (id.high.rotate_left(32) ^ id.low).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^= mixed >> 29;
    mixed = mixed.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed ^ (mixed >> 32)
}

/// Returns the stored half of a hash.
#[inline]
pub(crate) fn short(hash: u64) -> u32 {
    (hash >> 32) as u32
}

/// Appends the sorted hashes of these fragments, given in the order written, and then their ordinals.
pub(crate) fn encode(traces: &[TraceId], out: &mut Vec<u8>) {
    let hashes = traces.iter().map(|id| hash(*id) & 0xffff_ffff_0000_0000);
    let mut keys: Vec<u64> = (0..)
        .zip(hashes)
        .map(|(n, hash): (u64, u64)| hash | n)
        .collect();
    keys.sort_unstable();
    put_varint(out, keys.len() as u64);
    for key in &keys {
        out.extend_from_slice(&short(*key).to_le_bytes());
    }
    column::encode(out, keys.iter().map(|key| key & 0xffff_ffff));
}

/// Checks that a list of traces reads, and has this many fragments.
pub(crate) fn check(value: &Value, fragments: u32) -> Result<(), Damaged> {
    let mut input = Input::new(value.payload());
    let count = input.size()?;
    if count != fragments as usize {
        return Err(Damaged);
    }
    input.bytes(count.checked_mul(4).ok_or(Damaged)?)?;
    Column::parse(value, &mut input, count).map(|_| ())
}

/// Calls `each` with the ordinals of the fragments that may be of a trace with this hash, ascending.
pub(crate) fn find(value: &Value, hash: u64, mut each: impl FnMut(u32)) -> Result<(), Damaged> {
    let mut input = Input::new(value.payload());
    let count = input.size()?;
    let hashes = input.bytes(count.checked_mul(4).ok_or(Damaged)?)?;
    let (hashes, _) = hashes.as_chunks::<4>();
    let ordinals = Column::parse(value, &mut input, count)?;
    let wanted = short(hash);
    let start = hashes.partition_point(|it| u32::from_le_bytes(*it) < wanted);
    let found = hashes.get(start..).unwrap_or_default();
    let found = found
        .iter()
        .take_while(|it| u32::from_le_bytes(**it) == wanted);
    for at in start..start + found.count() {
        let row = u32::try_from(at).map_err(|_| Damaged)?;
        each(u32::try_from(ordinals.get(value, row)).map_err(|_| Damaged)?);
    }
    Ok(())
}

/// Appends the filter of these fragments: the number of words, and the words.
pub(crate) fn encode_filter(traces: &[TraceId], out: &mut Vec<u8>) {
    let count = (traces.len() * FILTER_BITS).div_ceil(64).max(1);
    let mut words = vec![0_u64; count];
    for id in traces {
        let (word, bits) = bits(hash(*id), count);
        if let Some(word) = words.get_mut(word) {
            *word |= bits;
        }
    }
    put_varint(out, count as u64);
    for word in &words {
        out.extend_from_slice(&word.to_le_bytes());
    }
}

/// The filter of a group, read in place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Filter<'a> {
    words: &'a [[u8; 8]],
}

// === impl WantedTrace ===

impl WantedTrace {
    /// Hashes all ids of a list, and sorts them by hash.
    pub(crate) fn all(ids: &[TraceId]) -> Vec<Self> {
        let wanted = ids.iter().enumerate().map(|(place, id)| Self {
            hash: hash(*id),
            id: *id,
            place,
        });
        let mut wanted: Vec<_> = wanted.collect();
        wanted.sort_unstable();
        wanted
    }
}

// === impl Filter ===

impl<'a> Filter<'a> {
    /// Parses a payload that [`encode_filter`] wrote.
    pub(crate) fn parse(payload: &'a [u8]) -> Result<Self, Damaged> {
        let mut input = Input::new(payload);
        let count = input.size()?;
        let (words, _) = input.rest().as_chunks();
        if words.len() != count || count == 0 {
            return Err(Damaged);
        }
        Ok(Self { words })
    }

    /// Returns false if the group certainly has no trace with this hash.
    #[inline]
    pub(crate) fn may_have(self, hash: u64) -> bool {
        let (word, bits) = bits(hash, self.words.len());
        let word = self.words.get(word);
        word.is_some_and(|word| u64::from_le_bytes(*word) & bits == bits)
    }
}

#[inline]
fn bits(hash: u64, words: usize) -> (usize, u64) {
    let word = (u64::from(short(hash)) * words as u64) >> 32;
    let bits = (0..FILTER_HASHES).fold(0, |bits, n| bits | 1 << ((hash >> (6 * n)) & 63));
    (usize::try_from(word).unwrap_or(0), bits)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::frame::{Area, Kind, value};

    fn id(number: u64) -> TraceId {
        TraceId {
            high: number / 3,
            low: number,
        }
    }

    #[test]
    fn a_trace_is_found_by_its_id_and_few_others_pass_the_filter() {
        let traces: Vec<TraceId> = (0..3000).map(|n| id(n / 2)).collect();
        let mut filter = Vec::new();
        encode_filter(&traces, &mut filter);
        let parsed = Filter::parse(&filter).unwrap();
        let mut payload = Vec::new();
        encode(&traces, &mut payload);
        let value = Value::new(value(Kind::Traces, Area::Head, 0, &payload));
        for n in 0..1500 {
            assert!(parsed.may_have(hash(id(n))));
            let mut found = Vec::new();
            find(&value, hash(id(n)), |ordinal| {
                found.push(u64::from(ordinal));
            })
            .unwrap();
            assert_eq!(found, [2 * n, 2 * n + 1]);
        }
        let others = (2000..12_000).filter(|n| parsed.may_have(hash(id(*n))));
        assert!(others.count() < 100);
        assert!(Filter::parse(&[]).is_err());
        filter.pop();
        assert!(Filter::parse(&filter).is_err());
    }
}
