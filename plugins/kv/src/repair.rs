//! Repairs a store with damaged values, step by step, so that the rest of it is served.
//!
//! A damaged value is replaced under its own key, so nothing that refers to it changes, and a repair that is cut off has repaired some
//! values and left the others as they were:
//!
//! | damaged | replaced by |
//! |---|---|
//! | block of spans | nothing: the tables say that its fragments are lost |
//! | block of digests | a new block, made by the host from the spans |
//! | table | a table that says that its fragments are lost |
//! | traces, filter | the same, from the tables |
//! | operations | those of all spans in the bucket, made by the host |
//! | page of terms, of runs | a page without a payload: any fragment may have its terms |
//! | header | the same, from the values that no other header refers to |
//! | entry | nothing: the entries beside it are sealed, and the head no longer has it; operations that it had first are made anew |
//! | stamp, manifest | the same, from headers, tables and entries |
//!
//! Writers are repaired one by one: the head, then each segment.

mod fill;
mod head;
mod header;
mod names;
mod report;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

use larder_plugin::kv::{self, Change, Direction, Entry as KvEntry, Object, Range};
use larder_plugin::{Error, Part, Remade, Repaired, Timestamp, TraceId};

use crate::blocks::{BlockWriter, Numbers};
use crate::cache::Value;
use crate::codec::Damaged;
use crate::engine::Engine;
use crate::frame::{self, Area, Fault, Kind};
use crate::index::{self, CHUNK, Sorter};
use crate::limits::Shape;
use crate::maintenance::manifest_changes;
use crate::manifest::Manifest;
use crate::segment::{Group, Header, Segment};
use crate::store::{Objects, Store, Writer, lost};
use crate::table::{self, Located, Place, Table};
use crate::traces;
use crate::view::View;

use fill::Filling;
use names::Naming;
use report::{LostBlocks, Report};

/// Larger values are replaced by a delete and a put, as they fit no commit.
const COMMIT_BYTES: usize = 192 << 10;
/// Bytes of OTLP that one step hands to the host.
const ASK_BYTES: usize = 4 << 20;

/// Limits of one scan.
const SCAN_ENTRIES: u32 = 256;
const SCAN_BYTES: u32 = 2 << 20;

/// A repair in progress.
#[derive(Debug, Default)]
pub(crate) struct Repair {
    /// Writers that are not repaired yet; none before the first step.
    writers: Option<VecDeque<Rc<str>>>,
    /// Numbers of writers, which handles begin with: of those whose manifest can be read, and of those so far.
    numbers: BTreeMap<Rc<str>, u16>,
    at: Option<WriterRepair>,
}

/// The repair of one writer.
#[derive(Debug)]
struct WriterRepair {
    view: View,
    shape: Shape,
    /// Entries have been looked at.
    has_sealed: bool,
    /// Numbers for new values; none until the first.
    numbers: Option<Numbers>,
    /// The place in `view.segments`, and the step within that segment.
    segment: usize,
    place: u64,
    /// The header of that segment; none if it cannot be read or made.
    header: Option<Rc<Header>>,
    /// Buckets whose operations have been made anew.
    named: BTreeSet<u64>,
    /// Spans that were lost, by bucket.
    lost_spans: BTreeMap<u64, u64>,
    /// Lost blocks of the segment that are not reported yet.
    lost_blocks: LostBlocks,
    asked: Option<Asked>,
}

/// What the host was asked for.
#[derive(Debug)]
enum Asked {
    Digests(Filling),
    Names(Naming),
}

// === impl Repair ===

impl Repair {
    /// Runs one step. `remade` answers what the step before asked for.
    pub(crate) fn step(
        &mut self,
        engine: &mut Engine,
        now: Timestamp,
        remade: &[Remade],
    ) -> Result<Repaired, Error> {
        let mut report = Report::default();
        let writers = if let Some(writers) = &mut self.writers {
            writers
        } else {
            let writers = all_writers()?;
            self.numbers = head::numbers(&writers)?;
            self.writers.insert(writers)
        };
        let mut remade = Some(remade);
        while !report.is_enough() {
            let Some(at) = &mut self.at else {
                let Some(id) = writers.pop_front() else {
                    return Ok(report.end(false));
                };
                let view = head::open(&id, &self.numbers, now, engine, &mut report)?;
                if let Some(view) = view {
                    self.numbers.insert(id, view.writer.number);
                    self.at = Some(WriterRepair::new(view, engine.shape));
                }
                continue;
            };
            let given = remade.take().unwrap_or_default();
            if !at.step(&mut engine.sorter, given, &mut report)? {
                self.at = None;
            }
        }
        Ok(report.end(true))
    }
}

