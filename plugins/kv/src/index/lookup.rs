//! Searching a segment: for each clause the fragments that have one of its terms, chunk by chunk.

use std::collections::BTreeSet;

use larder_plugin::Error;

use super::lists::{List, Run, decode};
use super::{CHUNK_BITS, pages};
use crate::codec::Damaged;
use crate::frame::{Area, Fault, Kind};
use crate::segment::{Header, Segment};
use crate::store::{Store, Writer, lost};

/// The places of a chunk's fragments, a bit for each.
pub(crate) type Places = [u64; 16];

/// The lists of all clauses of a search, in one segment.
#[derive(Debug)]
pub(crate) struct Postings {
    area: Area,
    /// For each clause the lists of its terms.
    clauses: Vec<Vec<Alternative>>,
}

/// The list of one term.
#[derive(Debug)]
enum Alternative {
    Short(Vec<u32>),
    Long {
        runs: Vec<Run>,
        /// The last run that was read, by its place.
        read: Option<(usize, Vec<u32>)>,
    },
}

/// Which chunks a search has to look at.
#[derive(Debug)]
pub(crate) enum Chunks {
    All,
    These(BTreeSet<u32>),
}

// === impl Postings ===

impl Postings {
    /// Looks up all terms; none if there is a clause of which the segment has no term.
    pub(crate) fn look_up(
        store: &mut Store,
        writer: &Writer,
        (segment, header): (&Segment, &Header),
        clauses: &[Vec<u32>],
    ) -> Result<Option<Self>, Error> {
        let area = Area::Index(segment.number);
        let mut postings = Self {
            area,
            clauses: Vec::with_capacity(clauses.len()),
        };
        for clause in clauses {
            let mut lists = Vec::new();
            for term in clause {
                let Some(number) = header.page_of(*term) else {
                    continue;
                };
                let page = store.read(writer, area, Kind::Terms, number)?;
                let damaged = |_| lost(writer, area, Kind::Terms, number, Fault::Damaged);
                match pages::find(page.payload(), *term).map_err(damaged)? {
                    None => {}
                    Some(List::Short(bytes)) => {
                        let mut ordinals = Vec::new();
                        decode(bytes, 0, |it| ordinals.push(it)).map_err(damaged)?;
                        lists.push(Alternative::Short(ordinals));
                    }
                    Some(List::Long(runs)) => lists.push(Alternative::Long { runs, read: None }),
                }
            }
            if lists.is_empty() {
                return Ok(None);
            }
            postings.clauses.push(lists);
        }
        Ok(Some(postings))
    }

    /// The chunks in which every clause may have fragments.
    pub(crate) fn chunks(&self) -> Chunks {
        let mut chunks = Chunks::All;
        for clause in &self.clauses {
            let mut of_clause = BTreeSet::new();
            let mut all_short = true;
            for list in clause {
                match list {
                    Alternative::Short(ordinals) => {
                        of_clause.extend(ordinals.iter().map(|it| it >> CHUNK_BITS));
                    }
                    Alternative::Long { .. } => all_short = false,
                }
            }
            if all_short {
                chunks = match chunks {
                    Chunks::All => Chunks::These(of_clause),
                    Chunks::These(these) => Chunks::These(&these & &of_clause),
                };
            }
        }
        chunks
    }

    /// The fragments of a chunk that every clause has.
    pub(crate) fn places(
        &mut self,
        store: &mut Store,
        writer: &Writer,
        chunk: u32,
    ) -> Result<Places, Error> {
        let mut places = [u64::MAX; 16];
        for clause in &mut self.clauses {
            let mut of_clause = [0; 16];
            for list in clause {
                list.add(store, (writer, self.area), chunk, &mut of_clause)?;
            }
            for (all, of_clause) in places.iter_mut().zip(of_clause) {
                *all &= of_clause;
            }
            if places == [0; 16] {
                break;
            }
        }
        Ok(places)
    }
}

// === impl Alternative ===

impl Alternative {
    /// Adds its fragments of a chunk.
    fn add(
        &mut self,
        store: &mut Store,
        (writer, area): (&Writer, Area),
        chunk: u32,
        places: &mut Places,
    ) -> Result<(), Error> {
        match self {
            Self::Short(ordinals) => mark(ordinals, chunk, places),
            Self::Long { runs, read } => {
                // A run has the chunks from its own up to that of the next.
                let after = runs.partition_point(|it| it.chunk <= chunk);
                let Some(at) = after.checked_sub(1) else {
                    return Ok(());
                };
                let ordinals = match read.take() {
                    Some((place, ordinals)) if place == at => ordinals,
                    _ => match runs.get(at) {
                        Some(run) => ordinals(run, store, writer, area)?,
                        None => return Ok(()),
                    },
                };
                mark(&ordinals, chunk, places);
                *read = Some((at, ordinals));
            }
        }
        Ok(())
    }
}

/// All ordinals of a run.
fn ordinals(run: &Run, store: &mut Store, writer: &Writer, area: Area) -> Result<Vec<u32>, Error> {
    let number = u64::from(run.page);
    let page = store.read(writer, area, Kind::Runs, number)?;
    let damaged = |Damaged| lost(writer, area, Kind::Runs, number, Fault::Damaged);
    let bytes = run.of(page.payload()).map_err(damaged)?;
    let mut ordinals = Vec::with_capacity(bytes.len());
    let base = run.base().map_err(damaged)?;
    decode(bytes, base, |it| ordinals.push(it)).map_err(damaged)?;
    Ok(ordinals)
}

/// Marks the fragments of a chunk.
fn mark(ordinals: &[u32], chunk: u32, places: &mut Places) {
    let start = ordinals.partition_point(|it| it >> CHUNK_BITS < chunk);
    let rest = ordinals.get(start..).unwrap_or_default();
    for ordinal in rest.iter().take_while(|it| **it >> CHUNK_BITS == chunk) {
        let place = ordinal % (1 << CHUNK_BITS);
        if let Some(word) = places.get_mut(place as usize / 64) {
            *word |= 1 << (place % 64);
        }
    }
}
