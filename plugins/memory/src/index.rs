//! The inverted index of a segment.
//!
//! While a segment is open, its fragments' terms are kept in the order written, and a search examines each fragment. When it is
//! closed, they are sorted by radix into lists of fragments by term, which is cheaper than updating a hash table. A fragment is then
//! identified by its rank: the newest has rank 0, so lists are in the order of search results.
//!
//! Only the upper 32 bits of a term are kept. Terms are hashes, so two in a segment rarely share them; where they do, a search
//! returns extra candidates, which the contract allows.

#![expect(
    clippy::indexing_slicing,
    reason = "positions come from the lists' own lengths"
)]

use std::borrow::Cow;

use larder_plugin::Term;

use crate::limits::heap;
use crate::seek::places;

/// Returns the stored half of a term.
pub(crate) fn short(term: Term) -> u32 {
    (term >> 32) as u32
}

/// The terms of fragments in the order written.
#[derive(Debug, Default)]
pub(crate) struct OpenIndex {
    terms: Vec<u32>,
    /// The end of each fragment's terms.
    ends: Vec<u32>,
}

/// The fragments of each term, by rank.
#[derive(Debug)]
pub(crate) struct SealedIndex {
    /// The fragment with each rank.
    order: Vec<u16>,
    /// All terms, ascending.
    terms: Vec<u32>,
    /// The end of each term's ranks.
    ends: Vec<u32>,
    ranks: Vec<u16>,
}

/// Buffers for sorting, reused for all segments.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    keys: Vec<u64>,
    spare: Vec<u64>,
}

const RANK_BITS: u32 = 16;

// === impl OpenIndex ===

impl OpenIndex {
    /// Reserves room for the fragments and terms of a segment.
    pub(crate) fn with_capacity(fragments: usize, terms: usize) -> Self {
        Self {
            terms: Vec::with_capacity(terms),
            ends: Vec::with_capacity(fragments),
        }
    }

    /// Returns the memory in use, bytes.
    pub(crate) fn bytes(&self) -> usize {
        heap(self.terms.capacity() * size_of::<u32>())
            + heap(self.ends.capacity() * size_of::<u32>())
    }

    /// Returns the number of terms, summed over the fragments.
    pub(crate) fn len(&self) -> usize {
        self.terms.len()
    }

    /// Appends the terms of one more fragment.
    #[inline(never)]
    pub(crate) fn push(&mut self, terms: &[Term]) {
        self.terms.extend(terms.iter().map(|term| short(*term)));
        #[expect(clippy::cast_possible_truncation, reason = "memory holds fewer")]
        self.ends.push(self.terms.len() as u32);
    }

    /// Returns true if the fragment at `ordinal` has one of these terms, which ascend. The shorter list is looked for in the longer one.
    pub(crate) fn has_any(&self, ordinal: u16, alternatives: &[u32]) -> bool {
        let terms = self.terms(ordinal);
        let (few, many) = if alternatives.len() <= terms.len() {
            (alternatives, terms)
        } else {
            (terms, alternatives)
        };
        places(few, many).next().is_some()
    }

    /// Returns the terms of the fragment at `ordinal`, ascending.
    fn terms(&self, ordinal: u16) -> &[u32] {
        let ordinal = usize::from(ordinal);
        let start = ordinal.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.terms[start as usize..self.ends[ordinal] as usize]
    }
}

// === impl SealedIndex ===

impl SealedIndex {
    /// Sorts the terms of `open`; `order` lists the fragments by rank.
    #[inline(never)]
    pub(crate) fn new(open: &OpenIndex, order: Vec<u16>, scratch: &mut Scratch) -> Self {
        let keys = &mut scratch.keys;
        keys.clear();
        keys.reserve_exact(open.len());
        for (rank, ordinal) in (0_u64..).zip(&order) {
            let terms = open.terms(*ordinal);
            keys.extend(terms.iter().map(|it| u64::from(*it) << RANK_BITS | rank));
        }
        sort_by_term(keys, &mut scratch.spare);
        let (pairs, distinct) = distinct(keys);
        let mut sealed = Self {
            order,
            terms: vec![0; distinct],
            ends: vec![0; distinct],
            ranks: vec![0; pairs],
        };
        sealed.fill(keys);
        sealed
    }

