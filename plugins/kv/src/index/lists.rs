//! Posting lists of ascending ordinals: the first ordinal, then each one's difference from the one before, less 1; all varints.
//!
//! A short list is stored inline with its term. A long one is cut into runs, each of whole chunks, with ordinals relative to the
//! run's first chunk; the term then refers to its runs.

use super::CHUNK_BITS;
use crate::codec::{Damaged, Input, put_varint};
use crate::seek::pass_over;

/// Bytes that a seek examines together.
const WORD: usize = 8;

/// A part of a long list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// The chunk from which its ordinals count. No earlier run has ordinals of this chunk or of a later one.
    pub(crate) chunk: u32,
    /// The number of its page of runs.
    pub(crate) page: u32,
    /// Its offset and length in the page, bytes.
    pub(crate) offset: u32,
    pub(crate) len: u32,
}

/// A list as stored with its term.
#[derive(Clone, Debug)]
pub(crate) enum List<'a> {
    /// The whole list, inline.
    Short(&'a [u8]),
    /// References to its runs.
    Long(Vec<Run>),
}

/// An iterator over the ordinals of a list.
#[derive(Debug)]
pub(crate) struct Ordinals<'a> {
    rest: Input<'a>,
    /// The next delta is relative to this ordinal.
    next: u32,
}

/// Appends a list of ascending ordinals. `base` is subtracted from the first.
#[cfg(test)]
fn encode(ordinals: impl Iterator<Item = u32>, base: u32, out: &mut Vec<u8>) {
    let mut next = base;
    for ordinal in ordinals {
        let delta = ordinal.wrapping_sub(next);
        if delta < 0x80 {
            out.push(delta.to_le_bytes()[0]);
        } else {
            put_varint(out, u64::from(delta));
        }
        next = ordinal.wrapping_add(1);
    }
}

/// Calls `each` with every ordinal of a list, with `base` added to the first.
#[inline]
pub(crate) fn decode(bytes: &[u8], base: u32, mut each: impl FnMut(u32)) -> Result<(), Damaged> {
    let mut input = Input::new(bytes);
    let mut next = base;
    while !input.is_empty() {
        let ordinal = next.checked_add(input.small()?).ok_or(Damaged)?;
        each(ordinal);
        next = ordinal.checked_add(1).ok_or(Damaged)?;
    }
    Ok(())
}

/// Returns the last ordinal of a list, with `base` added to the first; `base` for an empty list.
pub(crate) fn last(bytes: &[u8], base: u32) -> Result<u32, Damaged> {
    let mut last = base;
    decode(bytes, base, |ordinal| last = ordinal)?;
    Ok(last)
}

// === impl Ordinals ===

impl<'a> Ordinals<'a> {
    /// Reads a list, with `base` added to the first ordinal.
    pub(crate) fn new(bytes: &'a [u8], base: u32) -> Self {
        Self {
            rest: Input::new(bytes),
            next: base,
        }
    }

    /// Returns the next ordinal.
    #[inline]
    pub(crate) fn next(&mut self) -> Result<Option<u32>, Damaged> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let ordinal = self.next.checked_add(self.rest.small()?).ok_or(Damaged)?;
        self.next = ordinal.checked_add(1).ok_or(Damaged)?;
        Ok(Some(ordinal))
    }

    /// Returns the next ordinal that is at least `from`. Most smaller ones are skipped a word at a time.
    pub(crate) fn seek(&mut self, from: u32) -> Result<Option<u32>, Damaged> {
        loop {
            self.pass_over(from);
            for _ in 0..WORD {
                match self.next()? {
                    Some(ordinal) if ordinal < from => {}
                    found => return Ok(found),
                }
            }
        }
    }

    /// Sets `has` for those of the ascending ordinals that the list contains. Returns how many were not set before. The cost depends on
    /// the shorter of the two.
    pub(crate) fn mark(&mut self, wanted: &[u32], has: &mut [bool]) -> Result<usize, Damaged> {
        let (mut at, mut marked) = (0, 0);
        while let Some(first) = wanted.get(at) {
            let Some(found) = self.seek(*first)? else {
                break;
            };
            let rest = pass_over(wanted.get(at..).unwrap_or_default(), |it| *it < found);
            at = wanted.len() - rest.len();
            if rest.first() == Some(&found) {
                if let Some(has) = has.get_mut(at) {
                    marked += usize::from(!std::mem::replace(has, true));
                }
                at += 1;
            }
        }
        Ok(marked)
    }

    /// Calls `each` with the ordinals from `from` up to, but not including, `to`. It may consume one more.
    #[inline]
    pub(crate) fn each_between(
        &mut self,
        (from, to): (u32, u32),
        mut each: impl FnMut(u32),
    ) -> Result<(), Damaged> {
        let mut at = self.seek(from)?;
        while let Some(ordinal) = at.filter(|it| *it < to) {
            each(ordinal);
            at = self.next()?;
        }
        Ok(())
    }

    /// Skips ordinals below `from`, [`WORD`] bytes at a time, as long as none takes more than two bytes.
    #[inline]
    fn pass_over(&mut self, from: u32) {
        while let Some((word, _)) = self.rest.rest().split_first_chunk::<WORD>() {
            let Some((len, sum)) = add_up(u64::from_le_bytes(*word)) else {
                return;
            };
            match u32::try_from(u64::from(self.next) + sum) {
                Ok(after) if after <= from && self.rest.bytes(len).is_ok() => self.next = after,
                _ => return,
            }
        }
    }
}

