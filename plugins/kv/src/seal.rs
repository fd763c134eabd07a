//! Sealing: the oldest entries of one bucket become a group, which becomes a segment.

use larder_plugin::{Error, Part, TraceId};

use crate::blocks::{BlockWriter, Numbers};
use crate::bounds::Bounds;
use crate::codec::{Damaged, small};
use crate::entry::Entry;
use crate::frame::{self, Area, Fault, Kind};
use crate::index::{CHUNK, IndexWriter, Sorter, build};
use crate::limits::Shape;
use crate::operations;
use crate::segment::{Chunk, Group, Header, Segment};
use crate::store::{Objects, Writer, lost};
use crate::table::{self, Located};
use crate::traces;

/// A sealed segment that has not been committed yet.
pub(crate) struct Sealed {
    pub(crate) segment: Segment,
    pub(crate) spans: u64,
    pub(crate) bytes: u64,
}

/// A seal in progress.
pub(crate) struct Seal<'a> {
    pub(crate) writer: &'a Writer,
    pub(crate) shape: &'a Shape,
    pub(crate) bucket: u64,
    pub(crate) numbers: &'a mut Numbers,
    pub(crate) sorter: &'a mut Sorter,
    /// An entry of the bucket is lost, and with it the names of operations that it had first. The segment then has a value of operations
    /// that is not there, which a repair makes anew, also if this one is cut off before.
    pub(crate) lacks_names: bool,
}

/// Approximate limit of a value of operations, bytes.
const OPERATIONS_BYTES: usize = 1 << 20;

/// Returns the number of leading entries to seal together: those of one bucket, without a gap, up to the limits of `shape`. The
/// flag is true if the limits are reached or entries of another bucket follow.
pub(crate) fn due<'a>(shape: &Shape, entries: impl Iterator<Item = &'a Entry>) -> (usize, bool) {
    let (mut count, mut spans, mut terms, mut bytes) = (0, 0, 0, 0);
    let mut before: Option<&Entry> = None;
    for entry in entries {
        let follows = before.is_none_or(|before| {
            before.head.bucket == entry.head.bucket && before.end() == entry.head.first
        });
        let enough = spans >= shape.group_spans
            || terms >= shape.group_terms
            || bytes >= shape.group_bytes
            || count >= shape.group_entries;
        if !follows || enough {
            return (count, true);
        }
        count += 1;
        spans += entry.spans;
        terms += entry.terms_len();
        bytes += entry.inline_bytes() + entry.operations().len() + entry.terms_len() * 4;
        before = Some(entry);
    }
    let enough = spans >= shape.group_spans
        || terms >= shape.group_terms
        || bytes >= shape.group_bytes
        || count >= shape.group_entries;
    (count, enough)
}

// === impl Seal ===

