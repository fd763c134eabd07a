//! The fragments of a group by trace: sorted by a hash of the trace id, with a Bloom filter that rules out most other traces.

use std::borrow::Borrow;
use std::cmp::Ordering;

use larder_plugin::TraceId;

use crate::cache::Value;
use crate::codec::{Damaged, Input, put_varint};
use crate::column::{self, Column};
use crate::seek::pass_over;

/// A requested trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct WantedTrace {
    /// The [`hash`] of its id.
    pub(crate) hash: u64,
    /// The bits that it sets in a word of any filter.
    bits: u64,
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

/// Calls `each` with every fragment that may be of one of these traces, by the fragment's ordinal. `wanted` ascends by hash; for each
/// of them ordinals ascend. Both lists are walked in one pass.
pub(crate) fn find<'a, W: Borrow<WantedTrace>>(
    value: &Value,
    wanted: &'a [W],
    mut each: impl FnMut(u32, &'a W),
) -> Result<(), Damaged> {
    let mut input = Input::new(value.payload());
    let count = input.size()?;
    let hashes = input.bytes(count.checked_mul(4).ok_or(Damaged)?)?;
    let (hashes, _) = hashes.as_chunks::<4>();
    let ordinals = Column::parse(value, &mut input, count)?;
    let (mut rest, mut wanted) = (hashes, wanted);
    while let (Some(next), Some((first, others))) = (rest.first(), wanted.split_first()) {
        let (next, sought) = (u32::from_le_bytes(*next), short(first.borrow().hash));
        match next.cmp(&sought) {
            Ordering::Less => rest = pass_over(rest, |it| u32::from_le_bytes(*it) < sought),
            Ordering::Greater => wanted = pass_over(wanted, |it| short(it.borrow().hash) < next),
            Ordering::Equal => {
                let start = hashes.len() - rest.len();
                let of_hash = rest
                    .iter()
                    .take_while(|it| u32::from_le_bytes(**it) == next);
                for at in start..start + of_hash.count() {
                    let row = u32::try_from(at).map_err(|_| Damaged)?;
                    let ordinal = ordinals.get(value, row);
                    each(u32::try_from(ordinal).map_err(|_| Damaged)?, first);
                }
                wanted = others;
            }
        }
    }
    Ok(())
}

/// Appends the filter of these fragments: the number of words, and the words.
pub(crate) fn encode_filter(traces: &[TraceId], out: &mut Vec<u8>) {
    let count = (traces.len() * FILTER_BITS).div_ceil(64).max(1);
    let mut words = vec![0_u64; count];
    for id in traces {
        let hash = hash(*id);
        if let Some(word) = words.get_mut(word_of(hash, count)) {
            *word |= bits_of(hash);
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
        let wanted = ids.iter().enumerate();
        let mut wanted: Vec<_> = wanted.map(|(place, id)| Self::new(*id, place)).collect();
        wanted.sort_unstable();
        wanted
    }

    fn new(id: TraceId, place: usize) -> Self {
        let hash = hash(id);
        Self {
            hash,
            bits: bits_of(hash),
            id,
            place,
        }
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

    /// Returns false if the group certainly does not have this trace.
    #[inline]
    pub(crate) fn may_have(self, wanted: &WantedTrace) -> bool {
        let word = self.words.get(word_of(wanted.hash, self.words.len()));
        word.is_some_and(|word| u64::from_le_bytes(*word) & wanted.bits == wanted.bits)
    }
}

/// Returns the word of a filter of `words` words in which a trace with this hash sets bits. Words ascend with hashes.
#[inline]
fn word_of(hash: u64, words: usize) -> usize {
    let word = (u64::from(short(hash)) * words as u64) >> 32;
    usize::try_from(word).unwrap_or(0)
}

/// Returns the bits that a trace with this hash sets in its word.
#[inline]
fn bits_of(hash: u64) -> u64 {
    (0..FILTER_HASHES).fold(0, |bits, n| bits | 1 << ((hash >> (6 * n)) & 63))
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
        let found = |ids: &[TraceId]| {
            let wanted = WantedTrace::all(ids);
            let mut found = Vec::new();
            find(&value, &wanted, |ordinal, it| {
                found.push((it.place, ordinal));
            })
            .unwrap();
            found.sort_unstable();
            found
        };
        for n in 0..1500 {
            assert!(parsed.may_have(&WantedTrace::new(id(n.into()), 0)));
            assert_eq!(found(&[id(n.into())]), [(0, 2 * n), (0, 2 * n + 1)]);
        }
        let others = (2000..12_000).filter(|n| parsed.may_have(&WantedTrace::new(id(*n), 0)));
        assert!(others.count() < 100);
        // Many at once: each as often as it is asked for, and no other.
        let ids: Vec<TraceId> = (0..6000).map(|n| id(n * 7 % 3000)).collect();
        let due = (0..).zip(&ids).flat_map(|(place, id)| {
            let first = u32::try_from(2 * id.low).unwrap_or(0);
            let both = [(place, first), (place, first + 1)];
            both.into_iter().filter(|_| id.low < 1500)
        });
        assert_eq!(found(&ids), due.collect::<Vec<_>>());
        assert_eq!(found(&[]), []);
        assert!(Filter::parse(&[]).is_err());
        filter.pop();
        assert!(Filter::parse(&filter).is_err());
    }
}
