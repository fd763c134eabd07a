//! Looks up the terms of one clause in the pages of terms.

use std::cmp::Reverse;

use larder_plugin::Error;

use super::long::Long;
use super::places::{self, Places};
use crate::codec::Damaged;
use crate::frame::{Area, Fault, Kind};
use crate::index::CHUNK_BITS;
use crate::index::lists::{List, Ordinals, decode};
use crate::index::pages::Terms;
use crate::segment::Header;
use crate::store::{Store, Writer, lost};

/// A clause that has not been looked up yet, with the pages that can have its terms.
#[derive(Debug)]
pub(super) struct SoughtClause<'a> {
    /// The number of each page, and those of the terms that it can have; both ascend.
    pages: Vec<(u64, &'a [u32])>,
    terms: usize,
}

/// The lists of a clause's terms.
#[derive(Debug)]
pub(super) struct Clause {
    /// The fragments of all short lists; ascending.
    pub(super) rows: Vec<u32>,
    pub(super) long: Vec<Long>,
}

/// The lists of a clause under construction.
struct Lists<'a> {
    /// The fragments to look for, if not all are wanted.
    within: Option<Within<'a>>,
    /// The fragments of the short lists, one list after the other; unused with `within`.
    rows: Vec<u32>,
    long: Vec<Long>,
}

/// Fragments that are looked for in short lists.
struct Within<'a> {
    rows: &'a [u32],
    /// Is set for the rows that have been found.
    has: Vec<bool>,
    missing: usize,
}

/// The number of pages that are read ahead at first, where few may suffice.
const AHEAD: usize = 4;
/// Approximate bytes of a page.
const PAGE: usize = 17 << 10;

/// Notes a page of terms for the plan of the store.
fn expect(store: &mut Store, (writer, area): (&Writer, Area), number: u64) {
    store.expect(writer, (area, Kind::Terms, number), PAGE);
}

// === impl SoughtClause ===

impl<'a> SoughtClause<'a> {
    /// Finds the pages that can have these ascending terms; reads nothing.
    pub(super) fn new(header: &'a Header, terms: &'a [u32]) -> Self {
        Self {
            pages: header.pages_of(terms).collect(),
            terms: terms.len(),
        }
    }

    /// Returns the number of pages that the lookup reads at most.
    pub(super) fn pages(&self) -> usize {
        self.pages.len()
    }

    /// Orders clauses by what their lookups cost. Of those that cost the same, the one with more terms asks for an attribute, which is
    /// likely rarer than a service.
    pub(super) fn cost(&self) -> (usize, Reverse<usize>) {
        (self.pages.len(), Reverse(self.terms))
    }

    /// Notes all pages for the plan of the store.
    pub(super) fn expect(&self, store: &mut Store, at: (&Writer, Area)) {
        for (number, _) in &self.pages {
            expect(store, at, *number);
        }
    }

    /// Reads the pages in order, until every fragment in `within`, ascending, satisfies the clause. Returns `None` if all may satisfy
    /// it.
    pub(super) fn look_up(
        &self,
        store: &mut Store,
        (writer, area): (&Writer, Area),
        within: Option<&[u32]>,
    ) -> Result<Option<Clause>, Error> {
        let mut lists = Lists {
            within: within.map(Within::new),
            rows: Vec::new(),
            long: Vec::new(),
        };
        for (place, (number, terms)) in self.pages.iter().enumerate() {
            let page = store.read(writer, area, Kind::Terms, *number);
            if page.is_err() {
                // The pages with a list for every fragment may come early, so what is read ahead grows with what has been read.
                let ahead = within.map_or(usize::MAX, |_| (3 * place).max(AHEAD));
                for (number, _) in self.pages.iter().skip(place).take(ahead) {
                    expect(store, (writer, area), *number);
                }
            }
            let page = page?;
            // A repair replaced the page: any fragment may have its terms.
            if page.payload().is_empty() {
                return Ok(None);
            }
            lists
                .read(terms, page.payload())
                .map_err(|Damaged| lost(writer, area, Kind::Terms, *number, Fault::Damaged))?;
            if lists.within.as_ref().is_some_and(|it| it.missing == 0) {
                return Ok(None);
            }
        }
        Ok(Some(lists.finish()))
    }
}