/// Returns the bytes and the sum of the deltas of the whole varints in a word; a varint that continues in the next word is left
/// out. `None` if one has more than two bytes.
#[inline]
fn add_up(word: u64) -> Option<(usize, u64)> {
    let goes_on = word & 0x8080_8080_8080_8080;
    if goes_on & (goes_on << 8) != 0 {
        return None;
    }
    let is_cut = goes_on >> 63 != 0;
    let (len, whole) = if is_cut {
        (WORD - 1, u64::MAX >> 8)
    } else {
        (WORD, u64::MAX)
    };
    let goes_on = goes_on & whole;
    let seconds = ((goes_on >> 7) << 8) * 0xff;
    let bits = word & whole & 0x7f7f_7f7f_7f7f_7f7f;
    let sum = sum_of_bytes(bits & !seconds) + (sum_of_bytes(bits & seconds) << 7);
    let count = len as u64 - u64::from(goes_on.count_ones());
    Some((len, sum + count))
}

#[inline]
fn sum_of_bytes(word: u64) -> u64 {
    // Summing pairs first avoids an overflow.
    let pairs = (word & 0x00ff_00ff_00ff_00ff) + ((word >> 8) & 0x00ff_00ff_00ff_00ff);
    pairs.wrapping_mul(0x0001_0001_0001_0001) >> 48
}

// === impl List ===

impl<'a> List<'a> {
    /// Appends a short list, which must not be empty.
    pub(crate) fn put_short(bytes: &[u8], out: &mut Vec<u8>) {
        crate::codec::put_bytes(out, bytes);
    }

    /// Appends the references to the runs of a long list.
    pub(crate) fn put_long(runs: &[Run], out: &mut Vec<u8>) {
        out.push(0);
        put_varint(out, runs.len() as u64);
        let (mut chunk, mut page) = (0, 0);
        for run in runs {
            put_varint(out, u64::from(run.chunk.saturating_sub(chunk)));
            put_varint(out, u64::from(run.page.saturating_sub(page)));
            put_varint(out, u64::from(run.offset));
            put_varint(out, u64::from(run.len));
            (chunk, page) = (run.chunk, run.page);
        }
    }

    /// Reads a list of either form.
    #[inline]
    pub(crate) fn parse(input: &mut Input<'a>) -> Result<Self, Damaged> {
        let len = input.size()?;
        if len > 0 {
            return Ok(Self::Short(input.bytes(len)?));
        }
        let count = input.count()?;
        let mut runs = Vec::with_capacity(count);
        let (mut chunk, mut page) = (0_u32, 0_u32);
        for _ in 0..count {
            chunk = chunk.checked_add(input.small()?).ok_or(Damaged)?;
            page = page.checked_add(input.small()?).ok_or(Damaged)?;
            runs.push(Run {
                chunk,
                page,
                offset: input.small()?,
                len: input.small()?,
            });
        }
        Ok(Self::Long(runs))
    }

    /// Skips a list of either form.
    #[inline]
    pub(crate) fn skip(input: &mut Input<'_>) -> Result<(), Damaged> {
        let len = input.size()?;
        if len > 0 {
            return input.bytes(len).map(|_| ());
        }
        Self::skip_runs(input)
    }

    /// Skips the references of a long list, after the leading 0.
    pub(crate) fn skip_runs(input: &mut Input<'_>) -> Result<(), Damaged> {
        for _ in 0..input.count()? {
            for _ in 0..4 {
                input.varint()?;
            }
        }
        Ok(())
    }
}

// === impl Run ===

impl Run {
    /// Returns the ordinal from which the run counts.
    pub(crate) fn base(&self) -> Result<u32, Damaged> {
        self.chunk.checked_mul(1 << CHUNK_BITS).ok_or(Damaged)
    }

