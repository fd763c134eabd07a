//! Search: merges the matches of all writers' entries and chunks, newest first, page by page.
//!
//! Matches are returned in the order of their [`Key`]s, and a page ends with the key to resume from. Segments, chunks and entries
//! wholly below that key have not been opened yet, and matches above it are skipped. Only those that span the key are opened twice.

use std::collections::BinaryHeap;
use std::rc::Rc;

use larder_plugin::{Error, Search, Sighting, Sightings, TraceId, resume};

use crate::bounds::Bounds;
use crate::engine::Engine;
use crate::entry::short;
use crate::frame::{Area, Fault, Kind};
use crate::handle::{Handle, Key};
use crate::index::{CHUNK, Chunks, Postings};
use crate::segment::{Header, Segment};
use crate::store::{Store, lost};
use crate::table::{Row, Table};
use crate::view::View;

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

/// A segment that is being searched.
struct Opened {
    view: usize,
    bucket: u64,
    segment: Segment,
    header: Rc<Header>,
    postings: Postings,
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
        queue: BinaryHeap::new(),
        found: 0,
        limit: limit.min(MAX_FOUND) as usize,
        spare: engine.shape.find_spare,
        below: None,
        steps: engine.shape.find_steps,
        lookup_steps: engine.shape.find_steps / 2,
        few: engine.shape.find_few,
    };
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
            let worked = if spent || full {
                Ok(false)
            } else {
                self.open(item.kind).map(|()| true)
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

    fn open(&mut self, kind: ItemKind) -> Result<(), Error> {
        match kind {
            ItemKind::Match(_) => Ok(()),
            ItemKind::Entry(view, place) => {
                self.open_entry(view, place);
                Ok(())
            }
            ItemKind::Segment(view, place) => self.open_segment(view, place),
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

    fn open_segment(&mut self, at: usize, place: usize) -> Result<(), Error> {
        let Some(view) = self.views.get_mut(at) else {
            return Ok(());
        };
        let Some((bucket, segment)) = view.segments.get(place).copied() else {
            return Ok(());
        };
        let header = view.header(segment.number)?;
        let keys = self.chunk_keys(at, &header);
        let key = |chunk: u32| *keys.get(chunk as usize)?;
        let Some(view) = self
            .views
            .get(at)
            .filter(|_| keys.iter().any(Option::is_some))
        else {
            self.steps = self.steps.saturating_sub(1);
            return Ok(());
        };
        let loads = self.store.loads;
        let looked_up = Postings::look_up(
            self.store,
            &view.writer,
            (&segment, &header),
            (&self.clauses, self.few),
            |chunk| key(chunk).is_some(),
        );
        let loads = (self.store.loads - loads) / LOADS_PER_STEP;
        let steps = 1 + self.clauses.len() + loads.min(self.lookup_steps);
        self.steps = self.steps.saturating_sub(steps);
        let Some(postings) = looked_up? else {
            return Ok(());
        };
        let opened = self.opened.len();
        let item = |chunk| {
            let kind = ItemKind::Chunk(opened, chunk);
            key(chunk).map(|key| Item { key, kind })
        };
        match postings.chunks() {
            Chunks::All => self.queue.extend((0..header.chunks()).filter_map(item)),
            Chunks::These(chunks) => self.queue.extend(chunks.into_iter().filter_map(item)),
        }
        self.opened.push(Opened {
            view: at,
            bucket,
            segment,
            header,
            postings,
        });
        Ok(())
    }

    /// Returns what [`SearchPage::newest`] does for each chunk of a segment of this view.
    fn chunk_keys(&self, view: usize, header: &Header) -> Vec<Option<Key>> {
        let writer = self.views.get(view).map_or(0, |it| it.writer.number);
        let mut keys = Vec::with_capacity(header.chunks() as usize);
        for group in &header.groups {
            let mut first = group.first;
            for chunk in &group.chunks {
                let end = group.end().min(first + u64::from(CHUNK));
                keys.push(self.newest(writer, &chunk.bounds, (first, end)));
                first = end;
            }
        }
        keys
    }

    fn open_chunk(&mut self, at: usize, number: u32) -> Result<(), Error> {
        let Some(opened) = self.opened.get_mut(at) else {
            return Ok(());
        };
        let Some(view) = self.views.get(opened.view) else {
            return Ok(());
        };
        let writer = &view.writer;
        let places = opened.postings.places(self.store, writer, number)?;
        self.steps = self.steps.saturating_sub(1);
        if places == [0; 16] {
            return Ok(());
        }
        let Some((group, chunk)) = opened.header.chunk(number) else {
            let area = Area::Index(opened.segment.number);
            return Err(lost(writer, area, Kind::Header, 0, Fault::Damaged));
        };
        let table = read_table(self.store, view, opened.bucket, chunk.table)?;
        let first = group.first + u64::from(number - group.chunk) * u64::from(CHUNK);
        let writer = writer.number;
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

/// Reads a chunk's table.
pub(crate) fn read_table(
    store: &mut Store,
    view: &View,
    bucket: u64,
    number: u64,
) -> Result<Table, Error> {
    let area = Area::Data(bucket);
    let value = store.read(&view.writer, area, Kind::Table, number)?;
    Table::of(&value).map_err(|_| lost(&view.writer, area, Kind::Table, number, Fault::Damaged))
}
