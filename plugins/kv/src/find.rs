//! Searching: the newest matches of all writers' entries and chunks, merged, page by page.
//!
//! Matches are given in the order of their [`Key`]s, and a page ends with the key to go on from. What lies wholly below that key
//! has not been looked at, and what lies above it is passed over; only what lies on both sides is opened again.

use std::cmp::Reverse;
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

/// The most sightings on a page, whatever the host asks for.
const MAX_FOUND: u32 = 1 << 16;

/// What has to be looked at, or is found, with the newest key that it can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Item {
    key: Key,
    what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Found(TraceId),
    /// A chunk of an opened segment.
    Chunk(usize, u32),
    /// A view's entry.
    Entry(usize, usize),
    /// A view's segment.
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

/// A page in the making.
struct Page<'a> {
    store: &'a mut Store,
    views: &'a mut [View],
    search: &'a Search,
    clauses: Vec<Vec<u32>>,
    /// Where the page before ended: nothing above it is given again.
    from: Key,
    opened: Vec<Opened>,
    queue: BinaryHeap<Item>,
    /// How many matches are in the queue at the most, and how many of them the page can give.
    found: usize,
    limit: usize,
    /// How many more than twice that are kept before the last ones are left out.
    spare: usize,
    /// What is not above this is not given on this page, as there are enough matches that are.
    below: Option<Key>,
    steps: usize,
    /// See [`Shape::find_few`](crate::limits::Shape::find_few).
    few: usize,
}

/// One page of sightings. Raises `data-loss` where something cannot be read that it cannot do without.
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
    engine.follow()?;
    let mut clauses: Vec<_> = search.clauses.iter().map(|it| shorts(it)).collect();
    // What is asked for at several levels is likely rarer than a service: where it is not, the service is not looked for.
    clauses.sort_by_key(|clause| Reverse(clause.len()));
    let mut page = Page {
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

// === impl Page ===

impl Page<'_> {
    /// Queues what may hold a match.
    fn begin(&mut self) -> Result<(), Error> {
        for (at, view) in self.views.iter().enumerate() {
            view.check_lost()?;
            let writer = view.writer.number;
            for (place, (_, segment)) in view.segments.iter().enumerate() {
                let fragments = (segment.first, segment.end);
                if let Some(key) = self.newest(writer, &segment.bounds, fragments) {
                    let what = What::Segment(at, place);
                    self.queue.push(Item { key, what });
                }
            }
            for (place, entry) in view.entries.iter().enumerate() {
                let fragments = (entry.head.first, entry.end());
                if let Some(key) = self.newest(writer, &entry.bounds, fragments) {
                    let what = What::Entry(at, place);
                    self.queue.push(Item { key, what });
                }
            }
        }
        Ok(())
    }

    /// A key that no match within these bounds is above; none if there can be no match that has not been given.
    fn newest(&self, writer: u16, bounds: &Bounds, (first, end): (u64, u64)) -> Option<Key> {
        let oldest = Key::new(bounds.oldest, writer, first);
        if oldest > self.from || !bounds.overlap(&self.search.starts, &self.search.durations) {
            return None;
        }
        Some(Key::new(bounds.starts.end, writer, end.saturating_sub(1)))
    }

    /// Takes out of the queue what is newest, until the page is full or there has been enough work.
    fn run(mut self) -> Result<Sightings, Error> {
        let mut page = Sightings {
            found: Vec::new(),
            floor: 0,
            resume: None,
        };
        let (mut last, mut end) = (None::<Key>, None);
        while let Some(item) = self.queue.pop() {
            let key = item.key;
            if let What::Found(trace_id) = item.what
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
            // What is above where the page began is looked at whatever it costs: or no page would get any further.
            let spent = self.steps == 0 && key < self.from;
            let full = page.found.len() >= self.limit;
            let worked = if spent || full {
                Ok(false)
            } else {
                self.open(item.what).map(|()| true)
            };
            match worked {
                Ok(true) => continue,
                Ok(false) => {}
                // What was found before is given first.
                Err(_) if !page.found.is_empty() => {}
                Err(error) => return Err(error),
            }
            end = Some(key.min(self.from));
            break;
        }
        // A match that was left out is below all that was given.
        let rest = self.below.and(last).and_then(Key::before);
        if let Some(key) = rest.or(end) {
            page.floor = key.end.min(self.search.starts.end);
            page.resume = Some(resume::encode((key.end, key.handle.number())));
        }
        Ok(page)
    }

    fn open(&mut self, what: What) -> Result<(), Error> {
        match what {
            What::Found(_) => Ok(()),
            What::Entry(view, place) => {
                self.open_entry(view, place);
                Ok(())
            }
            What::Segment(view, place) => self.open_segment(view, place),
            What::Chunk(opened, chunk) => self.open_chunk(opened, chunk),
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
        self.steps = self.steps.saturating_sub(1 + self.clauses.len());
        let writer = &view.writer;
        let looked_up = Postings::look_up(
            self.store,
            writer,
            (&segment, &header),
            (&self.clauses, self.few),
        );
        let Some(postings) = looked_up? else {
            return Ok(());
        };
        let number = writer.number;
        let opened = self.opened.len();
        let mut push = |chunk: u32| {
            let Some((group, it)) = header.chunk(chunk) else {
                return;
            };
            let first = group.first + u64::from(chunk - group.chunk) * u64::from(CHUNK);
            let end = group.end().min(first + u64::from(CHUNK));
            if let Some(key) = self.newest(number, &it.bounds, (first, end)) {
                let what = What::Chunk(opened, chunk);
                self.queue.push(Item { key, what });
            }
        };
        match postings.chunks() {
            Chunks::All => (0..header.chunks()).for_each(&mut push),
            Chunks::These(chunks) => chunks.into_iter().for_each(&mut push),
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
                let key = Key::new(0, writer, first + u64::from(row));
                if let Some(item) = self.found(&table, row, key) {
                    self.push(item);
                }
            }
        }
        Ok(())
    }

    /// Queues a match, if it can be one of those that the page gives.
    fn push(&mut self, item: Item) {
        if self.below.is_some_and(|below| item.key <= below) {
            return;
        }
        self.queue.push(item);
        self.found += 1;
        if self.found < 2 * self.limit + self.spare {
            return;
        }
        let is_match = |item: &Item| matches!(item.what, What::Found(_));
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

    /// A match by all but its terms that has not been given yet; `key` has its handle.
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
            what: What::Found(it.trace_id),
        })
    }
}

/// A chunk's table.
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
