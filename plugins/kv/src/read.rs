//! Reads the parts of requested fragments, page by page.
//!
//! A page ends with the position of the next fragment. Fragments that retention drops between two pages are skipped.

use larder_plugin::resume::{self, Position};
use larder_plugin::{Error, Part, Piece, Pieces, TraceId, Wanted};

use crate::blocks;
use crate::cache::Value;
use crate::engine::Engine;
use crate::entry::Entry;
use crate::find::read_table;
use crate::frame::{Area, Fault, Kind};
use crate::handle::Handle;
use crate::index::CHUNK;
use crate::locate::locate;
use crate::store::{Store, lost};
use crate::table::Table;
use crate::view::View;

/// The most bytes on a page, whatever the host asks for.
const MAX_BYTES: usize = 8 << 20;
/// Overhead of a piece besides its bytes.
const PIECE: usize = size_of::<Piece>();
/// The number of traces looked up at a time when reading spans: a page rarely holds more.
const TRACES: usize = 64;

/// A page under construction.
struct ReadPage {
    pieces: Vec<Piece>,
    bytes: usize,
    max_bytes: usize,
    /// The table that was read last.
    table: Option<(ValueId, Table)>,
    /// The block that was read last.
    block: Option<(ValueId, Value)>,
}

/// A writer's number, and the number of one of its values.
type ValueId = (u16, u64);

/// Returns one page, resuming where the previous page ended. Raises `data-loss` for values that cannot be read.
pub(crate) fn page(
    engine: &mut Engine,
    wanted: &Wanted,
    part: Part,
    resume: Option<&[u8]>,
    max_bytes: u32,
) -> Result<Pieces, Error> {
    let from = resume::decode(resume)?;
    engine.follow()?;
    let mut page = ReadPage {
        pieces: Vec::new(),
        bytes: 0,
        max_bytes: MAX_BYTES.min(max_bytes as usize),
        table: None,
        block: None,
    };
    let (store, views) = (&mut engine.store, engine.views.as_mut_slice());
    let next = match (wanted, part) {
        (Wanted::Fragments(handles), _) => page.fragments(store, views, handles, part, from)?,
        (Wanted::Traces(ids), Part::Digest) => page.digests(store, views, ids, from)?,
        (Wanted::Traces(ids), Part::Otlp) => page.traces(store, views, ids, from)?,
    };
    Ok(Pieces {
        pieces: page.pieces,
        resume: next.map(resume::encode),
    })
}

// === impl ReadPage ===

impl ReadPage {
    /// Reads fragments in the order requested. Returns the position of the next page.
    fn fragments(
        &mut self,
        store: &mut Store,
        views: &mut [View],
        handles: &[u64],
        part: Part,
        from: Option<Position>,
    ) -> Result<Option<Position>, Error> {
        let start = from.map_or(0, |(place, _)| usize::try_from(place).unwrap_or(usize::MAX));
        for (place, number) in (start..).zip(handles.get(start..).unwrap_or_default()) {
            let handle = Handle::from_number(*number);
            if !self.add(store, views, handle, part)? {
                return Ok(Some((place as u64, 0)));
            }
        }
        Ok(None)
    }

    /// Reads digests in the order written, across traces, so that each block is read once.
    fn digests(
        &mut self,
        store: &mut Store,
        views: &mut [View],
        ids: &[TraceId],
        from: Option<Position>,
    ) -> Result<Option<Position>, Error> {
        let located = locate(store, views, ids)?;
        let handles = located.into_iter().map(|(_, handle)| handle);
        let mut handles: Vec<Handle> = handles
            .filter(|it| from.is_none_or(|(_, from)| it.number() >= from))
            .collect();
        handles.sort_unstable();
        handles.dedup();
        for handle in handles {
            if !self.add(store, views, handle, Part::Digest)? {
                return Ok(Some((0, handle.number())));
            }
        }
        Ok(None)
    }

    /// Reads spans trace by trace, each in the order written.
    fn traces(
        &mut self,
        store: &mut Store,
        views: &mut [View],
        ids: &[TraceId],
        from: Option<Position>,
    ) -> Result<Option<Position>, Error> {
        let (start, first) = from.unwrap_or((0, 0));
        let mut start = usize::try_from(start).unwrap_or(usize::MAX);
        let mut first = Some(first);
        while let Some(rest) = ids.get(start..).filter(|rest| !rest.is_empty()) {
            let some = rest.get(..TRACES).unwrap_or(rest);
            let mut located = locate(store, views, some)?;
            located.sort_unstable();
            let first = first.take().unwrap_or(0);
            for (place, handle) in located {
                if place == 0 && handle.number() < first {
                    continue;
                }
                if !self.add(store, views, handle, Part::Otlp)? {
                    return Ok(Some(((start + place) as u64, handle.number())));
                }
            }
            start += some.len();
        }
        Ok(None)
    }

