//! Checks a whole store, step by step, for values that cannot be read.
//!
//! Writers are checked one by one, in the order written: first each segment (header, pages of terms and runs, the values of its
//! groups, its chunks with their blocks), then the entries with their blocks. Nothing is cached.

use std::collections::BTreeMap;

use larder_plugin::{Checked, Error, Part, TraceId};

use crate::blocks;
use crate::cache::Value;
use crate::codec::Damaged;
use crate::engine::Engine;
use crate::frame::{Area, Fault, Kind};
use crate::handle::Handle;
use crate::index::{self, CHUNK};
use crate::operations;
use crate::segment::{Header, Segment};
use crate::store::{Store, lost};
use crate::table::Table;
use crate::view::View;

/// A step ends with the value that reaches one of these limits: uncompressed bytes read,
const STEP_BYTES: u64 = 4 << 20;
/// values read,
const STEP_VALUES: u64 = 4096;
/// damaged values reported.
const STEP_DAMAGED: usize = 1024;
/// The most traces of a damaged block that the report names.
const TRACES_NAMED: usize = 3;

/// Where a step begins: the handle of the first fragment of a segment or an entry, the segment's number, and a step within it.
type Position = (u64, u64, u64);

/// Runs one step of the check.
pub(crate) fn step(engine: &mut Engine, resume: Option<&[u8]>) -> Result<Checked, Error> {
    let from = decode(resume)?;
    engine.follow()?;
    let mut check = Check::default();
    let mut views: Vec<&mut View> = engine.views.iter_mut().collect();
    views.sort_by_key(|it| it.writer.number);
    for view in views {
        if from == (0, 0, 0) {
            // The stamp and the manifest: `follow` has just read both.
            check.checked.values += 2;
            for sequence in &view.lost {
                check.damaged(&view.entry_lost(*sequence), Kind::Entry.holds());
            }
        }
        for (bucket, segment) in view.segments.clone() {
            let first = Handle::new(view.writer.number, segment.first).number();
            let place = match from {
                (handle, number, place) if handle == first && number == segment.number => place,
                (handle, ..) if handle > first => continue,
                _ => 0,
            };
            if let Some(place) = check.segment(view, (bucket, &segment), place) {
                return Ok(check.resume((first, segment.number, place)));
            }
        }
        for entry in &view.entries {
            let first = Handle::new(view.writer.number, entry.head.first).number();
            if from.0 > first {
                continue;
            }
            if check.is_enough() {
                return Ok(check.resume((first, 0, 0)));
            }
            check.checked.values += 1;
            check.table(view, entry.head.bucket, &entry.table);
        }
    }
    Ok(check.checked)
}

fn encode((handle, segment, step): Position) -> Vec<u8> {
    [handle, segment, step].map(u64::to_be_bytes).concat()
}

