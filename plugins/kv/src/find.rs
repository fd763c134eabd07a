//! Search: merges the matches of all writers' entries and chunks, newest first, page by page.
//!
//! Matches are returned in the order of their [`Key`]s, and a page ends with the key to resume from. Segments, chunks and entries
//! wholly below that key have not been opened yet, and matches above it are skipped. Only those that span the key are opened twice.

mod ahead;
mod segment;

use std::collections::{BTreeMap, BinaryHeap};

use larder_plugin::{Error, Search, Sighting, Sightings, TraceId, resume};

use crate::bounds::Bounds;
use crate::engine::Engine;
use crate::entry::short;
use crate::handle::{Handle, Key};
use crate::index::{CHUNK, Chunks};
use crate::store::Store;
use crate::table::{Row, Table};
use crate::view::View;
use segment::{LookedUp, Opened};

pub(crate) use segment::read_table;

/// The most sightings on a page, whatever limit the host asks for.
const MAX_FOUND: u32 = 1 << 16;
/// The number of values read from `kv` by a lookup that count for a step.
const LOADS_PER_STEP: usize = 4;

/// A match, or a source of matches, with the newest key that it can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Item {
    key: Key,
    kind: ItemKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum ItemKind {
    Match(TraceId),
    /// A chunk of an opened segment.
    Chunk(usize, u32),
    /// An entry of a view.
    Entry(usize, usize),
    /// A segment of a view.
    Segment(usize, usize),
}

/// A page under construction.
struct SearchPage<'a> {
    store: &'a mut Store,
    views: &'a mut [View],
    search: &'a Search,
    clauses: Vec<Vec<u32>>,
    /// Start of this page: earlier pages returned all matches above it.
    from: Key,
    opened: Vec<Opened>,
    /// Segments that are open though they are still in the queue, by view and place, with the steps that they count for.
    opened_early: BTreeMap<(usize, usize), usize>,
    queue: BinaryHeap<Item>,
    /// The number of matches in the queue, and the most that the page returns.
    found: usize,
    limit: usize,
    /// The queue is trimmed when it holds this many matches more than twice the limit.
    spare: usize,
    /// The page needs no matches at or below this key, as it has enough above it.
    below: Option<Key>,
    steps: usize,
    /// The most steps that the values read by one lookup count for. The chunks that it finds have to be opened too: the next page would
    /// look up the same again.
    lookup_steps: usize,
    /// Copied from [`Shape::find_few`](crate::limits::Shape::find_few).
    few: usize,
    /// The number of further matches that the page has room for.
    left: usize,
    /// [`Store::loads`] before the current item was opened.
    loads: usize,
    /// The number of segments and chunks that are read ahead next.
    ahead: usize,
}

/// Returns one page of sightings. Raises `data-loss` if a value that the page needs cannot be read.
pub(crate) fn page(
    engine: &mut Engine,
    search: &Search,
    resume: Option<&[u8]>,
    limit: u32,
) -> Result<Sightings, Error> {
    let from = resume::decode(resume)?.map(|(end, number)| Key {
        end,
        handle: Handle::from_number(number),
    });
    let mut clauses: Vec<_> = search.clauses.iter().map(|it| shorts(it)).collect();
    // Entries are asked for the clauses that cost least first. Segments order them on their own, as each has other terms.
    clauses.sort_by_key(Vec::len);
    let mut page = SearchPage {
        store: &mut engine.store,
        views: &mut engine.views,
        search,
        clauses,
        from: from.unwrap_or(Key {
            end: u64::MAX,
            handle: Handle::from_number(u64::MAX),
        }),
        opened: Vec::new(),
        opened_early: BTreeMap::new(),
        queue: BinaryHeap::new(),
        found: 0,
        limit: limit.min(MAX_FOUND) as usize,
        spare: engine.shape.find_spare,
        below: None,
        steps: engine.shape.find_steps,
        lookup_steps: engine.shape.find_steps / 2,
        few: engine.shape.find_few,
        left: 0,
        loads: 0,
        ahead: ahead::FIRST,
    };
    page.store.begin_call();
    page.begin()?;
    page.run()
}

fn shorts(clause: &[u64]) -> Vec<u32> {
    let mut shorts: Vec<u32> = clause.iter().map(|term| short(*term)).collect();
    shorts.sort_unstable();
    shorts.dedup();
    shorts
}