    /// Returns the run's bytes in its page.
    pub(crate) fn of<'a>(&self, page: &'a [u8]) -> Result<&'a [u8], Damaged> {
        let start = self.offset as usize;
        let end = start.checked_add(self.len as usize).ok_or(Damaged)?;
        page.get(start..end).ok_or(Damaged)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// Gaps of one byte, of two and, seldom, of three.
    fn gap() -> impl Strategy<Value = u32> {
        prop_oneof![40 => 0..128_u32, 20 => 0..16_384_u32, 1 => 0..70_000_u32]
    }

    proptest! {
        #[test]
        fn a_list_comes_back_as_it_was_whole_and_in_part(
            gaps in prop::collection::vec(gap(), 1..200),
            base in 0..5000_u32,
            from in 0..90_000_u32,
            len in 0..30_000_u32,
            wanted in prop::collection::btree_set(0..200_000_u32, 0..40),
        ) {
            let ordinals: Vec<u32> = gaps
                .iter()
                .scan(base, |next, gap| {
                    let ordinal = *next + gap;
                    *next = ordinal + 1;
                    Some(ordinal)
                })
                .collect();
            let mut bytes = Vec::new();
            encode(ordinals.iter().copied(), base, &mut bytes);
            let mut found = Vec::new();
            decode(&bytes, base, |it| found.push(it)).unwrap();
            prop_assert_eq!(&found, &ordinals);
            prop_assert_eq!(last(&bytes, base), Ok(*ordinals.last().unwrap()));

            found.clear();
            let mut list = Ordinals::new(&bytes, base);
            list.each_between((from, from + len), |it| found.push(it)).unwrap();
            let part: Vec<u32> = (ordinals.iter().copied())
                .filter(|it| (from..from + len).contains(it))
                .collect();
            prop_assert_eq!(found, part);

            let mut list = Ordinals::new(&bytes, base);
            let mut rest = ordinals.iter().copied().peekable();
            for from in wanted.iter().copied() {
                while rest.next_if(|it| *it < from).is_some() {}
                prop_assert_eq!(list.seek(from).unwrap(), rest.next());
            }
            let some = ordinals.iter().step_by(3).copied().chain(wanted);
            let some: Vec<u32> = some.collect::<BTreeSet<_>>().into_iter().collect();
            let is_in: Vec<bool> = some.iter().map(|it| ordinals.binary_search(it).is_ok()).collect();
            let due = is_in.iter().filter(|is_in| **is_in).count();
            let mut has = vec![false; some.len()];
            prop_assert_eq!(Ordinals::new(&bytes, base).mark(&some, &mut has), Ok(due));
            prop_assert_eq!(&has, &is_in);
            prop_assert_eq!(Ordinals::new(&bytes, base).mark(&some, &mut has), Ok(0));
            // Every ordinal is found, also the last one of a word.
            for ordinal in ordinals {
                let found = Ordinals::new(&bytes, base).seek(ordinal).unwrap();
                prop_assert_eq!(found, Some(ordinal));
            }
        }
    }

    #[test]
    fn a_word_is_added_up_as_its_varints_are() {
        let word = |bytes: [u8; 8]| add_up(u64::from_le_bytes(bytes));
        assert_eq!(word([0; 8]), Some((8, 8)));
        assert_eq!(word([127; 8]), Some((8, 8 * 128)));
        assert_eq!(
            word([0xff, 0x7f, 0xff, 0x7f, 0xff, 0x7f, 0xff, 0x7f]),
            Some((8, 4 * 16_384))
        );
        // The last varint continues after the word.
        assert_eq!(word([1, 0x82, 1, 0, 0, 0, 0, 0x80]), Some((7, 2 + 131 + 4)));
        assert_eq!(word([0x80, 0x80, 1, 0, 0, 0, 0, 0]), None);
        assert_eq!(word([0, 0, 0, 0, 0, 0, 0x80, 0x80]), None);
    }

    #[test]
    fn runs_come_back_as_they_were() {
        let run = |chunk, page, offset| Run {
            chunk,
            page,
            offset,
            len: 9,
        };
        let runs = [run(0, 3, 5), run(2, 3, 14), run(2, 4, 0), run(70, 4, 9)];
        let mut out = Vec::new();
        List::put_long(&runs, &mut out);
        let mut input = Input::new(&out);
        assert!(matches!(List::parse(&mut input), Ok(List::Long(found)) if found == runs));
        assert!(input.is_empty());
        let mut input = Input::new(&out);
        assert_eq!((List::skip(&mut input), input.len()), (Ok(()), 0));
    }
}
