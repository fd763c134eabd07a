//! The index of a segment: every term with the list of the fragments that have it.
//!
//! A fragment's ordinal is its chunk's place in the segment times 1024, plus its place in the chunk; so appending a segment to
//! another adds a number to the first ordinal of each list and leaves the rest of its bytes alone.

mod cursor;
mod lists;
mod lookup;
mod pages;
mod sort;

pub(crate) use cursor::Cursor;
pub(crate) use lists::{Run, last};
pub(crate) use lookup::{Chunks, Postings};
pub(crate) use pages::{Finished, IndexWriter, check};
pub(crate) use sort::{Sorter, build};

/// Bits of an ordinal that are the place in its chunk.
pub(crate) const CHUNK_BITS: u32 = 10;
/// How many fragments a chunk has, but for the last of a group.
pub(crate) const CHUNK: u32 = 1 << CHUNK_BITS;
