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
/// The number of traces looked up at a time when reading spans: a page rarely holds more.
const TRACES: usize = 64;

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
        let mut first = Some(first);
        while let Some(rest) = ids.get(start..).filter(|rest| !rest.is_empty()) {
            let some = rest.get(..TRACES).unwrap_or(rest);
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
            located.sort_unstable();
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

    /// Reads a part of all fragments of these traces in the order written, from the handle `first` on. Returns the handle that the next
    /// page begins with. `wanted` ascends by hash.
    fn walk(
        &mut self,
        store: &mut Store,
        views: &mut [View],
        (wanted, first): (&[WantedTrace], u64),
        part: Part,
    ) -> Result<Option<u64>, Error> {
        let mut walk = Walk::new(store, views, wanted, Handle::from_number(first));
        let walked = walk.run(store, views, |store, it| {
            self.add_row(store, it.rows, (it.row, it.handle), part)
        });
        let is_whole = self.or_end(walked)?;
        Ok((!is_whole).then(|| walk.next().number()))
    }

    /// Adds a fragment's part, if it is still stored. Returns false if the page has no room for it.
    fn add(
        &mut self,
        store: &mut Store,
        views: &mut [View],
        handle: Handle,
        part: Part,
    ) -> Result<bool, Error> {
        let added = self.piece(store, views, handle, part);
        self.or_end(added)
    }

    /// Ends the page before what cannot be read, if it has any pieces: the next page raises the error.
    fn or_end(&self, added: Result<bool, Error>) -> Result<bool, Error> {
        match added {
            Err(_) if !self.pieces.is_empty() => Ok(false),
            added => added,
        }
    }

    fn piece(
        &mut self,
        store: &mut Store,
        views: &mut [View],
        handle: Handle,
        part: Part,
    ) -> Result<bool, Error> {
        let last = self.chunk.take().filter(|it| it.row_of(handle).is_some());
        if last.is_none() {
            let mut views = views.iter_mut();
            let Some(view) = views.find(|it| it.writer.number == handle.writer()) else {
                return Ok(true);
            };
            if let Some(entry) = view.entry_of(handle.fragment()) {
                let row = handle.fragment() - entry.head.first;
                let row = u32::try_from(row).unwrap_or(u32::MAX);
                let rows = Rows::of_entry(&view.writer, entry);
                return self.add_row(store, rows, (row, handle), part);
            }
            self.chunk = OpenChunk::with(handle, store, view)?;
        }
        let Some(chunk) = last.or_else(|| self.chunk.take()) else {
            return Ok(true);
        };
        let row = chunk.row_of(handle).unwrap_or(u32::MAX);
        let rows = chunk.rows();
        let added = if rows.table.is_lost(row) {
            Ok(true)
        } else {
            self.add_row(store, rows, (row, handle), part)
        };
        self.chunk = Some(chunk);
        added
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
