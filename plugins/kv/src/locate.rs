//! Finds the fragments of traces by id: in segments with filters and sorted hashes, in entries with their trace index.

use larder_plugin::Error;

use crate::cache::Value;
use crate::codec::Damaged;
use crate::entry::Entry;
use crate::frame::{Area, Fault, Kind};
use crate::handle::Handle;
use crate::index::CHUNK;
use crate::rows::Rows;
use crate::segment::Group;
use crate::store::{Keep, Store, Writer, lost};
use crate::table::Table;
use crate::traces::{self, Filter, WantedTrace};
use crate::view::View;

/// A lookup of more traces than this keeps what it reads out of the cache of the searches: it reads most of the store. Of so many some pass
/// the filter of almost any group, so it does not ask the filters.
const MANY: usize = 256;
/// Approximate bytes of a fragment in the lists of traces.
const FRAGMENT: u64 = 6;

/// A lookup of traces. It goes through the fragments of all writers by ascending handle, so that each value is read once, and ends
/// where its caller has enough.
#[derive(Debug)]
pub(crate) struct Walk<'a> {
    /// Ascending by hash.
    wanted: &'a [WantedTrace],
    /// All fragments below this handle have been passed.
    next: Handle,
    /// The cache for lists of traces and filters, and that for tables.
    lists: Keep,
    tables: Keep,
}

/// A fragment of a wanted trace.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WantedFragment<'a> {
    /// The index of its trace in the request.
    pub(crate) place: usize,
    pub(crate) handle: Handle,
    pub(crate) rows: Rows<'a>,
    /// Its row.
    pub(crate) row: u32,
}

// === impl Walk ===

impl<'a> Walk<'a> {
    /// Begins a walk at a handle. `wanted` ascends by hash.
    pub(crate) fn new(
        store: &Store,
        views: &[View],
        wanted: &'a [WantedTrace],
        next: Handle,
    ) -> Self {
        let is_large = wanted.len() > MANY;
        let segments = views.iter().flat_map(|it| &it.segments);
        let fragments = segments.map(|(_, it)| it.end.saturating_sub(it.first));
        let bytes = fragments.sum::<u64>().saturating_mul(FRAGMENT);
        let keep = |with_blocks| {
            if with_blocks {
                Keep::WithBlocks
            } else {
                Keep::ForSearches
            }
        };
        Self {
            wanted,
            next,
            lists: keep(is_large && !store.has_room_for(bytes)),
            tables: keep(is_large),
        }
    }

    /// Returns where the walk goes on after it has ended early.
    pub(crate) fn next(&self) -> Handle {
        self.next
    }