/// Returns every writer that has a partition, or has ever committed.
fn all_writers() -> Result<VecDeque<Rc<str>>, Error> {
    let mut writers: BTreeSet<String> = kv::writers()?.into_iter().collect();
    for partition in kv::partitions()? {
        if let Some(id) = partition.strip_prefix("head/") {
            writers.insert(id.to_owned());
        }
    }
    Ok(writers.into_iter().map(Rc::from).collect())
}

/// Replaces a value, which need not exist.
fn replace(
    writer: &Writer,
    area: Area,
    (kind, number): (Kind, u64),
    fill: impl FnOnce(&mut Vec<u8>),
) -> Result<(), Error> {
    let mut value = Vec::new();
    frame::begin(kind, &mut value);
    fill(&mut value);
    frame::end(area, number, &mut value);
    let partition = area.name(&writer.id);
    let sort = frame::sort(kind, number);
    if value.len() <= COMMIT_BYTES {
        kv::commit(&partition, &[Change::Put(KvEntry { sort, value })])?;
        return Ok(());
    }
    kv::commit(&partition, &[Change::Delete(sort.clone())])?;
    let key = kv::Key { partition, sort };
    kv::put(&[Object { key, value }])?;
    Ok(())
}

/// Reads and parses a value; `None` if it is missing or damaged.
fn load<T>(
    writer: &Writer,
    area: Area,
    (kind, number): (Kind, u64),
    parse: impl FnOnce(&Value) -> Result<T, Damaged>,
) -> Result<Option<T>, Error> {
    let loaded = Store::load(writer, area, kind, number).and_then(|value| {
        let damaged = |Damaged| lost(writer, area, kind, number, Fault::Damaged);
        parse(&value).map_err(damaged)
    });
    match loaded {
        Ok(parsed) => Ok(Some(parsed)),
        Err(Error::DataLoss(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

// === impl WriterRepair ===

impl WriterRepair {
    fn new(view: View, shape: Shape) -> Self {
        Self {
            view,
            shape,
            has_sealed: false,
            numbers: None,
            segment: 0,
            place: 0,
            header: None,
            named: BTreeSet::new(),
            lost_spans: BTreeMap::new(),
            lost_blocks: LostBlocks::default(),
            asked: None,
        }
    }

    /// Runs a part of a step. Returns false at the end.
    fn step(
        &mut self,
        sorter: &mut Sorter,
        remade: &[Remade],
        report: &mut Report,
    ) -> Result<bool, Error> {
        match self.asked.take() {
            Some(Asked::Digests(filling)) => {
                self.go_on_filling(filling, remade, report)?;
                return Ok(true);
            }
            Some(Asked::Names(naming)) => {
                self.go_on_naming(naming, remade, report)?;
                return Ok(true);
            }
            None => {}
        }
        if !self.has_sealed {
            self.has_sealed = true;
            self.seal_damaged_entries(sorter, report)?;
        }
        let Some((bucket, segment)) = self.view.segments.get(self.segment).copied() else {
            self.count_lost_spans()?;
            return Ok(false);
        };
        if self.place == 0 {
            self.header = self.read_header(bucket, &segment, report)?;
        }
        let Some(header) = self.header.clone() else {
            // The segment is lost, and the next one has its place in the list.
            return Ok(true);
        };
        let place = self.place;
        self.place += 1;
        let (terms, runs) = (header.fences.len() as u64, u64::from(header.runs_pages));
        let (chunks, groups) = (u64::from(header.chunks()), header.groups.len() as u64);
        let within = |from: u64, count: u64| {
            let at = place.checked_sub(from)?;
            (at < count).then_some(at)
        };
        let group = |at: u64| header.groups.get(usize::try_from(at).unwrap_or(usize::MAX));
        if let Some(page) = within(0, terms) {
            self.page(&segment, (Kind::Terms, page), report)?;
        } else if let Some(page) = within(terms, runs) {
            self.page(&segment, (Kind::Runs, page), report)?;
        } else if let Some(chunk) = within(terms + runs, chunks) {
            let chunk = u32::try_from(chunk).unwrap_or(u32::MAX);
            self.chunk(bucket, (&header, chunk), report)?;
        } else if let Some(group) = within(terms + runs + chunks, groups).and_then(group) {
            self.traces(bucket, group, report)?;
        } else if let Some(group) = within(terms + runs + chunks + groups, groups).and_then(group) {
            for number in &group.operations {
                self.operations(bucket, *number, report)?;
                if self.asked.is_some() {
                    // The values that follow are looked at again.
                    self.place -= 1;
                    break;
                }
            }
        } else if report.lost_blocks(&self.view.writer, &mut self.lost_blocks) {
            // A block is of one segment.
            (self.segment, self.place) = (self.segment + 1, 0);
        }
        Ok(true)
    }

    /// Replaces a page of terms or runs that cannot be read by one without a payload.
    fn page(
        &self,
        segment: &Segment,
        (kind, number): (Kind, u64),
        report: &mut Report,
    ) -> Result<(), Error> {
        report.read();
        let area = Area::Index(segment.number);
        let check = |value: &Value| match kind {
            Kind::Terms => index::check(value.payload()),
            _ => Ok(()),
        };
        if load(&self.view.writer, area, (kind, number), check)?.is_some() {
            return Ok(());
        }
        replace(&self.view.writer, area, (kind, number), |_| ())?;
        let fragments = segment.end.saturating_sub(segment.first);
        let effect = format!(
            "a search for what stood there looks at all of the segment's fragments, about {fragments}, and finds what it did before"
        );
        report.mended(&self.view.writer, area, (kind, number), &effect);
        Ok(())
    }

    /// Reads the table of a chunk and its blocks, and replaces the table if any of them cannot be read.
    fn chunk(
        &mut self,
        bucket: u64,
        (header, number): (&Header, u32),
        report: &mut Report,
    ) -> Result<(), Error> {
        let Some((group, chunk)) = header.chunk(number) else {
            return Ok(());
        };
        report.read();
        let writer = self.view.writer.clone();
        let area = Area::Data(bucket);
        let rows = (group.fragments - (number - group.chunk) * CHUNK).min(CHUNK);
        let key = (Kind::Table, chunk.table);
        let parse = |value: &Value| match Table::of(value) {
            Ok(table) if table.len() == rows => Ok(table),
            _ => Err(Damaged),
        };
        let Some(table) = load(&writer, area, key, parse)? else {
            let row = table::Row {
                trace_id: TraceId { high: 0, low: 0 },
                starts: chunk.bounds.starts,
                durations: chunk.bounds.durations,
                spans: 0,
            };
            let lost = Located {
                row,
                digest: Place::default(),
                otlp: Place::default(),
            };
            let all = vec![lost; rows as usize];
            replace(&writer, area, key, |out| table::encode(&all, out))?;
            report.lost_table(&writer, bucket, chunk, rows);
            return Ok(());
        };
        let mut filling = Filling::new(bucket, chunk.table, table);
        for part in [Part::Otlp, Part::Digest] {
            filling.find_unreadable(&writer, part, report)?;
        }
        if filling.is_needed() {
            self.go_on_filling(filling, &[], report)?;
        }
        Ok(())
    }

    /// Makes the traces and the filter of a group anew if they cannot be read.
    fn traces(&self, bucket: u64, group: &Group, report: &mut Report) -> Result<(), Error> {
        report.read();
        let (writer, area) = (&self.view.writer, Area::Data(bucket));
        let traces = (Kind::Traces, group.traces);
        let filter = (Kind::Filter, group.filter);
        let has_traces = load(writer, area, traces, |value| {
            traces::check(value, group.fragments)
        })?;
        let has_filter = load(writer, area, filter, |value| {
            traces::Filter::parse(value.payload()).map(|_| ())
        })?;
        if has_traces.is_some() && has_filter.is_some() {
            return Ok(());
        }
        let mut ids = Vec::with_capacity(group.fragments as usize);
        for chunk in &group.chunks {
            let key = (Kind::Table, chunk.table);
            let Some(table) = load(writer, area, key, Table::of)? else {
                return Err(lost(writer, area, key.0, key.1, Fault::Damaged));
            };
            ids.extend((0..table.len()).map(|row| table.trace_id(row)));
        }
        let effect = "it was made anew from the tables";
        if has_traces.is_none() {
            replace(writer, area, traces, |out| traces::encode(&ids, out))?;
            report.mended(writer, area, traces, effect);
        }
        if has_filter.is_none() {
            replace(writer, area, filter, |out| traces::encode_filter(&ids, out))?;
            report.mended(writer, area, filter, effect);
        }
        Ok(())
    }

    /// Takes a new generation before the first new value, so that no number is used twice.
    fn number_source(&mut self) -> Result<&mut Numbers, Error> {
        if self.numbers.is_none() {
            let newest = head::newest_generation(&self.view.writer.id)?;
            self.view.stamp.generation = self.view.stamp.generation.max(newest) + 1;
            self.commit(self.view.manifest.clone(), &[])?;
            self.numbers = Some(Numbers::new(self.view.stamp.generation));
        }
        Ok(self
            .numbers
            .get_or_insert_with(|| Numbers::new(self.view.stamp.generation)))
    }

    /// Commits a manifest with the stamp and these further changes.
    fn commit(&mut self, mut manifest: Manifest, more: &[Change]) -> Result<(), Error> {
        manifest.epoch = self.view.stamp.epoch + 1;
        self.view.stamp.epoch = manifest.epoch;
        let mut changes = manifest_changes(&manifest, &self.view.stamp);
        changes.extend_from_slice(more);
        kv::commit(&Area::Head.name(&self.view.writer.id), &changes)?;
        self.view.set_manifest(manifest);
        Ok(())
    }

    /// Takes lost spans off the counts of their buckets.
    fn count_lost_spans(&mut self) -> Result<(), Error> {
        let lost_spans = std::mem::take(&mut self.lost_spans);
        if lost_spans.is_empty() {
            return Ok(());
        }
        let mut manifest = self.view.manifest.clone();
        for bucket in &mut manifest.buckets {
            let lost = lost_spans.get(&bucket.number).copied().unwrap_or(0);
            bucket.spans = bucket.spans.saturating_sub(lost);
        }
        self.commit(manifest, &[])
    }

    /// Puts these digests into new blocks, and returns their places.
    fn put_digests(&mut self, bucket: u64, digests: &[Vec<u8>]) -> Result<Vec<Place>, Error> {
        if digests.is_empty() {
            return Ok(Vec::new());
        }
        let (writer, block) = (self.view.writer.clone(), self.shape.block);
        let total = digests.iter().map(Vec::len).sum();
        let mut blocks = BlockWriter::new(Part::Digest, bucket, total, block);
        let mut objects = Objects::default();
        let numbers = self.number_source()?;
        let places = digests
            .iter()
            .map(|it| blocks.push(it, numbers, &writer, &mut objects));
        let places = places.collect::<Result<Vec<_>, _>>()?;
        blocks.end(&writer, &mut objects)?;
        objects.flush()?;
        Ok(places)
    }
}

/// Calls `found` with the number and the bytes of every value of a kind. Raises the error of `found`.
fn each_value(
    writer: &Writer,
    area: Area,
    kind: Kind,
    mut found: impl FnMut(u64, Vec<u8>) -> Result<(), Error>,
) -> Result<(), Error> {
    let partition = area.name(&writer.id);
    let mut range = Range {
        start: vec![kind as u8],
        end: Some(vec![kind as u8 + 1]),
    };
    loop {
        let page = kv::scan(
            &partition,
            &range,
            Direction::Ascending,
            SCAN_ENTRIES,
            SCAN_BYTES,
        )?;
        let Some(last) = page.entries.last() else {
            return Ok(());
        };
        range.start = [last.sort.as_slice(), &[0]].concat();
        for entry in page.entries {
            if let Ok(number) = frame::number_of(kind, &entry.sort) {
                found(number, entry.value)?;
            }
        }
        if !page.more {
            return Ok(());
        }
    }
}
