//! Reading a whole store, a part at a time, to tell what cannot be read back.
//!
//! Writer by writer, in the order written: of each segment its header, pages of terms and of runs, and what its groups have; then
//! its chunks with their blocks; and at last entries with theirs. Nothing is kept in the cache.

use larder_plugin::{Error, Part};

use crate::blocks;
use crate::codec::Damaged;
use crate::engine::Engine;
use crate::entry::Entry;
use crate::frame::{Area, Fault, Kind};
use crate::handle::Handle;
use crate::index::{self, CHUNK};
use crate::operations;
use crate::segment::{Header, Segment};
use crate::store::{Store, lost};
use crate::table::Table;
use crate::view::View;

/// About how many bytes are read in one part.
const PART_BYTES: u64 = 4 << 20;

/// What was found in one part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// How many values were read.
    pub values: u64,
    /// Their bytes, before compression.
    pub bytes: u64,
    /// What cannot be read back: a line for each value, with its key.
    pub damaged: Vec<String>,
    /// Where to go on; none at the end.
    pub resume: Option<Vec<u8>>,
}

/// Where a part begins: the handle of the first fragment of a segment or an entry, the segment's number, and a step in it.
type From = (u64, u64, u64);

/// One part.
pub(crate) fn part(engine: &mut Engine, resume: Option<&[u8]>) -> Result<Checked, Error> {
    let from = decode(resume)?;
    engine.follow()?;
    let mut checked = Checked::default();
    let mut views: Vec<&mut View> = engine.views.iter_mut().collect();
    views.sort_by_key(|it| it.writer.number);
    for view in views {
        if from == (0, 0, 0) {
            checked.values += 2;
            checked.damaged.extend(view.check_lost().err().map(text));
        }
        for (bucket, segment) in view.segments.clone() {
            let first = Handle::new(view.writer.number, segment.first).number();
            let step = match from {
                (handle, number, step) if handle == first && number == segment.number => step,
                (handle, ..) if handle > first => continue,
                _ => 0,
            };
            if let Some(step) = checked.segment(view, (bucket, &segment), step) {
                checked.resume = Some(encode((first, segment.number, step)));
                return Ok(checked);
            }
        }
        for entry in &view.entries {
            let first = Handle::new(view.writer.number, entry.head.first).number();
            if from.0 > first {
                continue;
            }
            if checked.bytes >= PART_BYTES {
                checked.resume = Some(encode((first, 0, 0)));
                return Ok(checked);
            }
            checked.values += 1;
            checked.entry(view, entry);
        }
    }
    Ok(checked)
}

fn encode((handle, segment, step): From) -> Vec<u8> {
    [handle, segment, step].map(u64::to_be_bytes).concat()
}

fn decode(resume: Option<&[u8]>) -> Result<From, Error> {
    match resume.map(<[u8]>::as_chunks) {
        None => Ok((0, 0, 0)),
        Some(([handle, segment, step], [])) => {
            let number = |bytes: &[u8; 8]| u64::from_be_bytes(*bytes);
            Ok((number(handle), number(segment), number(step)))
        }
        Some(_) => Err(Error::InvalidArgument(
            "invalid `resume`: this plugin did not make it".to_owned(),
        )),
    }
}

fn text(error: Error) -> String {
    match error {
        Error::DataLoss(text) | Error::Other(text) => text,
        error => format!("{error:?}"),
    }
}

// === impl Checked ===