    /// Calls `each` with every fragment of the wanted traces, once for each time that its trace is wanted, until it returns false.
    /// Returns what it returned last. After an error the walk goes on with what could not be read.
    pub(crate) fn run(
        &mut self,
        store: &mut Store,
        views: &mut [View],
        mut each: impl FnMut(&mut Store, &WantedFragment<'_>) -> Result<bool, Error>,
    ) -> Result<bool, Error> {
        for view in views.iter() {
            view.check_lost()?;
        }
        let mut views: Vec<&mut View> = views.iter_mut().collect();
        views.sort_by_key(|it| it.writer.number);
        for view in views {
            if view.writer.number >= self.next.writer() && !self.of_view(store, view, &mut each)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn of_view(
        &mut self,
        store: &mut Store,
        view: &mut View,
        each: &mut impl FnMut(&mut Store, &WantedFragment<'_>) -> Result<bool, Error>,
    ) -> Result<bool, Error> {
        let first = self.reach(&view.writer, 0);
        let passed = view.segments.partition_point(|(_, it)| it.end <= first);
        for at in passed..view.segments.len() {
            let Some((bucket, segment)) = view.segments.get(at).copied() else {
                break;
            };
            self.reach(&view.writer, segment.first);
            let header = view.header(segment.number)?;
            for group in &header.groups {
                let is_passed = group.end() <= self.next.fragment();
                if !is_passed && !self.of_group(store, &view.writer, (bucket, group), each)? {
                    return Ok(false);
                }
            }
        }
        let first = self.next.fragment();
        let passed = view.entries.partition_point(|it| it.end() <= first);
        for entry in view.entries.range(passed..) {
            if !self.of_entry(store, &view.writer, entry, each)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn of_group(
        &mut self,
        store: &mut Store,
        writer: &Writer,
        (bucket, group): (u64, &Group),
        each: &mut impl FnMut(&mut Store, &WantedFragment<'_>) -> Result<bool, Error>,
    ) -> Result<bool, Error> {
        let first = self.reach(writer, group.first);
        let area = Area::Data(bucket);
        let candidates = self.candidates(store, writer, (bucket, group))?;
        let fragment = |ordinal: u32| group.first + u64::from(ordinal);
        let passed = candidates.partition_point(|(ordinal, _)| fragment(*ordinal) < first);
        let (_, candidates) = candidates.split_at(passed);
        for of_chunk in candidates.chunk_by(|(a, _), (b, _)| a / CHUNK == b / CHUNK) {
            let Some((first, _)) = of_chunk.first() else {
                continue;
            };
            self.reach(writer, fragment(*first));
            let Some(chunk) = group.chunks.get((first / CHUNK) as usize) else {
                let number = group.traces;
                return Err(lost(writer, area, Kind::Traces, number, Fault::Damaged));
            };
            let at = (area, Kind::Table, chunk.table);
            let table = read(store, self.tables, writer, at, Table::of)?;
            let rows = Rows::of_chunk(writer, bucket, (chunk.table, &table));
            for (ordinal, wanted) in of_chunk {
                let row = ordinal % CHUNK;
                if row >= table.len() || table.trace_id(row) != wanted.id || table.is_lost(row) {
                    continue;
                }
                self.reach(writer, fragment(*ordinal));
                let found = WantedFragment {
                    place: wanted.place,
                    handle: self.next,
                    rows,
                    row,
                };
                if !each(store, &found)? {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// Returns the fragments of a group that have the hash of a wanted trace, by ascending ordinal.
    fn candidates(
        &self,
        store: &mut Store,
        writer: &Writer,
        (bucket, group): (u64, &Group),
    ) -> Result<Vec<(u32, &'a WantedTrace)>, Error> {
        let area = Area::Data(bucket);
        let mut passing = Vec::new();
        let is_filtered = self.wanted.len() <= MANY;
        if is_filtered {
            let all = |value: &Value| {
                let filter = Filter::parse(value.payload())?;
                let all = self.wanted.iter().filter(|it| filter.may_have(it));
                Ok(all.collect::<Vec<_>>())
            };
            let at = (area, Kind::Filter, group.filter);
            passing = read(store, self.lists, writer, at, all)?;
            if passing.is_empty() {
                return Ok(Vec::new());
            }
        }
        let found = |value: &Value| {
            let mut found = Vec::new();
            if is_filtered {
                traces::find(value, &passing, |ordinal, it| found.push((ordinal, *it)))?;
            } else {
                traces::find(value, self.wanted, |ordinal, it| found.push((ordinal, it)))?;
            }
            Ok(found)
        };
        let at = (area, Kind::Traces, group.traces);
        let mut found = read(store, self.lists, writer, at, found)?;
        found.sort_unstable_by_key(|(ordinal, _)| *ordinal);
        Ok(found)
    }

    fn of_entry(
        &mut self,
        store: &mut Store,
        writer: &Writer,
        entry: &Entry,
        each: &mut impl FnMut(&mut Store, &WantedFragment<'_>) -> Result<bool, Error>,
    ) -> Result<bool, Error> {
        let first = self.reach(writer, entry.head.first);
        let mut found = Vec::new();
        entry.locate(self.wanted, |place, row| found.push((row, place)));
        found.sort_unstable();
        for (row, place) in found {
            let fragment = entry.head.first + u64::from(row);
            if fragment < first {
                continue;
            }
            self.reach(writer, fragment);
            let found = WantedFragment {
                place,
                handle: self.next,
                rows: Rows::of_entry(writer, entry),
                row,
            };
            if !each(store, &found)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Passes all before this fragment, unless the walk is further. Returns the number of the fragment where it is.
    fn reach(&mut self, writer: &Writer, fragment: u64) -> u64 {
        self.next = self.next.max(Handle::new(writer.number, fragment));
        self.next.fragment()
    }
}

/// Reads and parses a value.
fn read<T>(
    store: &mut Store,
    keep: Keep,
    writer: &Writer,
    (area, kind, number): (Area, Kind, u64),
    parse: impl FnOnce(&Value) -> Result<T, Damaged>,
) -> Result<T, Error> {
    let value = store.read_to(keep, writer, (area, kind, number))?;
    parse(&value).map_err(|Damaged| lost(writer, area, kind, number, Fault::Damaged))
}