    /// Fills the lists from all keys, sorted. Stores for each key, and moves on by whether it is new: no jump that could be predicted wrongly.
    #[inline(never)]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a key is 32 bits of term and 16 bits of rank, and memory holds fewer than 2^32"
    )]
    fn fill(&mut self, keys: &[u64]) {
        let (terms, ends, ranks) = (&mut self.terms, &mut self.ends, &mut self.ranks);
        let Some(first) = keys.first() else {
            return;
        };
        let (mut before, mut term, mut pair) = (*first, 0, 0);
        for key in keys {
            term += usize::from(key >> RANK_BITS != before >> RANK_BITS);
            pair += usize::from(*key != before);
            before = *key;
            terms[term] = (key >> RANK_BITS) as u32;
            ranks[pair] = *key as u16;
            ends[term] = pair as u32 + 1;
        }
    }

    /// Returns the most memory that [`SealedIndex::new`] may take for `open`, bytes.
    pub(crate) fn growth(open: &OpenIndex) -> usize {
        heap(open.ends.len() * size_of::<u16>())
            + heap(open.len() * size_of::<u32>()) * 2
            + heap(open.len() * size_of::<u16>())
    }

    /// Returns the memory in use, bytes.
    pub(crate) fn bytes(&self) -> usize {
        heap(self.order.capacity() * size_of::<u16>())
            + heap(self.terms.capacity() * size_of::<u32>())
            + heap(self.ends.capacity() * size_of::<u32>())
            + heap(self.ranks.capacity() * size_of::<u16>())
    }

    /// Returns the fragments, newest first.
    pub(crate) fn order(&self) -> &[u16] {
        &self.order
    }

    /// Returns the ranks of the fragments that have one of these terms. Both ascend.
    pub(crate) fn ranks(&self, alternatives: &[u32]) -> Cow<'_, [u16]> {
        let mut lists = places(alternatives, &self.terms).map(|at| {
            let start = at.checked_sub(1).map_or(0, |before| self.ends[before]);
            &self.ranks[start as usize..self.ends[at] as usize]
        });
        let Some(first) = lists.next() else {
            return Cow::Borrowed(&[]);
        };
        let Some(second) = lists.next() else {
            return Cow::Borrowed(first);
        };
        let mut has = vec![false; self.order.len()];
        for list in [first, second].into_iter().chain(lists) {
            for rank in list {
                has[usize::from(*rank)] = true;
            }
        }
        let ranks = (0..=u16::MAX).zip(has);
        Cow::Owned(
            ranks
                .filter(|(_, has)| *has)
                .map(|(rank, _)| rank)
                .collect(),
        )
    }
}

// === impl Scratch ===

impl Scratch {
    /// Returns the memory in use, bytes.
    pub(crate) fn bytes(&self) -> usize {
        heap(self.keys.capacity() * size_of::<u64>())
            + heap(self.spare.capacity() * size_of::<u64>())
    }

    /// Returns the memory that sorting this many terms may take in addition, bytes.
    pub(crate) fn growth(&self, terms: usize) -> usize {
        let more = |room: &Vec<u64>| {
            if terms > room.capacity() {
                heap(terms * size_of::<u64>())
            } else {
                0
            }
        };
        more(&self.keys) + more(&self.spare)
    }
}

/// Counts the distinct keys, and the distinct terms among them; the keys are sorted.
#[inline(never)]
fn distinct(keys: &[u64]) -> (usize, usize) {
    let (mut pairs, mut terms) = (usize::from(!keys.is_empty()), usize::from(!keys.is_empty()));
    for (key, next) in keys.iter().zip(keys.iter().skip(1)) {
        pairs += usize::from(key != next);
        terms += usize::from(key >> RANK_BITS != next >> RANK_BITS);
    }
    (pairs, terms)
}

/// Sorts keys by the term in their bits 16 to 47, in three passes over 11, 11 and 10 bits, the lowest first. The sort is stable.
fn sort_by_term(keys: &mut Vec<u64>, spare: &mut Vec<u64>) {
    let mut starts = vec![[0_u32; BUCKETS]; SHIFTS.len()];
    if let [low, middle, high] = starts.as_mut_slice() {
        count(keys, low, middle, high);
    }
    spare.clear();
    spare.reserve_exact(keys.len());
    spare.resize(keys.len(), 0);
    for (starts, shift) in starts.iter_mut().zip(SHIFTS) {
        let mut sum = 0;
        for start in starts.iter_mut() {
            sum += std::mem::replace(start, sum);
        }
        scatter(keys, spare, starts, shift);
        std::mem::swap(keys, spare);
    }
}

const SHIFTS: [u32; 3] = [RANK_BITS, RANK_BITS + 11, RANK_BITS + 22];
const BUCKETS: usize = 1 << 11;

/// Returns the digit of a key at one of `SHIFTS`.
#[expect(clippy::cast_possible_truncation, reason = "masked to 11 bits")]
fn digit(key: u64, shift: u32) -> usize {
    (key >> shift) as usize & (BUCKETS - 1)
}

/// Counts the digits of all keys.
///
/// A function of its own, as are the other loops over every term: inside a large function the compiler of the sandbox keeps nothing in
/// registers, and each step takes twice as long.
#[inline(never)]
fn count(
    keys: &[u64],
    low: &mut [u32; BUCKETS],
    middle: &mut [u32; BUCKETS],
    high: &mut [u32; BUCKETS],
) {
    for key in keys {
        low[digit(*key, SHIFTS[0])] += 1;
        middle[digit(*key, SHIFTS[1])] += 1;
        high[digit(*key, SHIFTS[2])] += 1;
    }
}

/// Moves each key to where its digit starts, which advances.
#[inline(never)]
fn scatter(keys: &[u64], to: &mut [u64], starts: &mut [u32; BUCKETS], shift: u32) {
    let mut place = |key: u64| {
        let start = &mut starts[digit(key, shift)];
        to[*start as usize] = key;
        *start += 1;
    };
    // By four, as each turn of a loop in the sandbox asks whether the call's time is over.
    let (fours, rest) = keys.as_chunks::<4>();
    for four in fours {
        four.iter().copied().for_each(&mut place);
    }
    for key in rest {
        place(*key);
    }
}