    /// Adds a fragment's part, if it is still stored. Returns false if the page has no room for it.
    fn add(
        &mut self,
        store: &mut Store,
        views: &mut [View],
        handle: Handle,
        part: Part,
    ) -> Result<bool, Error> {
        match self.piece(store, views, handle, part) {
            Ok(added) => Ok(added),
            // Return the pieces so far first; the next page raises the error.
            Err(_) if !self.pieces.is_empty() => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn piece(
        &mut self,
        store: &mut Store,
        views: &mut [View],
        handle: Handle,
        part: Part,
    ) -> Result<bool, Error> {
        let fragment = handle.fragment();
        let mut views = views.iter_mut();
        let Some(view) = views.find(|it| it.writer.number == handle.writer()) else {
            return Ok(true);
        };
        if let Some(entry) = view.entry_of(fragment) {
            return self.of_entry(store, view, entry, (handle, part));
        }
        let Some((bucket, segment)) = view.segment_of(fragment) else {
            return Ok(true);
        };
        let header = view.header(segment.number)?;
        let Some(group) = header.group_of(fragment) else {
            return Ok(true);
        };
        let ordinal = u32::try_from(fragment - group.first).unwrap_or(u32::MAX);
        let Some(chunk) = group.chunks.get((ordinal / CHUNK) as usize) else {
            return Ok(true);
        };
        let of = (view.writer.number, chunk.table);
        if self.table.as_ref().is_none_or(|(last, _)| *last != of) {
            let table = read_table(store, view, bucket, chunk.table)?;
            self.table = Some((of, table));
        }
        let Some((_, table)) = self.table.take() else {
            return Ok(true);
        };
        let area = Area::Data(bucket);
        let damaged = || lost(&view.writer, area, Kind::Table, of.1, Fault::Damaged);
        let row = ordinal % CHUNK;
        if table.is_lost(row) {
            self.table = Some((of, table));
            return Ok(true);
        }
        let added = self.of_table(store, (view, bucket), (&table, row, &[]), (handle, part));
        self.table = Some((of, table));
        added?.ok_or_else(damaged)
    }

    fn of_entry(
        &mut self,
        store: &mut Store,
        view: &View,
        entry: &Entry,
        (handle, part): (Handle, Part),
    ) -> Result<bool, Error> {
        let row = u32::try_from(handle.fragment() - entry.head.first).unwrap_or(u32::MAX);
        let table = (&entry.table, row, entry.inline(part));
        let added = self.of_table(store, (view, entry.head.bucket), table, (handle, part))?;
        let area = entry.area.map_or(Area::Head, Area::Entries);
        added.ok_or_else(|| {
            lost(
                &view.writer,
                area,
                Kind::Entry,
                entry.sequence,
                Fault::Damaged,
            )
        })
    }

    /// Adds the part of a table's row; its bytes are in a block or in `inline`. `None` if the table is damaged.
    fn of_table(
        &mut self,
        store: &mut Store,
        (view, bucket): (&View, u64),
        (table, row, inline): (&Table, u32, &[u8]),
        (handle, part): (Handle, Part),
    ) -> Result<Option<bool>, Error> {
        let Some(place) = table.place(part, row) else {
            return Ok(None);
        };
        let trace_id = table.trace_id(row);
        if !self.has_room(place.len as usize) {
            return Ok(Some(false));
        }
        let value;
        let block = if place.block == 0 {
            inline
        } else {
            value = self.read_block(store, view, bucket, (part, place.block))?;
            value.payload()
        };
        let Some(bytes) = block.get(place.range()) else {
            return Ok(None);
        };
        self.bytes += bytes.len() + PIECE;
        self.pieces.push(Piece {
            trace_id,
            fragment: handle.number(),
            bytes: bytes.to_vec(),
            dropped_spans: 0,
        });
        Ok(Some(true))
    }

    fn has_room(&self, bytes: usize) -> bool {
        self.pieces.is_empty() || self.bytes + bytes <= self.max_bytes
    }

    fn read_block(
        &mut self,
        store: &mut Store,
        view: &View,
        bucket: u64,
        (part, number): (Part, u64),
    ) -> Result<Value, Error> {
        let of = (view.writer.number, number);
        if let Some((last, value)) = &self.block
            && *last == of
        {
            return Ok(value.clone());
        }
        let kind = blocks::kind_of(part);
        let value = store.read(&view.writer, Area::Data(bucket), kind, number)?;
        self.block = Some((of, value.clone()));
        Ok(value)
    }
}
