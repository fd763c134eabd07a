//! The inverted index of a segment: every term with the list of the fragments that have it.
//!
//! A fragment's ordinal is 1024 times the position of its chunk in the segment, plus its position in the chunk. So appending one
//! segment to another adds a constant to the first ordinal of each list and copies the rest of its bytes.

mod cursor;
mod lists;
mod lookup;
mod pages;
mod sort;

pub(crate) use cursor::Cursor;
pub(crate) use lists::{Run, last};
pub(crate) use lookup::{Chunks, Places, Postings};
pub(crate) use pages::{Finished, IndexWriter, check, outline};
pub(crate) use sort::{Sorter, build};

/// Bits of an ordinal that are the place in its chunk.
pub(crate) const CHUNK_BITS: u32 = 10;
/// Fragments per chunk. Only the last chunk of a group has fewer.
pub(crate) const CHUNK: u32 = 1 << CHUNK_BITS;
