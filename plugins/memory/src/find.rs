//! Search: merges the matches of all segments, newest first, page by page.
//!
//! Matches are returned in the order of their [`Key`]s, and a page ends with the key to resume from. Keys never change, so pages stay
//! correct when traces are written or evicted in between. A segment is opened only when its newest fragment is next, so the cost of a
//! page depends on its size and not on the size of the store.

use std::borrow::Cow;
use std::collections::BinaryHeap;

use larder_plugin::{Search, Sighting, Sightings};

use crate::handle::{Handle, Key};
use crate::index::{OpenIndex, short};
use crate::seek::gallop;
use crate::segment::{Index, Record, Segment};
use crate::store::Store;

/// The number of fragments that a page examines before it ends early: some milliseconds of work.
const STEPS: usize = 1 << 16;
/// The number of steps that looking up a segment's lists counts for.
const OPENING_STEPS: usize = 64;

/// A search of one store.
struct Query<'a> {
    store: &'a Store,
    search: &'a Search,
    clauses: Vec<Vec<u32>>,
}

/// The search of one segment.
struct Source<'a> {
    segment: &'a Segment,
    cursor: Option<Cursor<'a>>,
}

/// A position among a segment's matches.
struct Cursor<'a> {
    /// The fragments to examine, newest first; a rank is an index of this list.
    order: Cow<'a, [u16]>,
    /// The next rank.
    at: usize,
    /// The ranks that satisfy each clause; `None` until the first match is requested.
    lists: Option<Vec<List<'a>>>,
}

struct List<'a> {
    ranks: Cow<'a, [u16]>,
    at: usize,
}

/// The most sightings on a page, whatever limit the host asks for.
const MAX_FOUND: u32 = 1 << 16;

/// Returns one page, from the key where the previous page ended.
pub(crate) fn page(store: &Store, search: &Search, from: Option<Key>, limit: u32) -> Sightings {
    let mut clauses: Vec<_> = search.clauses.iter().map(|it| shorts(it)).collect();
    // The fewer terms a clause has, the less its lookup costs, and the lookup of those after it may be saved.
    clauses.sort_by_key(Vec::len);
    let query = Query {
        store,
        search,
        clauses,
    };
    let mut sources = Vec::new();
    let mut queue = BinaryHeap::new();
    for segment in store.segments() {
        let Some((newest, oldest, earliest)) = segment.bounds() else {
            continue;
        };
        let past = from.is_some_and(|from| oldest > from);
        if past || earliest > search.starts.end || newest.end < search.starts.start {
            continue;
        }
        // Keys in the queue are those of fragments, so everything left in the queue is below all fragments examined so far.
        let cursor = from
            .filter(|from| newest > *from)
            .map(|from| Cursor::new(segment, &query, from));
        let head = match &cursor {
            None => Some(newest),
            Some(cursor) => cursor.head(segment),
        };
        if let Some(head) = head {
            queue.push((head, false, sources.len()));
            sources.push(Source { segment, cursor });
        }
    }

    let mut page = Sightings {
        found: Vec::new(),
        floor: 0,
        resume: None,
    };
    let mut steps = STEPS;
    while let Some((key, is_match, place)) = queue.pop() {
        let spent = !is_match && steps == 0;
        if spent || page.found.len() >= limit.min(MAX_FOUND) as usize {
            page.floor = key.end.min(search.starts.end);
            page.resume = Some(larder_plugin::resume::encode((
                key.end,
                key.handle.number(),
            )));
            break;
        }
        let Some(source) = sources.get_mut(place) else {
            continue;
        };
        if is_match {
            let record = source.segment.record(key.handle.ordinal());
            page.found.push(Sighting {
                trace_id: record.trace_id,
                newest: search.newest(&record.starts),
                fragment: Some(key.handle.number()),
            });
        }
        if let Some((key, is_match)) = source.next(&query, key, &mut steps) {
            queue.push((key, is_match, place));
        }
    }
    page
}

/// Converts the position in a `resume` to a key.
pub(crate) fn from_resume((end, number): (u64, u64)) -> Key {
    Key {
        end,
        handle: Handle::from_number(number),
    }
}

fn shorts(clause: &[u64]) -> Vec<u32> {
    let mut shorts: Vec<u32> = clause.iter().map(|term| short(*term)).collect();
    shorts.sort_unstable();
    shorts.dedup();
    shorts
}

// === impl Query ===

