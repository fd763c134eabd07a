//! Reads the parts of requested fragments, page by page.
//!
//! A page ends with the position of the next fragment. Fragments that retention drops between two pages are skipped.

use larder_plugin::resume::{self, Position};
use larder_plugin::{Error, Part, Piece, Pieces, TraceId, Wanted};

use crate::blocks;
use crate::cache::Value;
use crate::engine::Engine;
use crate::frame::Area;
use crate::handle::Handle;
use crate::locate::Walk;
use crate::rows::{OpenChunk, Rows};
use crate::store::{Store, Writer};
use crate::traces::WantedTrace;
use crate::view::View;

/// The most bytes on a page, whatever the host asks for.
const MAX_BYTES: usize = 8 << 20;
/// Overhead of a piece besides its bytes.
const PIECE: usize = size_of::<Piece>();
/// The number of traces that are looked up together when reading spans, at first, and its limit. After these it is known how many the
/// page has room for.
const TRACES: usize = 64;
const MOST_TRACES: usize = 1024;

/// A page under construction.
struct ReadPage {
    pieces: Vec<Piece>,
    bytes: usize,
    max_bytes: usize,
    /// The chunk from which a fragment was last read by its handle.
    chunk: Option<OpenChunk>,
    /// The block that was read last.
    block: Option<(BlockId, Value)>,
}

/// A writer's number, and the number of one of its blocks.
type BlockId = (u16, u64);