fn decode(resume: Option<&[u8]>) -> Result<Position, Error> {
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

/// Returns the text of an error about a value.
fn text(error: &Error) -> String {
    match error {
        Error::DataLoss(text) | Error::Other(text) | Error::Unavailable(text) => text.clone(),
        error => format!("{error:?}"),
    }
}

/// The state of a step.
#[derive(Debug, Default)]
struct Check {
    checked: Checked,
}

// === impl Check ===

impl Check {
    fn is_enough(&self) -> bool {
        let Checked {
            values,
            bytes,
            damaged,
            ..
        } = &self.checked;
        *bytes >= STEP_BYTES || *values >= STEP_VALUES || damaged.len() >= STEP_DAMAGED
    }

    fn resume(mut self, at: Position) -> Checked {
        self.checked.resume = Some(encode(at));
        self.checked
    }

    fn damaged(&mut self, error: &Error, held: &str) {
        let line = format!("{}; it held {held}", text(error));
        self.checked.damaged.push(line);
    }

    /// Continues with a segment at this step. Returns the step to resume at if the segment is not finished.
    fn segment(
        &mut self,
        view: &mut View,
        (bucket, segment): (u64, &Segment),
        from: u64,
    ) -> Option<u64> {
        let area = Area::Index(segment.number);
        if from == 0 {
            let reads = |payload: &[u8]| Header::decode(payload).map(|_| ());
            self.value(view, area, (Kind::Header, 0), reads);
        }
        // The damaged header has been reported.
        let Ok(header) = view.header(segment.number) else {
            return None;
        };
        let (terms, runs) = (header.fences.len() as u64, u64::from(header.runs_pages));
        let groups = header.groups.len() as u64;
        let end = terms + runs + groups + u64::from(header.chunks());
        for place in from..end {
            if self.is_enough() {
                return Some(place);
            }
            if place < terms {
                self.value(view, area, (Kind::Terms, place), index::check);
            } else if place < terms + runs {
                self.value(view, area, (Kind::Runs, place - terms), |_| Ok(()));
            } else if place < terms + runs + groups {
                self.group(view, bucket, &header, place - terms - runs);
            } else {
                let chunk = u32::try_from(place - terms - runs - groups).unwrap_or(u32::MAX);
                self.chunk(view, bucket, (&header, chunk));
            }
        }
        None
    }

    fn group(&mut self, view: &View, bucket: u64, header: &Header, place: u64) {
        let place = usize::try_from(place).unwrap_or(usize::MAX);
        let Some(group) = header.groups.get(place) else {
            return;
        };
        let area = Area::Data(bucket);
        let names = |payload: &[u8]| operations::decode(payload).try_for_each(|it| it.map(|_| ()));
        self.value(view, area, (Kind::Traces, group.traces), |_| Ok(()));
        self.value(view, area, (Kind::Filter, group.filter), |_| Ok(()));
        for number in &group.operations {
            self.value(view, area, (Kind::Operations, *number), names);
        }
    }

    fn chunk(&mut self, view: &View, bucket: u64, (header, number): (&Header, u32)) {
        let Some((group, chunk)) = header.chunk(number) else {
            return;
        };
        let rows = (group.fragments - (number - group.chunk) * CHUNK).min(CHUNK);
        let held = format!("where {rows} fragments are, and their times");
        let parse = |value: &Value| match Table::of(value) {
            Ok(table) if table.len() == rows => Ok(table),
            _ => Err(Damaged),
        };
        let at = (Area::Data(bucket), Kind::Table, chunk.table);
        if let Some(table) = self.load(view, at, parse, || held) {
            self.table(view, bucket, &table);
        }
    }

    /// Reads the blocks of a table and checks that they hold the bytes that the table refers to.
    fn table(&mut self, view: &View, bucket: u64, table: &Table) {
        for part in [Part::Digest, Part::Otlp] {
            let mut blocks: BTreeMap<u64, Vec<u32>> = BTreeMap::new();
            for row in 0..table.len() {
                if let Some(place) = table.place(part, row).filter(|it| it.block != 0) {
                    blocks.entry(place.block).or_default().push(row);
                }
            }
            for (block, rows) in blocks {
                let places = rows.iter().filter_map(|row| table.place(part, *row));
                let end = places.map(|it| it.range().end).max().unwrap_or(0);
                let holds = |value: &Value| match value.payload().len() {
                    len if len < end => Err(Damaged),
                    _ => Ok(()),
                };
                let at = (Area::Data(bucket), blocks::kind_of(part), block);
                self.load(view, at, holds, || describe_rows(part, table, &rows));
            }
        }
    }

    /// Reads a value and checks its kind and, with `check`, its payload.
    fn value(
        &mut self,
        view: &View,
        area: Area,
        (kind, number): (Kind, u64),
        check: impl Fn(&[u8]) -> Result<(), Damaged>,
    ) {
        let check = |value: &Value| check(value.payload());
        self.load(view, (area, kind, number), check, || {
            kind.holds().to_owned()
        });
    }

    /// Reads and parses a value. If it is damaged, reports it with `held` as the description of its payload.
    fn load<T>(
        &mut self,
        view: &View,
        (area, kind, number): (Area, Kind, u64),
        parse: impl Fn(&Value) -> Result<T, Damaged>,
        held: impl FnOnce() -> String,
    ) -> Option<T> {
        self.checked.values += 1;
        let loaded = Store::load(&view.writer, area, kind, number).and_then(|value| {
            self.checked.bytes += value.bytes().len() as u64;
            let damaged = |Damaged| lost(&view.writer, area, kind, number, Fault::Damaged);
            parse(&value).map_err(damaged)
        });
        let told = loaded.map_err(|error| self.damaged(&error, &held()));
        told.ok()
    }
}

/// Describes the fragments of these rows, for a report about their block.
fn describe_rows(part: Part, table: &Table, rows: &[u32]) -> String {
    let what = match part {
        Part::Otlp => "the spans",
        Part::Digest => "the digests",
    };
    let mut traces: Vec<TraceId> = rows.iter().map(|row| table.trace_id(*row)).collect();
    traces.sort_unstable();
    traces.dedup();
    let named = traces.iter().take(TRACES_NAMED);
    let named: Vec<String> = named
        .map(|it| format!("{:016x}{:016x}", it.high, it.low))
        .collect();
    let more = match traces.len().saturating_sub(TRACES_NAMED) {
        0 => String::new(),
        more => format!(" and {more} more traces"),
    };
    let (fragments, named) = (rows.len(), named.join(", "));
    format!("{what} of {fragments} fragments, of trace {named}{more}")
}