// === impl Lists ===

impl Lists<'_> {
    /// Finds ascending terms in a page and adds their lists.
    fn read(&mut self, terms: &[u32], page: &[u8]) -> Result<(), Damaged> {
        let mut page = Terms::parse(page)?;
        for term in terms {
            match (page.find(*term)?, &mut self.within) {
                (None, _) => {}
                (Some(List::Long(runs)), _) => self.long.push(Long::new(runs)),
                (Some(List::Short(bytes)), None) => decode(bytes, 0, |it| self.rows.push(it))?,
                (Some(List::Short(bytes)), Some(within)) => {
                    let mut list = Ordinals::new(bytes, 0);
                    within.missing -= list.mark(within.rows, &mut within.has)?;
                }
            }
        }
        Ok(())
    }

    fn finish(self) -> Clause {
        let rows = match self.within {
            Some(within) => within.found(),
            None => union(self.rows),
        };
        Clause {
            rows,
            long: self.long,
        }
    }
}

/// Sorts ascending lists that stand one after the other, and removes duplicates.
fn union(mut rows: Vec<u32>) -> Vec<u32> {
    #[expect(clippy::stable_sort_primitive, reason = "it merges ascending parts")]
    rows.sort();
    rows.dedup();
    rows
}

// === impl Within ===

impl<'a> Within<'a> {
    fn new(rows: &'a [u32]) -> Self {
        Self {
            rows,
            has: vec![false; rows.len()],
            missing: rows.len(),
        }
    }

    fn found(self) -> Vec<u32> {
        let rows = self.rows.iter().zip(self.has);
        rows.filter(|(_, has)| *has).map(|(row, _)| *row).collect()
    }
}

// === impl Clause ===

impl Clause {
    /// Returns the number of runs that its long lists have.
    pub(super) fn runs(&self) -> usize {
        self.long.iter().map(Long::runs).sum()
    }

    /// Returns those of the ascending fragments that satisfy the clause. A run is read only for fragments that were in no list yet.
    pub(super) fn keep(
        &mut self,
        store: &mut Store,
        at: (&Writer, Area),
        rows: Vec<u32>,
    ) -> Result<Vec<u32>, Error> {
        let is_short = |row: &u32| self.rows.binary_search(row).is_ok();
        let (mut found, mut missing): (Vec<u32>, Vec<u32>) = rows.into_iter().partition(is_short);
        for place in 0..self.long.len() {
            let Some(list) = self.long.get_mut(place) else {
                break;
            };
            let mut has = vec![false; missing.len()];
            let looked = list.look_for(store, at, &missing, &mut has);
            if looked.is_err() {
                for row in &missing {
                    let later = self.long.get(place..).unwrap_or_default();
                    for list in later {
                        list.expect(store, at, row >> CHUNK_BITS);
                    }
                }
            }
            looked?;
            let of_list = missing.iter().zip(&has).filter(|(_, has)| **has);
            found.extend(of_list.map(|(row, _)| *row));
            let mut has = has.into_iter();
            missing.retain(|_| !has.next().unwrap_or_default());
        }
        found.sort_unstable();
        Ok(found)
    }

    /// Notes the pages of runs of a chunk for the plan of the store.
    pub(super) fn expect(&self, store: &mut Store, at: (&Writer, Area), chunk: u32) {
        for list in &self.long {
            list.expect(store, at, chunk);
        }
    }

    /// Marks the fragments of a chunk that satisfy the clause. Those that are not in `left` may be left out.
    pub(super) fn places(
        &mut self,
        store: &mut Store,
        at: (&Writer, Area),
        (chunk, left): (u32, &Places),
    ) -> Result<Places, Error> {
        let mut of_clause = places::of_chunk(&self.rows, chunk);
        for list in &mut self.long {
            let Some(range) = places::missing(left, &of_clause) else {
                break;
            };
            list.add(store, at, (chunk, range), &mut of_clause)?;
        }
        Ok(of_clause)
    }
}
