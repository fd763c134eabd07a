//! Lists of ordinals, ascending: the first, then what each is above the one before it, less 1; all varints.
//!
//! A short list stands beside its term. A long one is cut into runs, each of some chunks, with ordinals that count from the
//! run's first chunk; beside the term then stands where the runs are.

use super::CHUNK_BITS;
use crate::codec::{Damaged, Input, put_varint};

/// A part of a long list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// The chunk from which its ordinals count. No run before it has ordinals of this chunk or of a later one.
    pub(crate) chunk: u32,
    /// Its page of runs.
    pub(crate) page: u32,
    /// Where it begins in the page, and its bytes.
    pub(crate) offset: u32,
    pub(crate) len: u32,
}

/// A list, as it stands beside its term.
#[derive(Clone, Debug)]
pub(crate) enum List<'a> {
    /// All of it.
    Short(&'a [u8]),
    /// Where it is.
    Long(Vec<Run>),
}

/// Appends a list of ordinals, which ascend. `base` is taken from the first.
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

/// Gives each ordinal of a list, with `base` added to the first.
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

/// Gives the ordinals of a list from `from` on and before `to`, with `base` added to the first; what is before them is not looked at
/// one by one.
#[inline]
pub(crate) fn decode_between(
    bytes: &[u8],
    base: u32,
    (from, to): (u32, u32),
    mut each: impl FnMut(u32),
) -> Result<(), Damaged> {
    let (read, mut next) = pass_over(bytes, base, from);
    let mut input = Input::new(bytes.get(read..).unwrap_or_default());
    while !input.is_empty() {
        let ordinal = next.checked_add(input.small()?).ok_or(Damaged)?;
        if ordinal >= to {
            break;
        }
        if ordinal >= from {
            each(ordinal);
        }
        next = ordinal.checked_add(1).ok_or(Damaged)?;
    }
    Ok(())
}

/// Passes over ordinals below `from`, eight at a time where each takes one byte: how many bytes those are, and what the next delta
/// counts from.
fn pass_over(bytes: &[u8], base: u32, from: u32) -> (usize, u32) {
    let (words, _) = bytes.as_chunks::<8>();
    let (mut read, mut next) = (0, base);
    for word in words {
        let word = u64::from_le_bytes(*word);
        if word & 0x8080_8080_8080_8080 != 0 {
            break;
        }
        // The sum of the bytes, by pairs so that none overflows.
        let pairs = (word & 0x00ff_00ff_00ff_00ff) + ((word >> 8) & 0x00ff_00ff_00ff_00ff);
        let sum = pairs.wrapping_mul(0x0001_0001_0001_0001) >> 48;
        let after = u64::from(next) + sum + 8;
        match u32::try_from(after) {
            Ok(after) if after <= from => next = after,
            _ => break,
        }
        read += 8;
    }
    (read, next)
}

/// The last ordinal of a list, with `base` added to the first; `base` for an empty one.
pub(crate) fn last(bytes: &[u8], base: u32) -> Result<u32, Damaged> {
    let mut last = base;
    decode(bytes, base, |ordinal| last = ordinal)?;
    Ok(last)
}

// === impl List ===

impl<'a> List<'a> {
    /// Appends a short list, which is not empty.
    pub(crate) fn put_short(bytes: &[u8], out: &mut Vec<u8>) {
        crate::codec::put_bytes(out, bytes);
    }

    /// Appends where the runs of a long list are.
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

    /// What either of them wrote.
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

    /// Passes over what either of them wrote.
    #[inline]
    pub(crate) fn skip(input: &mut Input<'_>) -> Result<(), Damaged> {
        let len = input.size()?;
        if len > 0 {
            return input.bytes(len).map(|_| ());
        }
        Self::skip_runs(input)
    }

    /// Passes over where the runs of a long list are, after the 0 that they begin with.
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
    /// The ordinal from which its first one counts.
    pub(crate) fn base(&self) -> Result<u32, Damaged> {
        self.chunk.checked_mul(1 << CHUNK_BITS).ok_or(Damaged)
    }

    /// Its bytes in its page.
    pub(crate) fn of<'a>(&self, page: &'a [u8]) -> Result<&'a [u8], Damaged> {
        let start = self.offset as usize;
        let end = start.checked_add(self.len as usize).ok_or(Damaged)?;
        page.get(start..end).ok_or(Damaged)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_list_comes_back_as_it_was(
            ordinals in prop::collection::btree_set(1000..1_000_000_u32, 1..50),
            base in 0..1000_u32,
        ) {
            let mut bytes = Vec::new();
            encode(ordinals.iter().copied(), base, &mut bytes);
            let mut found = Vec::new();
            decode(&bytes, base, |it| found.push(it)).unwrap();
            prop_assert_eq!(found, ordinals.iter().copied().collect::<Vec<_>>());
            prop_assert_eq!(last(&bytes, base), Ok(*ordinals.last().unwrap()));
        }
    }

    proptest! {
        #[test]
        fn a_part_of_a_list_is_what_decoding_all_of_it_gives(
            gaps in prop::collection::vec(prop_oneof![9 => 0..127_u32, 1 => 0..9000_u32], 1..200),
            base in 0..5000_u32,
            from in 0..9000_u32,
            len in 0..3000_u32,
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
            decode_between(&bytes, base, (from, from + len), |it| found.push(it)).unwrap();
            let wanted = ordinals.into_iter().filter(|it| (from..from + len).contains(it));
            prop_assert_eq!(found, wanted.collect::<Vec<_>>());
        }
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
