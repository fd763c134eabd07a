//! One search, page by page.

use std::collections::{BTreeMap, BTreeSet};

use super::checker::Checker;
use super::pages::{Pages, answered, this};
use super::subject::{Breach, Subject};
use crate::{Instancing, Part, Search, Sighting, Timestamp, TraceId, Wanted};

/// A search that has begun. Other calls may come between its pages.
#[derive(Debug)]
pub struct Finding {
    search: Search,
    /// The matches when it began: the digest of each, its trace, and the least `newest` of its sighting.
    due: Vec<(Vec<u8>, TraceId, Timestamp)>,
    /// By their digests, the fragments that were sighted, and up to which start.
    covered: BTreeMap<Vec<u8>, Timestamp>,
    all: Vec<Sighting>,
    floor: Timestamp,
    pages: Pages,
    /// The time of the next write when it began.
    begun: Timestamp,
}

// === impl Finding ===

impl Finding {
    /// Begins a search of what is stored now.
    pub fn begin<S: Subject>(checker: &mut Checker<S>, search: &Search) -> Result<Self, Breach> {
        checker.begin_query()?;
        let matching = checker.stored().matching(search);
        let due = matching.map(|it| {
            let newest = search.newest(&it.starts);
            (it.digest.clone(), it.trace_id, newest)
        });
        Ok(Self {
            search: search.clone(),
            due: due.collect(),
            covered: BTreeMap::new(),
            all: Vec::new(),
            floor: Timestamp::MAX,
            pages: Pages::new("find"),
            begun: checker.now(),
        })
    }

    /// Asks for the next page and checks it. Returns false after the last one.
    pub fn page<S: Subject>(
        &mut self,
        checker: &mut Checker<S>,
        limit: u32,
    ) -> Result<bool, Breach> {
        let number = self.pages.number;
        let resume = self.pages.resume();
        let page = checker.subject().find(&self.search, resume, limit);
        let page = answered("find", page)?;
        if page.found.len() > limit as usize {
            let text = format!(
                "page {number} has {} sightings, where at most {limit} were asked for",
                page.found.len()
            );
            return Err(Breach::new("find.limit", text));
        }
        for sighting in &page.found {
            if sighting.newest > self.floor {
                let text = format!(
                    "page {number} sights {} with newest {}; the page before said with its floor {} that nothing newer would come",
                    this(sighting.trace_id),
                    sighting.newest,
                    self.floor
                );
                return Err(Breach::new("find.floor", text));
            }
            self.cover(checker, sighting)?;
        }
        self.all.extend(page.found);
        if page.floor > self.floor {
            let text = format!(
                "page {number} raises the floor from {} to {}",
                self.floor, page.floor
            );
            return Err(Breach::new("find.floor", text));
        }
        self.floor = page.floor;
        self.pages.go_on(page.resume)
    }

    /// Records the fragments that a sighting stands for, and up to which start.
    fn cover<S: Subject>(
        &mut self,
        checker: &mut Checker<S>,
        sighting: &Sighting,
    ) -> Result<(), Breach> {
        let id = sighting.trace_id;
        let digests: Vec<Vec<u8>> = if let Some(handle) = sighting.fragment {
            let wanted = Wanted::Fragments(vec![handle]);
            let pieces = checker.read(&wanted, Part::Digest, u32::MAX)?;
            let count = pieces.len();
            let of_other = pieces.iter().find(|it| it.trace_id != id);
            if let Some(other) = of_other {
                let text = format!(
                    "the handle {handle}, sighted for {}, is a fragment of {}",
                    this(id),
                    this(other.trace_id)
                );
                return Err(Breach::new("find.handle", text));
            }
            // Another instance may have sighted what was written since, which this one need not know yet.
            let is_later = checker.now() > self.begun;
            if count == 0 && is_later && checker.subject().instancing() == Instancing::Replicated {
                return Ok(());
            }
            if count != 1 {
                let text = format!(
                    "`read` of the handle {handle}, just given in a sighting of {}, gives {count} pieces; it has to give 1",
                    this(id)
                );
                return Err(Breach::new("find.handle", text));
            }
            pieces.into_iter().map(|piece| piece.bytes).collect()
        } else {
            let all = checker.stored().of_trace(id);
            all.map(|fragment| fragment.digest.clone()).collect()
        };
        for digest in digests {
            let newest = self.covered.entry(digest).or_default();
            *newest = sighting.newest.max(*newest);
        }
        Ok(())
    }

    /// Checks that each match is covered, except for those evicted since. Returns all sightings.
    pub fn end<S: Subject>(self, checker: &Checker<S>) -> Result<Vec<Sighting>, Breach> {
        let alive = checker.stored().fragments();
        let alive: BTreeSet<&[u8]> = alive.map(|it| it.digest.as_slice()).collect();
        let due = self.due.iter().filter(|it| alive.contains(&*it.0));
        for (digest, id, newest) in due {
            let Some(told) = self.covered.get(digest) else {
                let text = format!(
                    "a fragment of {} matches and is in no sighting of the {} pages",
                    this(*id),
                    self.pages.number
                );
                return Err(Breach::new("find.covered", text));
            };
            if told < newest {
                let text = format!(
                    "a fragment of {} may have a match that starts at {newest}; its sighting says that none is newer than {told}",
                    this(*id)
                );
                return Err(Breach::new("find.newest", text));
            }
        }
        Ok(self.all)
    }
}
