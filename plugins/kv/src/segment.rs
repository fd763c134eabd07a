//! The header of a segment: its groups, their chunks, and the first term of every page.

use crate::bounds::Bounds;
use crate::codec::{Damaged, Input, put_varint};
use crate::index::CHUNK;
use crate::seek::pass_over;

/// A segment as listed in the manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    /// Its number, which is also that of its partition.
    pub(crate) number: u64,
    /// The number of merges that its contents have been through.
    pub(crate) level: u8,
    /// The number of its first fragment, and that after its last.
    pub(crate) first: u64,
    pub(crate) end: u64,
    pub(crate) bounds: Bounds,
}

/// The header of a segment, needed to search it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Header {
    /// The first term of every page of terms.
    pub(crate) fences: Vec<u32>,
    pub(crate) runs_pages: u32,
    /// Groups in the order written.
    pub(crate) groups: Vec<Group>,
}

/// Fragments that were sealed together. Only their terms are ever rewritten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Group {
    /// The number of its first fragment.
    pub(crate) first: u64,
    /// The number of fragments.
    pub(crate) fragments: u32,
    /// The position of its first chunk in the segment.
    pub(crate) chunk: u32,
    /// The numbers of these values in the bucket's data partition.
    pub(crate) traces: u64,
    pub(crate) filter: u64,
    pub(crate) operations: Vec<u64>,
    pub(crate) chunks: Vec<Chunk>,
}

/// Up to 1024 fragments of a group, in the order written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Chunk {
    /// The number of its table in the bucket's data partition.
    pub(crate) table: u64,
    pub(crate) bounds: Bounds,
}

/// The number of fragments for which a header has about a byte: their chunk's, and that of their pages of terms.
const HEADER_FRAGMENTS_A_BYTE: u64 = 10;
/// Approximate bytes of the rest of a header.
const HEADER: usize = 1 << 10;

// === impl Segment ===

impl Segment {
    /// Estimates the size of its header.
    pub(crate) fn header_bytes(&self) -> usize {
        let bytes = self.end.saturating_sub(self.first) / HEADER_FRAGMENTS_A_BYTE;
        usize::try_from(bytes)
            .unwrap_or(usize::MAX)
            .saturating_add(HEADER)
    }

    /// Appends the segment.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.number);
        out.push(self.level);
        put_varint(out, self.first);
        put_varint(out, self.end.saturating_sub(self.first));
        self.bounds.encode(out);
    }

    /// Reads a segment that [`Segment::encode`] wrote.
    pub(crate) fn decode(input: &mut Input<'_>) -> Result<Self, Damaged> {
        let (number, level) = (input.varint()?, input.byte()?);
        let first = input.varint()?;
        let end = first.checked_add(input.varint()?).ok_or(Damaged)?;
        let bounds = Bounds::decode(input)?;
        Ok(Self {
            number,
            level,
            first,
            end,
            bounds,
        })
    }
}

// === impl Header ===

impl Header {
    /// Appends the header.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.fences.len() as u64);
        for fence in &self.fences {
            out.extend_from_slice(&fence.to_le_bytes());
        }
        put_varint(out, u64::from(self.runs_pages));
        put_varint(out, self.groups.len() as u64);
        for group in &self.groups {
            put_varint(out, group.first);
            put_varint(out, u64::from(group.fragments));
            put_varint(out, group.traces);
            put_varint(out, group.filter);
            put_varint(out, group.operations.len() as u64);
            for number in &group.operations {
                put_varint(out, *number);
            }
            for chunk in &group.chunks {
                put_varint(out, chunk.table);
                chunk.bounds.encode(out);
            }
        }
    }

    /// Reads a header that [`Header::encode`] wrote.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Damaged> {
        let mut input = Input::new(bytes);
        let count = input.count()?;
        let fences = (0..count).map(|_| input.u32()).collect::<Result<_, _>>()?;
        let runs_pages = input.small()?;
        let mut groups = Vec::with_capacity(input.count()?);
        let mut first_chunk = 0;
        for _ in 0..groups.capacity() {
            let (first, fragments) = (input.varint()?, input.small()?);
            let (traces, filter) = (input.varint()?, input.varint()?);
            let operations = (0..input.count()?).map(|_| input.varint());
            let operations = operations.collect::<Result<_, _>>()?;
            let count = fragments.div_ceil(CHUNK);
            let mut chunks = Vec::new();
            for _ in 0..count {
                let (table, bounds) = (input.varint()?, Bounds::decode(&mut input)?);
                chunks.push(Chunk { table, bounds });
            }
            groups.push(Group {
                first,
                fragments,
                chunk: first_chunk,
                traces,
                filter,
                operations,
                chunks,
            });
            first_chunk = first_chunk.checked_add(count).ok_or(Damaged)?;
        }
        Ok(Self {
            fences,
            runs_pages,
            groups,
        })
    }

    /// Returns a chunk with its group.
    pub(crate) fn chunk(&self, chunk: u32) -> Option<(&Group, &Chunk)> {
        let at = self.groups.partition_point(|it| it.chunk <= chunk);
        let group = self.groups.get(at.checked_sub(1)?)?;
        let place = chunk.checked_sub(group.chunk)?;
        Some((group, group.chunks.get(place as usize)?))
    }

    /// Returns the group that has the fragment with this number.
    pub(crate) fn group_of(&self, fragment: u64) -> Option<&Group> {
        let at = self.groups.partition_point(|it| it.first <= fragment);
        let group = self.groups.get(at.checked_sub(1)?)?;
        (fragment < group.end()).then_some(group)
    }

    /// Returns the number of chunks.
    pub(crate) fn chunks(&self) -> u32 {
        self.groups
            .last()
            .map_or(0, |it| it.chunk + it.fragments.div_ceil(CHUNK))
    }

    /// Splits ascending terms by the page of terms that can have them. Terms before the first page are in none. Both are walked in one
    /// pass.
    pub(crate) fn pages_of<'a>(
        &'a self,
        terms: &'a [u32],
    ) -> impl Iterator<Item = (u64, &'a [u32])> {
        let (mut terms, mut later) = (terms, self.fences.as_slice());
        if let Some(first) = later.first() {
            terms = pass_over(terms, |term| term < first);
        }
        std::iter::from_fn(move || {
            let first = terms.first()?;
            later = pass_over(later, |fence| fence <= first);
            let page = (self.fences.len() - later.len()).checked_sub(1)?;
            let after = later
                .first()
                .map(|fence| pass_over(terms, |term| term < fence));
            let after = after.unwrap_or_default();
            let (of_page, _) = terms.split_at(terms.len() - after.len());
            terms = after;
            Some((page as u64, of_page))
        })
    }
}

// === impl Group ===

impl Group {
    /// Returns the number after that of its last fragment.
    pub(crate) fn end(&self) -> u64 {
        self.first.saturating_add(u64::from(self.fragments))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_are_split_by_the_page_that_can_have_them() {
        let header = Header {
            fences: vec![10, 20, 30, 40],
            ..Header::default()
        };
        let pages = |terms: &'static [u32]| header.pages_of(terms).collect::<Vec<_>>();
        assert!(pages(&[]).is_empty());
        assert!(pages(&[3, 9]).is_empty());
        let due: [(u64, &[u32]); 3] = [(0, &[10, 19]), (1, &[20]), (3, &[40, 41, u32::MAX])];
        assert_eq!(pages(&[9, 10, 19, 20, 40, 41, u32::MAX]), due);
        assert_eq!(Header::default().pages_of(&[1, 2]).count(), 0);
    }
}