/// Returns one page, resuming where the previous page ended. Raises `data-loss` for values that cannot be read.
pub(crate) fn page(
    engine: &mut Engine,
    wanted: &Wanted,
    part: Part,
    resume: Option<&[u8]>,
    max_bytes: u32,
) -> Result<Pieces, Error> {
    let from = resume::decode(resume)?;
    let mut page = ReadPage {
        pieces: Vec::new(),
        bytes: 0,
        max_bytes: MAX_BYTES.min(max_bytes as usize),
        chunk: None,
        block: None,
    };
    let (store, views) = (&mut engine.store, engine.views.as_mut_slice());
    store.begin_call();
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

/// Calls `call` with the rows of a fragment's chunk or entry, and with its row; returns `None` if it is no longer stored. `chunk` is the
/// one that was opened last.
fn of_handle<R>(
    chunk: &mut Option<OpenChunk>,
    store: &mut Store,
    views: &mut [View],
    handle: Handle,
    call: impl FnOnce(&mut Store, Rows<'_>, u32) -> R,
) -> Result<Option<R>, Error> {
    let is_open = chunk.as_ref().is_some_and(|it| it.row_of(handle).is_some());
    if !is_open {
        let mut views = views.iter_mut();
        let Some(view) = views.find(|it| it.writer.number == handle.writer()) else {
            return Ok(None);
        };
        if let Some(entry) = view.entry_of(handle.fragment()) {
            let row = handle.fragment() - entry.head.first;
            let row = u32::try_from(row).unwrap_or(u32::MAX);
            return Ok(Some(call(store, Rows::of_entry(&view.writer, entry), row)));
        }
        *chunk = OpenChunk::with(handle, store, view)?;
    }
    let Some(chunk) = chunk else {
        return Ok(None);
    };
    let row = chunk.row_of(handle).unwrap_or(u32::MAX);
    let rows = chunk.rows();
    if rows.table.is_lost(row) {
        return Ok(None);
    }
    Ok(Some(call(store, rows, row)))
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
        let handles = handles.get(start..).unwrap_or_default().iter();
        let handles: Vec<Handle> = handles.map(|it| Handle::from_number(*it)).collect();
        let end = self.add_all(store, views, &handles, part)?;
        Ok(end.map(|end| ((start + end) as u64, 0)))
    }

    /// Reads digests in the order written, across traces, so that each value is read once.
    fn digests(
        &mut self,
        store: &mut Store,
        views: &mut [View],
        ids: &[TraceId],
        from: Option<Position>,
    ) -> Result<Option<Position>, Error> {
        let mut wanted = WantedTrace::all(ids);
        wanted.dedup_by_key(|it| it.id);
        let first = from.map_or(0, |(_, first)| first);
        let next = self.walk(store, views, (&wanted, first), Part::Digest)?;
        Ok(next.map(|next| (0, next)))
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
        let (mut first, mut count) = (Some(first), TRACES);
        while let Some(rest) = ids.get(start..).filter(|rest| !rest.is_empty()) {
            let some = rest.get(..count).unwrap_or(rest);
            let wanted = WantedTrace::all(some);
            let first = first.take().unwrap_or(0);
            if let [_] = some {
                let next = self.walk(store, views, (&wanted, first), Part::Otlp)?;
                return Ok(next.map(|next| (start as u64, next)));
            }
            let mut located = Vec::new();
            let mut walk = Walk::new(store, views, &wanted, Handle::from_number(0));
            let walked = walk.run(store, views, |_, it| {
                located.push((it.place, it.handle));
                Ok(true)
            });
            if !self.or_end(walked)? {
                return Ok(Some((start as u64, 0)));
            }
            located.retain(|(place, handle)| *place > 0 || handle.number() >= first);
            located.sort_unstable();
            let handles: Vec<Handle> = located.iter().map(|(_, handle)| *handle).collect();
            let before = self.bytes;
            let end = self.add_all(store, views, &handles, Part::Otlp)?;
            if let Some((place, handle)) = end.and_then(|end| located.get(end)) {
                return Ok(Some(((start + place) as u64, handle.number())));
            }
            start += some.len();
            let a_trace = (self.bytes - before) / some.len();
            count = (self.room() / a_trace.max(1)).clamp(TRACES, MOST_TRACES);
        }
        Ok(None)
    }

    /// Reads a part of all fragments of these traces in the order written, from the handle `first` on. Returns the handle that the next
    /// page begins with. `wanted` ascends by hash.
    fn walk(
        &mut self,
        store: &mut Store,
        views: &mut [View],
        (wanted, first): (&[WantedTrace], u64),
        part: Part,
    ) -> Result<Option<u64>, Error> {
        let walk = Walk::new(store, views, wanted, Handle::from_number(first));
        let mut walk = walk.with(part, self.room());
        let walked = walk.run(store, views, |store, it| {
            self.add_row(store, it.rows, (it.row, it.handle), part)
        });
        let is_whole = self.or_end(walked)?;
        Ok((!is_whole).then(|| walk.next().number()))
    }

    /// Adds a part of these fragments, in their order, unless they are no longer stored. Returns the index of the first for which the page
    /// has no room.
    fn add_all(
        &mut self,
        store: &mut Store,
        views: &mut [View],
        handles: &[Handle],
        part: Part,
    ) -> Result<Option<usize>, Error> {
        for at in 0..handles.len() {
            let rest = handles.get(at..).unwrap_or_default();
            let added = self.add_first(store, views, rest, part);
            if !self.or_end(added)? {
                return Ok(Some(at));
            }
        }
        Ok(None)
    }

    /// Adds a part of the first of these fragments. What that reads is read together with what the others need.
    fn add_first(
        &mut self,
        store: &mut Store,
        views: &mut [View],
        handles: &[Handle],
        part: Part,
    ) -> Result<bool, Error> {
        let Some(first) = handles.first() else {
            return Ok(true);
        };
        store.begin_try();
        let added = self.piece(store, views, *first, part);
        if !store.end_try() {
            return added;
        }
        store.begin_plan();
        loop {
            let (mut room, mut chunk) = (self.room(), None);
            for handle in handles {
                let expected = of_handle(&mut chunk, store, views, *handle, |store, rows, row| {
                    rows.expect(store, (part, row))
                });
                // What cannot be read raises its error when it is its turn.
                let bytes = expected.ok().flatten().unwrap_or(0);
                if bytes > room || store.is_full() {
                    break;
                }
                room -= bytes;
            }
            if !store.fetch()? {
                break;
            }
        }
        self.piece(store, views, *first, part)
    }

    /// Ends the page before what cannot be read, if it has any pieces: the next page raises the error.
    fn or_end(&self, added: Result<bool, Error>) -> Result<bool, Error> {
        match added {
            Err(_) if !self.pieces.is_empty() => Ok(false),
            added => added,
        }
    }

    /// Adds a fragment's part, if it is still stored. Returns false if the page has no room for it.
    fn piece(
        &mut self,
        store: &mut Store,
        views: &mut [View],
        handle: Handle,
        part: Part,
    ) -> Result<bool, Error> {
        let mut chunk = self.chunk.take();
        let added = of_handle(&mut chunk, store, views, handle, |store, rows, row| {
            self.add_row(store, rows, (row, handle), part)
        });
        self.chunk = chunk;
        added?.unwrap_or(Ok(true))
    }

    /// Adds the part of a row. Returns false if the page has no room for it.
    fn add_row(
        &mut self,
        store: &mut Store,
        rows: Rows<'_>,
        (row, handle): (u32, Handle),
        part: Part,
    ) -> Result<bool, Error> {
        let place = rows.table.place(part, row);
        let place = place.ok_or_else(|| rows.damaged())?;
        if !self.has_room(place.len as usize) {
            return Ok(false);
        }
        let value;
        let block = if place.block == 0 {
            rows.inline(part)
        } else {
            value = self.read_block(store, rows.writer, rows.bucket, (part, place.block))?;
            value.payload()
        };
        let bytes = block.get(place.range());
        let bytes = bytes.ok_or_else(|| rows.damaged())?.to_vec();
        self.bytes += bytes.len() + PIECE;
        self.pieces.push(Piece {
            trace_id: rows.table.trace_id(row),
            fragment: handle.number(),
            bytes,
            dropped_spans: 0,
        });
        Ok(true)
    }

    /// Returns the bytes for which the page has room.
    fn room(&self) -> usize {
        self.max_bytes.saturating_sub(self.bytes)
    }

    fn has_room(&self, bytes: usize) -> bool {
        self.pieces.is_empty() || self.bytes + bytes <= self.max_bytes
    }

    fn read_block(
        &mut self,
        store: &mut Store,
        writer: &Writer,
        bucket: u64,
        (part, number): (Part, u64),
    ) -> Result<Value, Error> {
        let of = (writer.number, number);
        if let Some((last, value)) = &self.block
            && *last == of
        {
            return Ok(value.clone());
        }
        let kind = blocks::kind_of(part);
        let value = store.read(writer, Area::Data(bucket), kind, number)?;
        self.block = Some((of, value.clone()));
        Ok(value)
    }
}

#[cfg(test)]
mod tests;
