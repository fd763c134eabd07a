//! Finds the fragments of traces by id: in segments with filters and sorted hashes, in entries with their trace index.

use larder_plugin::{Error, Part};

use crate::cache::Value;
use crate::codec::Damaged;
use crate::entry::Entry;
use crate::frame::{Area, Fault, Kind};
use crate::handle::Handle;
use crate::index::CHUNK;
use crate::rows::Rows;
use crate::segment::Group;
use crate::store::{At, Keep, Store, Writer, lost};
use crate::table::Table;
use crate::traces::{self, Filter, WantedTrace};
use crate::view::View;

/// A lookup of more traces than this keeps what it reads out of the cache of the searches: it reads most of the store. Of so many some pass
/// the filter of almost any group, so it does not ask the filters.
const MANY: usize = 256;
/// Approximate bytes of a fragment in the lists of traces, in filters and in tables.
const FRAGMENT: u64 = 6;
const FRAGMENT_IN_FILTER: usize = 2;
const FRAGMENT_IN_TABLE: usize = 40;
/// The number of groups whose values are read ahead together, at first. Most lookups go through all groups; one of many traces whose parts
/// are read ends before, when it has enough.
const GROUPS_OF_FEW: usize = 128;
const GROUPS_OF_MANY: usize = 16;
/// How much that number grows each time, and its limit.
const GROWTH: usize = 4;
const MOST_GROUPS: usize = 256;

/// A lookup of traces. It goes through the fragments of all writers by ascending handle, so that each value is read once, and ends
/// where its caller has enough.
#[derive(Clone, Debug)]
pub(crate) struct Walk<'a> {
    /// Ascending by hash.
    wanted: &'a [WantedTrace],
    /// All fragments below this handle have been passed.
    next: Handle,
    /// The cache for lists of traces and filters, and that for tables.
    lists: Keep,
    tables: Keep,
    /// The part that the caller reads of each fragment, and the bytes of it for which there is room.
    part: Option<(Part, usize)>,
    /// The number of groups that are read ahead next.
    groups: usize,
    /// The walk only plans what to read: it passes over what is not in memory, in this many groups at most.
    planned: Option<usize>,
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
            part: None,
            groups: GROUPS_OF_FEW,
            planned: None,
        }
    }

    /// Reads ahead the blocks of this part too, for about as many bytes as the caller has room for.
    pub(crate) fn with(mut self, part: Part, room: usize) -> Self {
        self.part = Some((part, room));
        if self.wanted.len() > MANY {
            self.groups = GROUPS_OF_MANY;
        }
        self
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
        let mut planned = None;
        loop {
            store.begin_try();
            let walked = self.pass(store, views, &mut each);
            if !store.end_try() {
                return walked;
            }
            if planned == Some(self.next) {
                // What is missing here cannot be read ahead.
                return self.pass(store, views, &mut each);
            }
            planned = Some(self.next);
            self.read_ahead(store, views)?;
        }
    }

    /// Reads ahead what comes next, level by level: headers, filters, lists, tables, blocks.
    fn read_ahead(&mut self, store: &mut Store, views: &mut [View]) -> Result<(), Error> {
        store.begin_plan();
        loop {
            let mut plan = Self {
                planned: Some(self.groups),
                ..self.clone()
            };
            let mut part = self.part;
            // What cannot be read raises its error when the walk comes to it.
            let passed = plan.pass(store, views, &mut |store, it| {
                let Some((part, room)) = &mut part else {
                    return Ok(true);
                };
                let bytes = it.rows.expect(store, (*part, it.row));
                let has_room = bytes <= *room;
                *room = room.saturating_sub(bytes);
                Ok(has_room)
            });
            passed.ok();
            if !store.fetch()? {
                break;
            }
        }
        self.groups = (self.groups * GROWTH).min(MOST_GROUPS);
        Ok(())
    }

    fn pass(
        &mut self,
        store: &mut Store,
        views: &mut [View],
        each: &mut impl FnMut(&mut Store, &WantedFragment<'_>) -> Result<bool, Error>,
    ) -> Result<bool, Error> {
        let mut views: Vec<&mut View> = views.iter_mut().collect();
        views.sort_by_key(|it| it.writer.number);
        for view in views {
            if view.writer.number >= self.next.writer() && !self.of_view(store, view, each)? {
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
            let header = match view.header_from(store, &segment) {
                Err(_) if self.planned.is_some() => continue,
                header => header?,
            };
            for group in &header.groups {
                if group.end() <= self.next.fragment() {
                    continue;
                }
                let goes_on = self.of_group(store, &view.writer, (bucket, group), each);
                let goes_on = match goes_on {
                    Err(_) if self.passes_over() => true,
                    goes_on => goes_on?,
                };
                if !goes_on || self.ends_plan(store) {
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
            let rows = group.fragments.min(CHUNK) as usize;
            store.expect(writer, at, rows * FRAGMENT_IN_TABLE);
            let table = match read(store, self.tables, writer, at, Table::of) {
                Err(_) if self.planned.is_some() => continue,
                table => table?,
            };
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
                if !each(store, &found)? || self.ends_plan(store) {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// Called for what cannot be read. Returns true if the walk only plans, and then counts it as a group.
    fn passes_over(&mut self) -> bool {
        if let Some(groups) = &mut self.planned {
            *groups = groups.saturating_sub(1);
        }
        self.planned.is_some()
    }

    /// Returns true if the walk only plans, and the plan is large enough.
    fn ends_plan(&self, store: &Store) -> bool {
        self.planned
            .is_some_and(|groups| groups == 0 || store.is_full())
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
            store.expect(writer, at, group.fragments as usize * FRAGMENT_IN_FILTER);
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
        let bytes = u64::from(group.fragments) * FRAGMENT;
        store.expect(writer, at, usize::try_from(bytes).unwrap_or(usize::MAX));
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
    at: At,
    parse: impl FnOnce(&Value) -> Result<T, Damaged>,
) -> Result<T, Error> {
    let value = store.read_to(keep, writer, at)?;
    let (area, kind, number) = at;
    parse(&value).map_err(|Damaged| lost(writer, area, kind, number, Fault::Damaged))
}