impl Query<'_> {
    /// Checks everything but the terms.
    fn admits(&self, record: &Record) -> bool {
        self.search.starts.overlaps(&record.starts)
            && self.search.durations.overlaps(&record.durations)
            && self.store.is_alive(record)
    }

    fn admits_terms(&self, open: &OpenIndex, ordinal: u16) -> bool {
        self.clauses
            .iter()
            .all(|clause| open.has_any(ordinal, clause))
    }
}

// === impl Source ===

impl Source<'_> {
    /// Advances to the next match, or until the steps are spent. Returns the key, and true if it is a match. The first call begins at
    /// `from`.
    fn next(&mut self, query: &Query<'_>, from: Key, steps: &mut usize) -> Option<(Key, bool)> {
        let segment = self.segment;
        let cursor = self
            .cursor
            .get_or_insert_with(|| Cursor::new(segment, query, from));
        if cursor.lists.is_none() {
            *steps = steps.saturating_sub(OPENING_STEPS);
            cursor.lists = Some(lists(segment, query, cursor.at));
        }
        loop {
            let rank = cursor.candidate()?;
            let ordinal = *cursor.order.get(rank)?;
            let record = segment.record(ordinal);
            if record.starts.end < query.search.starts.start {
                return None;
            }
            *steps = steps.saturating_sub(1);
            cursor.at = rank + 1;
            if query.admits(record) {
                return Some((segment.key(ordinal), true));
            }
            if *steps == 0 {
                return Some((cursor.head(segment)?, false));
            }
        }
    }
}

/// Returns the ranks that satisfy each clause, the shortest list first. Stops at the first clause without any, and before a clause if
/// those before it have none in common, from `rank` on.
fn lists<'a>(segment: &'a Segment, query: &Query<'_>, rank: usize) -> Vec<List<'a>> {
    let Index::Sealed(sealed) = segment.index() else {
        return Vec::new();
    };
    let mut lists: Vec<List<'a>> = Vec::with_capacity(query.clauses.len());
    for clause in &query.clauses {
        let is_any_left = common(&mut lists, rank).is_some();
        let ranks = if is_any_left {
            sealed.ranks(clause)
        } else {
            Cow::default()
        };
        let is_empty = ranks.is_empty();
        lists.push(List { ranks, at: 0 });
        lists.sort_unstable_by_key(|list| list.ranks.len());
        if is_empty {
            break;
        }
    }
    lists
}

/// Returns the first rank, from `rank` on, that is in every list.
fn common(lists: &mut [List<'_>], mut rank: usize) -> Option<usize> {
    'again: loop {
        for list in lists.iter_mut() {
            let found = list.seek(rank)?;
            if found > rank {
                rank = found;
                continue 'again;
            }
        }
        return Some(rank);
    }
}

// === impl Cursor ===

impl<'a> Cursor<'a> {
    fn new(segment: &'a Segment, query: &Query<'_>, from: Key) -> Self {
        match segment.index() {
            Index::Open(open) => Self::scan(segment, open, query, from),
            Index::Sealed(sealed) => {
                let order = sealed.order();
                Self {
                    at: order.partition_point(|ordinal| segment.key(*ordinal) > from),
                    order: Cow::Borrowed(order),
                    lists: None,
                }
            }
        }
    }

    /// Returns the key of the next fragment to examine.
    fn head(&self, segment: &Segment) -> Option<Key> {
        Some(segment.key(*self.order.get(self.at)?))
    }

    /// Examines every fragment of a segment that has no lists yet.
    fn scan(segment: &'a Segment, open: &OpenIndex, query: &Query<'_>, from: Key) -> Self {
        let matches = |ordinal: &u16| {
            segment.key(*ordinal) <= from
                && query.admits(segment.record(*ordinal))
                && query.admits_terms(open, *ordinal)
        };
        let mut order: Vec<u16> = (0..segment.len()).filter(matches).collect();
        order.sort_unstable_by(|a, b| segment.key(*a).newest_first(&segment.key(*b)));
        Self {
            order: Cow::Owned(order),
            at: 0,
            lists: None,
        }
    }

    /// Returns the next rank, from `at`, that is in every list.
    fn candidate(&mut self) -> Option<usize> {
        common(self.lists.as_deref_mut().unwrap_or_default(), self.at)
    }
}

// === impl List ===

impl List<'_> {
    /// Returns its first rank that is at least `rank`. Calls must ascend.
    fn seek(&mut self, rank: usize) -> Option<usize> {
        let rest = self.ranks.get(self.at..)?;
        self.at += gallop(rest, |it| usize::from(*it) < rank);
        self.ranks.get(self.at).map(|it| usize::from(*it))
    }
}
