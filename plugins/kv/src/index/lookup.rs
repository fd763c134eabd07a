//! Searches a segment: for each clause, the fragments that have one of its terms, chunk by chunk.

mod narrow;

use std::collections::BTreeSet;

use larder_plugin::Error;

use super::lists::{List, Ordinals, Run, decode};
use super::pages::Terms;
use super::{CHUNK, CHUNK_BITS};
use crate::cache::Value;
use crate::codec::Damaged;
use crate::frame::{Area, Fault, Kind};
use crate::segment::{Header, Segment};
use crate::store::{Store, Writer, lost};

/// A bit for each fragment of a chunk.
pub(crate) type Places = [u64; 16];

/// The posting lists of all clauses of a search, in one segment.
#[derive(Debug)]
pub(crate) struct Postings {
    area: Area,
    /// The lists of each clause's terms. Clauses with only short lists come first, those with the fewest ordinals in front.
    clauses: Vec<Vec<Alternative>>,
}

/// The list of one term.
#[derive(Debug)]
enum Alternative {
    Short(Vec<u32>),
    Long(Long),
    /// A repair replaced the page of the term: any fragment may have it.
    Any,
}

/// A list that is cut into runs.
#[derive(Debug)]
struct Long {
    runs: Vec<Run>,
    /// The page of runs that was read last, with its number.
    page: Option<(u32, Value)>,
}

/// The chunks that a search has to open.
#[derive(Debug)]
pub(crate) enum Chunks {
    All,
    These(BTreeSet<u32>),
}

// === impl Postings ===

impl Postings {
    /// Looks up the terms of all clauses. Returns `None` if an early check shows that no fragment satisfies all clauses; clauses with
    /// at most `few` fragments are checked that way.
    pub(crate) fn look_up(
        store: &mut Store,
        writer: &Writer,
        (segment, header): (&Segment, &Header),
        (clauses, few): (&[Vec<u32>], usize),
    ) -> Result<Option<Self>, Error> {
        let area = Area::Index(segment.number);
        let mut postings = Self {
            area,
            clauses: Vec::with_capacity(clauses.len()),
        };
        for clause in clauses {
            let mut lists = Vec::new();
            for terms in clause.chunk_by(|a, b| header.page_of(*a) == header.page_of(*b)) {
                let Some(number) = terms.first().and_then(|term| header.page_of(*term)) else {
                    continue;
                };
                let page = store.read(writer, area, Kind::Terms, number)?;
                if page.payload().is_empty() {
                    lists.push(Alternative::Any);
                    continue;
                }
                look_for(terms, page.payload(), &mut lists)
                    .map_err(|Damaged| lost(writer, area, Kind::Terms, number, Fault::Damaged))?;
            }
            if lists.is_empty() {
                return Ok(None);
            }
            postings.clauses.push(lists);
        }
        postings.clauses.sort_by_key(|clause| {
            let count = clause.iter().map(|list| list.short().len()).sum();
            if all_short(clause) { count } else { usize::MAX }
        });
        let is_any_left = postings.narrow(store, writer, few)?;
        Ok(is_any_left.then_some(postings))
    }

    /// Returns the chunks in which every clause may have fragments.
    pub(crate) fn chunks(&self) -> Chunks {
        let mut chunks = Chunks::All;
        for clause in self.clauses.iter().take_while(|it| all_short(it)) {
            let ordinals = clause.iter().flat_map(Alternative::short);
            let of_clause: BTreeSet<u32> = ordinals.map(|it| it >> CHUNK_BITS).collect();
            chunks = match chunks {
                Chunks::All => Chunks::These(of_clause),
                Chunks::These(these) => Chunks::These(&these & &of_clause),
            };
        }
        chunks
    }

    /// Returns the fragments of a chunk that satisfy every clause.
    pub(crate) fn places(
        &mut self,
        store: &mut Store,
        writer: &Writer,
        chunk: u32,
    ) -> Result<Places, Error> {
        let mut places = [u64::MAX; 16];
        for clause in &mut self.clauses {
            // If only a few fragments remain, the rest of a long list need not be read.
            let Some(left) = extent(&places) else {
                break;
            };
            let mut of_clause = [0; 16];
            for list in clause {
                list.add(store, (writer, self.area), (chunk, left), &mut of_clause)?;
            }
            for (all, of_clause) in places.iter_mut().zip(of_clause) {
                *all &= of_clause;
            }
        }
        Ok(places)
    }
}

// === impl Alternative ===