impl Seal<'_> {
    /// Puts all values of a segment of these adjacent entries.
    pub(crate) fn run(mut self, entries: &[&Entry]) -> Result<Sealed, Error> {
        let number = self.numbers.next();
        let mut objects = Objects::default();
        let rows = self.rows(entries, &mut objects)?;
        let (chunks, bounds) = self.chunks(&rows, &mut objects)?;
        let first = entries.first().map_or(0, |it| it.head.first);
        let ids: Vec<TraceId> = rows.iter().map(|it| it.row.trace_id).collect();
        let group = Group {
            first,
            fragments: small(rows.len()),
            chunk: 0,
            traces: self.put(Kind::Traces, &mut objects, |out| traces::encode(&ids, out))?,
            filter: self.put(Kind::Filter, &mut objects, |out| {
                traces::encode_filter(&ids, out);
            })?,
            operations: self.operations(entries, &mut objects)?,
            chunks,
        };
        objects.flush()?;

        self.sorter
            .begin(entries.iter().map(|it| it.terms_len()).sum());
        let mut ordinal = 0;
        for entry in entries {
            for row in 0..entry.len() {
                self.sorter.push(ordinal, entry.terms(row));
                ordinal += 1;
            }
        }
        let index = IndexWriter::new(self.writer, number, self.shape);
        let finished = build(self.sorter, index)?;
        let header = Header {
            fences: finished.fences,
            runs_pages: finished.runs_pages,
            groups: vec![group],
        };
        put_header(self.writer, number, &header)?;
        Ok(Sealed {
            segment: Segment {
                number,
                level: 0,
                first,
                end: first + rows.len() as u64,
                bounds,
            },
            spans: entries.iter().map(|it| it.spans).sum(),
            bytes: entries.iter().map(|it| it.bytes).sum(),
        })
    }

    /// Returns a row for each fragment. Bytes that were stored in entries are moved to new blocks.
    fn rows(&mut self, entries: &[&Entry], objects: &mut Objects) -> Result<Vec<Located>, Error> {
        let inline = |part| entries.iter().map(|it| it.inline(part).len()).sum();
        let blocks = |part| BlockWriter::new(part, self.bucket, inline(part), self.shape.block);
        let (mut digests, mut otlp) = (blocks(Part::Digest), blocks(Part::Otlp));
        let mut rows = Vec::with_capacity(entries.iter().map(|it| it.len() as usize).sum());
        for entry in entries {
            let area = entry.area.map_or(Area::Head, Area::Entries);
            let damaged = |Damaged| {
                lost(
                    self.writer,
                    area,
                    Kind::Entry,
                    entry.sequence,
                    Fault::Damaged,
                )
            };
            for row in 0..entry.len() {
                let mut located = entry.table.located(row).map_err(damaged)?;
                for (part, place, blocks) in [
                    (Part::Digest, &mut located.digest, &mut digests),
                    (Part::Otlp, &mut located.otlp, &mut otlp),
                ] {
                    if place.block == 0 {
                        let bytes = entry.inline(part).get(place.range());
                        let bytes = bytes.ok_or(Damaged).map_err(damaged)?;
                        *place = blocks.push(bytes, self.numbers, self.writer, objects)?;
                    }
                }
                rows.push(located);
            }
        }
        digests.end(self.writer, objects)?;
        otlp.end(self.writer, objects)?;
        Ok(rows)
    }

    fn chunks(
        &mut self,
        rows: &[Located],
        objects: &mut Objects,
    ) -> Result<(Vec<Chunk>, Bounds), Error> {
        let mut chunks = Vec::new();
        let mut all = Bounds::NONE;
        for rows in rows.chunks(CHUNK as usize) {
            let mut bounds = Bounds::NONE;
            for it in rows {
                bounds.add(&it.row);
            }
            all.join(&bounds);
            let table = self.put(Kind::Table, objects, |out| table::encode(rows, out))?;
            chunks.push(Chunk { table, bounds });
        }
        Ok((chunks, all))
    }

    /// Puts the operations that are new to the bucket.
    fn operations(&mut self, entries: &[&Entry], objects: &mut Objects) -> Result<Vec<u64>, Error> {
        let (mut numbers, mut some) = (Vec::new(), Vec::new());
        for entry in entries {
            let area = entry.area.map_or(Area::Head, Area::Entries);
            let number = entry.sequence;
            let damaged = |Damaged| lost(self.writer, area, Kind::Entry, number, Fault::Damaged);
            for operation in operations::encoded(entry.operations()) {
                let operation = operation.map_err(damaged)?;
                if !some.is_empty() && some.len() + operation.len() > OPERATIONS_BYTES {
                    let fill = |out: &mut Vec<u8>| out.append(&mut some);
                    numbers.push(self.put(Kind::Operations, objects, fill)?);
                }
                some.extend_from_slice(operation);
            }
        }
        if !some.is_empty() {
            let fill = |out: &mut Vec<u8>| out.append(&mut some);
            numbers.push(self.put(Kind::Operations, objects, fill)?);
        }
        if self.lacks_names {
            numbers.push(self.numbers.next());
        }
        Ok(numbers)
    }

    /// Puts a value into the bucket's data partition and returns its number.
    fn put(
        &mut self,
        kind: Kind,
        objects: &mut Objects,
        fill: impl FnOnce(&mut Vec<u8>),
    ) -> Result<u64, Error> {
        let (area, number) = (Area::Data(self.bucket), self.numbers.next());
        let mut value = Vec::new();
        frame::begin(kind, &mut value);
        fill(&mut value);
        frame::end(area, number, &mut value);
        objects.push(self.writer, area, kind, number, value)?;
        Ok(number)
    }
}

/// Puts the header of a segment, which completes it.
pub(crate) fn put_header(writer: &Writer, segment: u64, header: &Header) -> Result<(), Error> {
    let area = Area::Index(segment);
    let mut value = Vec::new();
    frame::begin(Kind::Header, &mut value);
    header.encode(&mut value);
    frame::end(area, 0, &mut value);
    let mut objects = Objects::default();
    objects.push(writer, area, Kind::Header, 0, value)?;
    objects.flush()
}
