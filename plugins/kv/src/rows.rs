//! Tables of chunks and of entries, with what it takes to read the bytes of their rows.

use std::ops::Range;

use larder_plugin::{Error, Part};

use crate::blocks;
use crate::entry::Entry;
use crate::find::read_table;
use crate::frame::{Area, Fault, Kind};
use crate::handle::Handle;
use crate::index::CHUNK;
use crate::store::{Store, Writer, lost};
use crate::table::Table;
use crate::view::View;

/// The size of most blocks that are read whole for a part of them.
const BLOCK: usize = 64 << 10;

/// Fragments that share a table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rows<'a> {
    pub(crate) writer: &'a Writer,
    /// The bucket that has their blocks.
    pub(crate) bucket: u64,
    pub(crate) table: &'a Table,
    of: Of<'a>,
}

/// What the table is of.
#[derive(Clone, Copy, Debug)]
enum Of<'a> {
    /// A chunk; its table has this number.
    Chunk(u64),
    Entry(&'a Entry),
}

/// A chunk of a segment.
#[derive(Debug)]
pub(crate) struct OpenChunk {
    writer: Writer,
    bucket: u64,
    /// The numbers of its fragments.
    fragments: Range<u64>,
    number: u64,
    table: Table,
}

// === impl Rows ===

impl<'a> Rows<'a> {
    /// Returns the rows of a chunk whose table has this number.
    pub(crate) fn of_chunk(
        writer: &'a Writer,
        bucket: u64,
        (number, table): (u64, &'a Table),
    ) -> Self {
        Self {
            writer,
            bucket,
            table,
            of: Of::Chunk(number),
        }
    }

    /// Returns the rows of an entry.
    pub(crate) fn of_entry(writer: &'a Writer, entry: &'a Entry) -> Self {
        Self {
            writer,
            bucket: entry.head.bucket,
            table: &entry.table,
            of: Of::Entry(entry),
        }
    }

    /// Returns the bytes of a part that are stored beside the table.
    pub(crate) fn inline(&self, part: Part) -> &'a [u8] {
        match self.of {
            Of::Chunk(_) => &[],
            Of::Entry(entry) => entry.inline(part),
        }
    }

    /// Notes the block of a row's part for the plan of the store, if it has one. Returns the bytes of the part.
    pub(crate) fn expect(&self, store: &mut Store, (part, row): (Part, u32)) -> usize {
        let Some(place) = self.table.place(part, row) else {
            return 0;
        };
        if place.block != 0 {
            let at = (Area::Data(self.bucket), blocks::kind_of(part), place.block);
            // On average a row is in the middle of its block.
            let end = place.range().end;
            let bytes = end.max(end.saturating_mul(2).min(BLOCK));
            store.expect(self.writer, at, bytes);
        }
        place.len as usize
    }

    /// Logs and returns the error for a table that refers to bytes that are not there.
    pub(crate) fn damaged(&self) -> Error {
        let (area, kind, number) = match self.of {
            Of::Chunk(number) => (Area::Data(self.bucket), Kind::Table, number),
            Of::Entry(entry) => {
                let area = entry.area.map_or(Area::Head, Area::Entries);
                (area, Kind::Entry, entry.sequence)
            }
        };
        lost(self.writer, area, kind, number, Fault::Damaged)
    }
}

// === impl OpenChunk ===

impl OpenChunk {
    /// Reads the table of the chunk that has this fragment; `None` if no segment of the view has it.
    pub(crate) fn with(
        handle: Handle,
        store: &mut Store,
        view: &mut View,
    ) -> Result<Option<Self>, Error> {
        let fragment = handle.fragment();
        let Some((bucket, segment)) = view.segment_of(fragment) else {
            return Ok(None);
        };
        let header = view.header_from(store, &segment)?;
        let Some(group) = header.group_of(fragment) else {
            return Ok(None);
        };
        let place = (fragment - group.first) / u64::from(CHUNK);
        let chunk = usize::try_from(place)
            .ok()
            .and_then(|it| group.chunks.get(it));
        let Some(chunk) = chunk else {
            return Ok(None);
        };
        let first = group.first + place * u64::from(CHUNK);
        let fragments = first..group.end().min(first + u64::from(CHUNK));
        let rows = u32::try_from(fragments.end - first).unwrap_or(CHUNK);
        Ok(Some(Self {
            writer: view.writer.clone(),
            bucket,
            fragments,
            number: chunk.table,
            table: read_table(store, view, bucket, (chunk.table, rows))?,
        }))
    }

    /// Returns the row of a fragment; `None` if the chunk does not have it.
    pub(crate) fn row_of(&self, handle: Handle) -> Option<u32> {
        let fragment = handle.fragment();
        if handle.writer() != self.writer.number || !self.fragments.contains(&fragment) {
            return None;
        }
        u32::try_from(fragment - self.fragments.start).ok()
    }

    /// Returns its rows.
    pub(crate) fn rows(&self) -> Rows<'_> {
        Rows::of_chunk(&self.writer, self.bucket, (self.number, &self.table))
    }
}
