//! Searches a segment: for each clause, the fragments that have one of its terms, chunk by chunk.
//!
//! Clauses are looked up in the order of their cost: the header tells, without a read, how many pages can have the terms of each. A
//! later clause is looked up only among the fragments that are left, and not at all if none is. So a clause of many terms, whose
//! lookup reads most of the pages, comes last.

mod clause;
mod long;
mod places;
#[cfg(test)]
mod tests;

use larder_plugin::Error;

use super::CHUNK_BITS;
use crate::frame::Area;
use crate::segment::{Header, Segment};
use crate::store::{Store, Writer};
use clause::{Clause, SoughtClause};
use places::ALL;

pub(crate) use places::Places;

/// Clauses of more pages are not read ahead while others may still show that no fragment satisfies all.
const FEW_PAGES: usize = 2;
/// As long as a plan notes fewer values, it also notes pages that may turn out not to be needed.
const FEW_NOTED: usize = 24;

/// The fragments that satisfy all clauses of a search, in one segment.
#[derive(Debug)]
pub(crate) struct Postings {
    area: Area,
    /// The fragments that satisfy every clause without long lists, ascending; `None` if there is no such clause.
    rows: Option<Vec<u32>>,
    /// The clauses with long lists, those with the fewest runs first.
    clauses: Vec<Clause>,
}

/// The chunks that a search has to open.
#[derive(Debug)]
pub(crate) enum Chunks {
    All,
    /// Ascending, each once.
    These(Vec<u32>),
}

// === impl Postings ===

impl Postings {
    /// Looks up the terms of all clauses, which ascend. Returns `None` if an early check shows that no fragment satisfies all clauses;
    /// at most `few` fragments are checked that way. Fragments of chunks that are not wanted may be left out.
    pub(crate) fn look_up(
        store: &mut Store,
        writer: &Writer,
        (segment, header): (&Segment, &Header),
        (clauses, few): (&[Vec<u32>], usize),
        is_wanted: impl Fn(u32) -> bool,
    ) -> Result<Option<Self>, Error> {
        let area = Area::Index(segment.number);
        let mut postings = Self {
            area,
            rows: None,
            clauses: Vec::new(),
        };
        let sought = clauses.iter().map(|it| SoughtClause::new(header, it));
        let mut sought: Vec<SoughtClause<'_>> = sought.collect();
        sought.sort_by_key(SoughtClause::cost);
        for (place, clause) in sought.iter().enumerate() {
            // Looking for a row in a long list reads about one page.
            let few = few.min(clause.pages());
            if !postings.narrow(store, writer, few)? {
                return Ok(None);
            }
            let within = postings.rows.as_deref();
            let looked_up = clause.look_up(store, (writer, area), within);
            if looked_up.is_err() && (place > 0 || store.noted() < FEW_NOTED) {
                // The others are likely to be needed too: the first clause has fragments, or a few pages more cost little.
                let others = sought.get(place..).unwrap_or_default();
                for other in others.iter().filter(|it| it.pages() <= FEW_PAGES) {
                    other.expect(store, (writer, area));
                }
            }
            if let Some(clause) = looked_up? {
                postings.add(clause, &is_wanted);
            }
            if postings.is_empty() {
                return Ok(None);
            }
        }
        let is_any_left = postings.narrow(store, writer, few)?;
        Ok(is_any_left.then_some(postings))
    }

    /// Returns the chunks in which every clause may have fragments.
    pub(crate) fn chunks(&self) -> Chunks {
        let Some(rows) = &self.rows else {
            return Chunks::All;
        };
        let mut chunks: Vec<u32> = rows.iter().map(|it| it >> CHUNK_BITS).collect();
        chunks.dedup();
        Chunks::These(chunks)
    }

    /// Returns the fragments of a chunk that satisfy every clause.
    pub(crate) fn places(
        &mut self,
        store: &mut Store,
        writer: &Writer,
        chunk: u32,
    ) -> Result<Places, Error> {
        let mut places = match &self.rows {
            None => ALL,
            Some(rows) => places::of_chunk(rows, chunk),
        };
        let at = (writer, self.area);
        for place in 0..self.clauses.len() {
            let Some(clause) = self.clauses.get_mut(place) else {
                break;
            };
            let of_clause = clause.places(store, at, (chunk, &places));
            if of_clause.is_err() {
                let later = self.clauses.get(place..).unwrap_or_default();
                for clause in later {
                    clause.expect(store, at, chunk);
                }
            }
            places::keep(&mut places, &of_clause?);
        }
        Ok(places)
    }

    /// Returns the number of fragments of a chunk that satisfy every clause, if that is known without a read.
    pub(crate) fn known(&self, chunk: u32) -> Option<usize> {
        let rows = self.rows.as_ref().filter(|_| self.clauses.is_empty())?;
        let places = places::of_chunk(rows, chunk);
        Some(places.iter().map(|it| it.count_ones() as usize).sum())
    }

    /// Adds a clause that was looked up within `rows`.
    fn add(&mut self, mut clause: Clause, is_wanted: impl Fn(u32) -> bool) {
        if clause.long.is_empty() {
            clause.rows.retain(|it| is_wanted(it >> CHUNK_BITS));
            self.rows = Some(clause.rows);
            return;
        }
        let runs = clause.runs();
        let at = self.clauses.partition_point(|it| it.runs() <= runs);
        self.clauses.insert(at, clause);
    }

    /// Looks for the rows, if they are at most `most`, in the long lists at once, instead of chunk by chunk. Returns false if none
    /// remains.
    fn narrow(&mut self, store: &mut Store, writer: &Writer, most: usize) -> Result<bool, Error> {
        if self.rows.as_ref().is_none_or(|rows| rows.len() > most) {
            return Ok(true);
        }
        for mut clause in self.clauses.drain(..) {
            let rows = self.rows.take().unwrap_or_default();
            let rows = clause.keep(store, (writer, self.area), rows)?;
            let is_empty = rows.is_empty();
            self.rows = Some(rows);
            if is_empty {
                break;
            }
        }
        Ok(!self.is_empty())
    }

    /// Returns true if it is known that no fragment satisfies all clauses.
    fn is_empty(&self) -> bool {
        self.rows.as_ref().is_some_and(Vec::is_empty)
    }
}