impl Alternative {
    /// Marks the list's fragments of a chunk. Those outside the extent of `left` may be skipped.
    fn add(
        &mut self,
        store: &mut Store,
        (writer, area): (&Writer, Area),
        (chunk, left): (u32, (u32, u32)),
        places: &mut Places,
    ) -> Result<(), Error> {
        match self {
            Self::Short(ordinals) => mark_short(ordinals, chunk, places),
            Self::Any => *places = [u64::MAX; 16],
            Self::Long(long) => {
                let after = long.after(chunk);
                let Some(run) = after.checked_sub(1).and_then(|at| long.runs.get(at)) else {
                    return Ok(());
                };
                let run = *run;
                let first = chunk.checked_mul(CHUNK).ok_or_else(|| {
                    let number = u64::from(run.page);
                    lost(writer, area, Kind::Runs, number, Fault::Damaged)
                })?;
                let range = (
                    first.saturating_add(left.0),
                    first.saturating_add(left.1).saturating_add(1),
                );
                let is_known = long.read(store, (writer, area), &run, |list| {
                    list.each_between(range, |it| set(places, it))
                })?;
                if !is_known {
                    *places = [u64::MAX; 16];
                }
            }
        }
        Ok(())
    }

    /// Returns the ordinals of a short list; empty for any other.
    fn short(&self) -> &[u32] {
        match self {
            Self::Short(ordinals) => ordinals,
            Self::Long(_) | Self::Any => &[],
        }
    }
}

// === impl Long ===

impl Long {
    /// Returns the number of runs that begin at or before this chunk. The last of them covers the chunks up to the next run's.
    fn after(&self, chunk: u32) -> usize {
        self.runs.partition_point(|it| it.chunk <= chunk)
    }

    /// Reads a run. Returns false, and does not call `read`, if a repair replaced its page: any fragment may be in it.
    fn read(
        &mut self,
        store: &mut Store,
        (writer, area): (&Writer, Area),
        run: &Run,
        read: impl FnOnce(&mut Ordinals<'_>) -> Result<(), Damaged>,
    ) -> Result<bool, Error> {
        let number = u64::from(run.page);
        let value = match self.page.take() {
            Some((page, value)) if page == run.page => value,
            _ => store.read(writer, area, Kind::Runs, number)?,
        };
        let (_, value) = self.page.insert((run.page, value));
        if value.payload().is_empty() {
            return Ok(false);
        }
        let bytes = run.of(value.payload()).and_then(|it| Ok((it, run.base()?)));
        bytes
            .and_then(|(bytes, base)| read(&mut Ordinals::new(bytes, base)))
            .map(|()| true)
            .map_err(|Damaged| lost(writer, area, Kind::Runs, number, Fault::Damaged))
    }
}

/// Finds ascending terms in a page and pushes their lists.
fn look_for(terms: &[u32], page: &[u8], lists: &mut Vec<Alternative>) -> Result<(), Damaged> {
    let mut page = Terms::parse(page)?;
    for term in terms {
        match page.find(*term)? {
            None => {}
            Some(List::Short(bytes)) => {
                let mut ordinals = Vec::new();
                decode(bytes, 0, |it| ordinals.push(it))?;
                lists.push(Alternative::Short(ordinals));
            }
            Some(List::Long(runs)) => lists.push(Alternative::Long(Long { runs, page: None })),
        }
    }
    Ok(())
}

fn all_short(clause: &[Alternative]) -> bool {
    let is_short = |list: &Alternative| matches!(list, Alternative::Short(_));
    clause.iter().all(is_short)
}

/// Returns the first and last set place; `None` if no bit is set.
fn extent(places: &Places) -> Option<(u32, u32)> {
    let mut words = (0_u32..16).zip(places).filter(|(_, word)| **word != 0);
    let (first, low) = words.next()?;
    let (last, high) = words.next_back().unwrap_or((first, low));
    let end = |word: &u64| 63 - word.leading_zeros();
    Some((first * 64 + low.trailing_zeros(), last * 64 + end(high)))
}

/// Marks the fragments of a chunk that a short list has.
fn mark_short(ordinals: &[u32], chunk: u32, places: &mut Places) {
    let start = ordinals.partition_point(|it| it >> CHUNK_BITS < chunk);
    let rest = ordinals.get(start..).unwrap_or_default();
    for ordinal in rest.iter().take_while(|it| **it >> CHUNK_BITS == chunk) {
        set(places, *ordinal);
    }
}

#[inline]
fn set(places: &mut Places, ordinal: u32) {
    let place = ordinal % CHUNK;
    if let Some(word) = places.get_mut(place as usize / 64) {
        *word |= 1 << (place % 64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extent_is_from_the_first_place_to_the_last() {
        let of = |marked: &[u32]| {
            let mut places = [0; 16];
            for place in marked {
                set(&mut places, *place);
            }
            extent(&places)
        };
        assert_eq!(of(&[]), None);
        for place in [0, 63, 64, 500, 1023] {
            assert_eq!(of(&[place]), Some((place, place)));
        }
        assert_eq!(of(&[700, 3, 64]), Some((3, 700)));
        assert_eq!(extent(&[u64::MAX; 16]), Some((0, 1023)));
    }
}