// === impl SearchPage ===

impl SearchPage<'_> {
    /// Queues all segments and entries that can have a match.
    fn begin(&mut self) -> Result<(), Error> {
        for (at, view) in self.views.iter().enumerate() {
            view.check_lost()?;
            let writer = view.writer.number;
            for (place, (_, segment)) in view.segments.iter().enumerate() {
                let fragments = (segment.first, segment.end);
                if let Some(key) = self.newest(writer, &segment.bounds, fragments) {
                    let kind = ItemKind::Segment(at, place);
                    self.queue.push(Item { key, kind });
                }
            }
            for (place, entry) in view.entries.iter().enumerate() {
                let fragments = (entry.head.first, entry.end());
                if let Some(key) = self.newest(writer, &entry.bounds, fragments) {
                    let kind = ItemKind::Entry(at, place);
                    self.queue.push(Item { key, kind });
                }
            }
        }
        Ok(())
    }

    /// Returns an upper limit for the keys of matches within these bounds; `None` if no match there can be on this page.
    fn newest(&self, writer: u16, bounds: &Bounds, (first, end): (u64, u64)) -> Option<Key> {
        let oldest = Key::new(bounds.oldest, writer, first);
        if oldest > self.from || !bounds.overlap(&self.search.starts, &self.search.durations) {
            return None;
        }
        Some(Key::new(bounds.starts.end, writer, end.saturating_sub(1)))
    }

    /// Takes the newest item from the queue until the page is full or its budget of steps is spent.
    fn run(mut self) -> Result<Sightings, Error> {
        let mut page = Sightings {
            found: Vec::new(),
            floor: 0,
            resume: None,
        };
        let (mut last, mut end) = (None::<Key>, None);
        while let Some(item) = self.queue.pop() {
            let key = item.key;
            if let ItemKind::Match(trace_id) = item.kind
                && page.found.len() < self.limit
            {
                last = Some(key);
                page.found.push(Sighting {
                    trace_id,
                    newest: key.end.min(self.search.starts.end),
                    fragment: Some(key.handle.number()),
                });
                continue;
            }
            // Items that reach above the start of the page are opened in any case, or no page would make progress.
            let spent = self.steps == 0 && key < self.from;
            let full = page.found.len() >= self.limit;
            self.left = self.limit.saturating_sub(page.found.len());
            let worked = if spent || full {
                Ok(false)
            } else {
                self.open_with_next(item).map(|()| true)
            };
            match worked {
                Ok(true) => continue,
                Ok(false) => {}
                // Return the matches so far first; the next page raises the error.
                Err(_) if !page.found.is_empty() => {}
                Err(error) => return Err(error),
            }
            end = Some(key.min(self.from));
            break;
        }
        // Dropped matches are below everything that was returned.
        let rest = self.below.and(last).and_then(Key::before);
        if let Some(key) = rest.or(end) {
            page.floor = key.end.min(self.search.starts.end);
            page.resume = Some(resume::encode((key.end, key.handle.number())));
        }
        Ok(page)
    }

    /// Opens an item. If something of it is not in memory, that is read together with what the next items need.
    fn open_with_next(&mut self, item: Item) -> Result<(), Error> {
        self.loads = self.store.loads;
        self.store.begin_try();
        let opened = self.open(item.kind);
        if !self.store.end_try() {
            return opened;
        }
        self.read_ahead(item)?;
        self.loads = self.store.loads;
        self.open(item.kind)
    }

    fn open(&mut self, kind: ItemKind) -> Result<(), Error> {
        match kind {
            ItemKind::Match(_) => Ok(()),
            ItemKind::Entry(view, place) => {
                self.open_entry(view, place);
                Ok(())
            }
            ItemKind::Segment(view, place) => {
                let steps = match self.opened_early.remove(&(view, place)) {
                    Some(steps) => steps,
                    None => self.open_segment(view, place)?,
                };
                self.steps = self.steps.saturating_sub(steps);
                Ok(())
            }
            ItemKind::Chunk(opened, chunk) => self.open_chunk(opened, chunk),
        }
    }

    fn open_entry(&mut self, view: usize, place: usize) {
        let Some(view) = self.views.get(view) else {
            return;
        };
        let Some(entry) = view.entries.get(place) else {
            return;
        };
        let writer = view.writer.number;
        let mut matches = Vec::new();
        for row in entry.admitted(&self.clauses) {
            let fragment = entry.head.first + u64::from(row);
            let key = Key::new(0, writer, fragment);
            matches.extend(self.found(&entry.table, row, key));
        }
        self.steps = self.steps.saturating_sub(1);
        for item in matches {
            self.push(item);
        }
    }

    /// Returns the steps that the lookup in a segment counts for, if it reads this many values.
    fn steps_of(&self, loads: usize) -> usize {
        1 + self.clauses.len() + (loads / LOADS_PER_STEP).min(self.lookup_steps)
    }

    /// Opens a segment. Returns the steps that this counts for.
    fn open_segment(&mut self, at: usize, place: usize) -> Result<usize, Error> {
        let looked_up = self.look_up(at, place)?;
        let steps = self.steps_of(self.store.loads - self.loads);
        let (opened, keys) = match looked_up {
            LookedUp::Beside => return Ok(1),
            LookedUp::Nothing => return Ok(steps),
            LookedUp::Found(opened, keys) => (opened, keys),
        };
        let number = self.opened.len();
        let item = |chunk: u32| {
            let kind = ItemKind::Chunk(number, chunk);
            let key = *keys.get(chunk as usize)?;
            key.map(|key| Item { key, kind })
        };
        match opened.postings.chunks() {
            Chunks::All => {
                let chunks = 0..opened.header.chunks();
                self.queue.extend(chunks.filter_map(item));
            }
            Chunks::These(chunks) => self.queue.extend(chunks.into_iter().filter_map(item)),
        }
        self.opened.push(*opened);
        Ok(steps)
    }

    fn open_chunk(&mut self, at: usize, number: u32) -> Result<(), Error> {
        let Some((places, table)) = self.rows_of(at, number)? else {
            self.steps = self.steps.saturating_sub(1);
            return Ok(());
        };
        self.steps = self.steps.saturating_sub(1);
        let Some(opened) = self.opened.get(at) else {
            return Ok(());
        };
        let Some((group, _)) = opened.header.chunk(number) else {
            return Ok(());
        };
        let first = group.first + u64::from(number - group.chunk) * u64::from(CHUNK);
        let writer = self.views.get(opened.view).map_or(0, |it| it.writer.number);
        for (word, bits) in (0_u32..).zip(places) {
            let mut bits = bits;
            while bits != 0 {
                let row = word * 64 + bits.trailing_zeros();
                bits &= bits - 1;
                if row >= table.len() {
                    break;
                }
                if table.is_lost(row) {
                    continue;
                }
                let key = Key::new(0, writer, first + u64::from(row));
                if let Some(item) = self.found(&table, row, key) {
                    self.push(item);
                }
            }
        }
        Ok(())
    }

    /// Queues a match, unless the page has enough matches above it.
    fn push(&mut self, item: Item) {
        if self.below.is_some_and(|below| item.key <= below) {
            return;
        }
        self.queue.push(item);
        self.found += 1;
        if self.found < 2 * self.limit + self.spare {
            return;
        }
        let is_match = |item: &Item| matches!(item.kind, ItemKind::Match(_));
        let all = std::mem::take(&mut self.queue).into_vec();
        let (mut matches, others): (Vec<Item>, Vec<Item>) = all.into_iter().partition(is_match);
        if matches.len() > self.limit {
            let (_, below, _) = matches.select_nth_unstable_by(self.limit, |a, b| b.cmp(a));
            self.below = Some(below.key);
            matches.truncate(self.limit);
        }
        self.found = matches.len();
        self.queue.extend(others);
        self.queue.extend(matches);
    }

    /// Checks a row against everything but its terms; `None` if it does not match or was already returned. `key` has its handle.
    #[inline]
    fn found(&self, table: &Table, row: u32, mut key: Key) -> Option<Item> {
        key.end = table.end(row);
        if key > self.from || key.end < self.search.starts.start {
            return None;
        }
        let it: Row = table.row(row)?;
        let admitted = self.search.starts.overlaps(&it.starts)
            && self.search.durations.overlaps(&it.durations);
        admitted.then_some(Item {
            key,
            kind: ItemKind::Match(it.trace_id),
        })
    }
}