impl Checked {
    /// Goes on with a segment at this step; gives the step to go on with if it has not been read to its end.
    fn segment(
        &mut self,
        view: &mut View,
        (bucket, segment): (u64, &Segment),
        from: u64,
    ) -> Option<u64> {
        if from == 0 {
            let area = Area::Index(segment.number);
            let reads = |payload: &[u8]| Header::decode(payload).map(|_| ());
            let result = self.value(view, area, Kind::Header, 0, reads);
            self.damaged.extend(result.err().map(text));
        }
        // Why it cannot be read has been told.
        let Ok(header) = view.header(segment.number) else {
            return None;
        };
        let (terms, runs) = (header.fences.len() as u64, u64::from(header.runs_pages));
        let groups = header.groups.len() as u64;
        let end = terms + runs + groups + u64::from(header.chunks());
        for step in from..end {
            if self.bytes >= PART_BYTES {
                return Some(step);
            }
            let result = if step < terms {
                self.terms(view, segment, step)
            } else if step < terms + runs {
                let area = Area::Index(segment.number);
                self.value(view, area, Kind::Runs, step - terms, |_| Ok(()))
            } else if step < terms + runs + groups {
                self.group(view, bucket, &header, step - terms - runs);
                Ok(())
            } else {
                let chunk = u32::try_from(step - terms - runs - groups).unwrap_or(u32::MAX);
                self.chunk(view, bucket, (&header, chunk))
            };
            self.damaged.extend(result.err().map(text));
        }
        None
    }

    fn terms(&mut self, view: &View, segment: &Segment, page: u64) -> Result<(), Error> {
        let area = Area::Index(segment.number);
        self.value(view, area, Kind::Terms, page, index::check)
    }

    fn group(&mut self, view: &View, bucket: u64, header: &Header, place: u64) {
        let place = usize::try_from(place).unwrap_or(usize::MAX);
        let Some(group) = header.groups.get(place) else {
            return;
        };
        let area = Area::Data(bucket);
        let names = |payload: &[u8]| operations::decode(payload).try_for_each(|it| it.map(|_| ()));
        let mut results = vec![
            self.value(view, area, Kind::Traces, group.traces, |_| Ok(())),
            self.value(view, area, Kind::Filter, group.filter, |_| Ok(())),
        ];
        for number in &group.operations {
            results.push(self.value(view, area, Kind::Operations, *number, names));
        }
        self.damaged
            .extend(results.into_iter().filter_map(Result::err).map(text));
    }

    fn chunk(
        &mut self,
        view: &View,
        bucket: u64,
        (header, number): (&Header, u32),
    ) -> Result<(), Error> {
        let Some((group, chunk)) = header.chunk(number) else {
            return Ok(());
        };
        let (area, kind) = (Area::Data(bucket), Kind::Table);
        self.values += 1;
        let value = Store::load(&view.writer, area, kind, chunk.table)?;
        let table = Table::of(&value);
        let damaged = |Damaged| lost(&view.writer, area, kind, chunk.table, Fault::Damaged);
        let table = table.map_err(damaged)?;
        let before = (number - group.chunk) * CHUNK;
        if table.len() != (group.fragments - before).min(CHUNK) {
            return Err(damaged(Damaged));
        }
        self.table(view, bucket, &table);
        Ok(())
    }

    fn entry(&mut self, view: &View, entry: &Entry) {
        self.table(view, entry.head.bucket, &entry.table);
    }

    /// Reads the blocks of a table, which must hold what the table says.
    fn table(&mut self, view: &View, bucket: u64, table: &Table) {
        for part in [Part::Digest, Part::Otlp] {
            for block in table.blocks(part) {
                let rows = 0..table.len();
                let places = rows.filter_map(|row| table.place(part, row));
                let end = places
                    .filter(|it| it.block == block)
                    .map(|it| it.range().end)
                    .max();
                let holds = |payload: &[u8]| match end {
                    Some(end) if end > payload.len() => Err(Damaged),
                    _ => Ok(()),
                };
                let area = Area::Data(bucket);
                let result = self.value(view, area, blocks::kind_of(part), block, holds);
                self.damaged.extend(result.err().map(text));
            }
        }
    }

    /// Reads a value, and what is in it with `check`.
    fn value(
        &mut self,
        view: &View,
        area: Area,
        kind: Kind,
        number: u64,
        check: impl Fn(&[u8]) -> Result<(), Damaged>,
    ) -> Result<(), Error> {
        self.values += 1;
        let value = Store::load(&view.writer, area, kind, number)?;
        self.bytes += value.bytes().len() as u64;
        let checked = check(value.payload());
        checked.map_err(|Damaged| lost(&view.writer, area, kind, number, Fault::Damaged))
    }
}
