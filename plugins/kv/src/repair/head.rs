//! The head of a writer: a stamp and a manifest that cannot be read are made anew, and entries that cannot be read are sealed over.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use larder_plugin::kv::{self, Change};
use larder_plugin::{Error, Part, Timestamp};
use xxhash_rust::xxh3::xxh3_64;

use super::report::Report;
use super::{WriterRepair, each_value, load, names};
use crate::blocks::{Numbers, kind_of};
use crate::bounds::Bounds;
use crate::cache::Value;
use crate::codec::Damaged;
use crate::engine::Engine;
use crate::entry::Entry;
use crate::frame::{self, Area, Fault, Kind};
use crate::index::Sorter;
use crate::maintenance::{manifest_changes, put_sealed};
use crate::manifest::{Bucket, Manifest, Stamp};
use crate::seal::{self, Seal};
use crate::segment::{Header, Segment};
use crate::store::Writer;
use crate::table::Table;
use crate::view::View;

/// A segment that was found without a manifest.
struct Found {
    segment: Segment,
    bucket: u64,
    spans: u64,
    bytes: u64,
}

/// Opens the view of a writer, with a stamp and a manifest that were made anew if they cannot be read. Returns `None` for a writer that
/// has stored nothing.
pub(super) fn open(
    id: &str,
    numbers: &BTreeMap<Rc<str>, u16>,
    now: Timestamp,
    engine: &Engine,
    report: &mut Report,
) -> Result<Option<View>, Error> {
    report.read();
    let mut view = View::new(id);
    let stamp = root(&view.writer, Kind::Stamp, Stamp::decode)?;
    let manifest = root(&view.writer, Kind::Manifest, Manifest::decode)?;
    let partitions = kv::partitions()?;
    let areas = partitions.iter().filter_map(|it| Area::of_name(it, id));
    let areas: Vec<Area> = areas.collect();
    let (damaged_stamp, damaged_manifest) = match (&stamp, &manifest) {
        (Some(stamp), Some(manifest)) => (false, manifest.epoch != stamp.epoch),
        (None, None) if areas.is_empty() => return Ok(None),
        (stamp, manifest) => (stamp.is_none(), manifest.is_none()),
    };
    if damaged_stamp || damaged_manifest {
        let entries = entries(&view)?;
        let manifest = match manifest.filter(|_| !damaged_manifest) {
            Some(manifest) => manifest,
            None => find_manifest(&view.writer, &areas, (&entries, stamp), engine, now, report)?,
        };
        let last = entries.last().map_or(0, |it| it.sequence + 1);
        let newest = areas
            .iter()
            .map(|it| Numbers::generation(it.number()))
            .max();
        let stamp = stamp.unwrap_or_else(|| Stamp {
            generation: newest.unwrap_or(0).max(1),
            epoch: manifest.epoch,
            next: last.max(manifest.sealed),
        });
        let mut manifest = manifest;
        let others = numbers.iter().filter(|(other, _)| ***other != *id);
        let others: BTreeSet<u16> = others.map(|(_, number)| *number).collect();
        while manifest.writer == 0 || others.contains(&manifest.writer) {
            manifest.writer = manifest.writer.wrapping_add(1);
        }
        manifest.epoch = manifest.epoch.max(stamp.epoch) + 1;
        let stamp = Stamp {
            epoch: manifest.epoch,
            next: stamp.next.max(last).max(manifest.sealed),
            ..stamp
        };
        let head = Area::Head.name(id);
        kv::commit(&head, &manifest_changes(&manifest, &stamp))?;
        for (kind, is_damaged, from) in [
            (Kind::Stamp, damaged_stamp, "the manifest and the entries"),
            (
                Kind::Manifest,
                damaged_manifest,
                "headers, tables and entries",
            ),
        ] {
            if is_damaged {
                let effect = format!("it was made anew from {from}");
                report.mended(&view.writer, Area::Head, (kind, 0), &effect);
            }
        }
    }
    let stamp = kv::get(&[View::stamp_key(id)])?.pop().flatten();
    view.follow(stamp)?;
    Ok(Some(view))
}

/// Returns the numbers of writers whose manifest can be read. A number that is lost must become none of these.
pub(super) fn numbers<'a>(
    writers: impl IntoIterator<Item = &'a Rc<str>>,
) -> Result<BTreeMap<Rc<str>, u16>, Error> {
    let mut numbers = BTreeMap::new();
    for id in writers {
        let manifest = root(&View::new(id).writer, Kind::Manifest, Manifest::decode)?;
        numbers.extend(manifest.map(|it| (Rc::clone(id), it.writer)));
    }
    Ok(numbers)
}

/// Returns the newest generation of a writer's partitions.
pub(super) fn newest_generation(id: &str) -> Result<u64, Error> {
    let partitions = kv::partitions()?;
    let areas = partitions.iter().filter_map(|it| Area::of_name(it, id));
    let generations = areas.map(|it| Numbers::generation(it.number()));
    Ok(generations.max().unwrap_or(0))
}

/// Reads a value that everything else depends on; `None` if it is missing or damaged. One of a newer version is an error.
fn root<T>(
    writer: &Writer,
    kind: Kind,
    decode: impl Fn(&[u8]) -> Result<T, Damaged>,
) -> Result<Option<T>, Error> {
    let got = match kv::get(&[frame::key(&writer.id, Area::Head, kind, 0)]) {
        Err(kv::Error::DataLoss(_)) => None,
        got => got?.pop().flatten(),
    };
    match frame::open(kind, Area::Head, 0, &got.unwrap_or_default()) {
        Ok(payload) => Ok(decode(payload).ok()),
        Err(Fault::Damaged) => Ok(None),
        Err(Fault::Newer(version)) => Err(Error::Other(format!(
            "this store was written by a newer version of the kv plugin: {kind:?} has format version {version}"
        ))),
    }
}

/// Returns the entries of a head that can be read, whether they are sealed or not.
fn entries(view: &View) -> Result<Vec<Entry>, Error> {
    let mut entries = Vec::new();
    each_value(&view.writer, Area::Head, Kind::Entry, |sequence, value| {
        match view.entry(sequence, value) {
            Ok(entry) => entries.push(entry),
            Err(Error::DataLoss(_)) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    })?;
    Ok(entries)
}

/// Makes a manifest of the segments that are found among the partitions of a writer.
///
/// Segments that others were merged from, and those whose entries are still in the head, are left out. The time of the last write to a
/// bucket is not known, so retention counts from `now`.
fn find_manifest(
    writer: &Writer,
    areas: &[Area],
    (entries, stamp): (&[Entry], Option<Stamp>),
    engine: &Engine,
    now: Timestamp,
    report: &mut Report,
) -> Result<Manifest, Error> {
    let mut found = Vec::new();
    for area in areas {
        report.read();
        let Area::Index(number) = *area else {
            continue;
        };
        let header = load(writer, *area, (Kind::Header, 0), |value| {
            Header::decode(value.payload())
        })?;
        if let Some(header) = header
            && let Some(segment) = find_segment(writer, areas, (number, &header), engine)?
        {
            found.push(segment);
        }
    }
    found.sort_by_key(|it| {
        (
            it.segment.first,
            u64::MAX - it.segment.end,
            it.segment.number,
        )
    });
    let unsealed = entries.first().map_or(u64::MAX, |it| it.head.first);
    let mut manifest = Manifest {
        epoch: stamp.map_or(0, |it| it.epoch),
        writer: usual_number(&writer.id),
        ..Manifest::default()
    };
    let mut end = 0;
    for it in found {
        if it.segment.first < end || it.segment.end > unsealed {
            continue;
        }
        count_gap(report, writer, end, it.segment.first);
        end = it.segment.end;
        let buckets = &mut manifest.buckets;
        if buckets.last().is_none_or(|last| last.number != it.bucket) {
            let opened = entries.iter().find(|entry| entry.head.bucket == it.bucket);
            buckets.push(Bucket {
                number: it.bucket,
                opened: opened.map_or(now, |entry| entry.head.opened),
                written: now,
                spans: 0,
                bytes: 0,
                segments: Vec::new(),
            });
        }
        if let Some(bucket) = buckets.last_mut() {
            bucket.spans += it.spans;
            bucket.bytes += it.bytes;
            bucket.segments.push(it.segment);
        }
    }
    manifest.fragments = end;
    if let Some(first) = entries.first() {
        count_gap(report, writer, end, first.head.first);
        (manifest.sealed, manifest.fragments) = (first.sequence, first.head.first);
    } else if let Some(stamp) = stamp {
        manifest.sealed = stamp.next;
    }
    Ok(manifest)
}

/// Returns the number that a host which is alone gives a writer. Hosts that share a store give others, which are lost with the manifest.
fn usual_number(id: &str) -> u16 {
    let [low, high, ..] = xxh3_64(id.as_bytes()).to_le_bytes();
    u16::from_le_bytes([low, high])
}

/// Reports fragments that nothing was found of. Those before the first may have been dropped by retention.
fn count_gap(report: &mut Report, writer: &Writer, end: u64, first: u64) {
    if end > 0 && first > end {
        let count = first - end;
        report.lost(format!(
            "{count} fragments of unknown traces, written by {}, from its number {end} on: no segment has them",
            writer.id
        ));
    }
}

/// Returns the segment of a header with its bucket; `None` if no bucket has its values.
fn find_segment(
    writer: &Writer,
    areas: &[Area],
    (number, header): (u64, &Header),
    engine: &Engine,
) -> Result<Option<Found>, Error> {
    let (Some(first), Some(last)) = (header.groups.first(), header.groups.last()) else {
        return Ok(None);
    };
    let tables: Vec<u64> = header
        .groups
        .iter()
        .flat_map(|it| &it.chunks)
        .map(|it| it.table)
        .collect();
    let mut bucket = None;
    'found: for area in areas {
        let Area::Data(candidate) = *area else {
            continue;
        };
        for table in &tables {
            let key = frame::key(&writer.id, *area, Kind::Table, *table);
            let has = match kv::get(&[key]) {
                Err(kv::Error::DataLoss(_)) => true,
                got => got?.pop().flatten().is_some(),
            };
            if has {
                bucket = Some(candidate);
                break 'found;
            }
        }
    }
    let Some(bucket) = bucket else {
        return Ok(None);
    };
    let (mut spans, mut bytes, mut bounds) = (0, 0, Bounds::NONE);
    for chunk in header.groups.iter().flat_map(|it| &it.chunks) {
        bounds.join(&chunk.bounds);
        let key = (Kind::Table, chunk.table);
        let Some(table) = load(writer, Area::Data(bucket), key, Table::of)? else {
            continue;
        };
        for row in 0..table.len() {
            spans += table.row(row).map_or(0, |it| u64::from(it.spans));
            for part in [Part::Digest, Part::Otlp] {
                bytes += table.place(part, row).map_or(0, |it| u64::from(it.len));
            }
        }
    }
    let (mut level, mut most) = (0, 1);
    while most < header.groups.len() && level < engine.shape.levels {
        (level, most) = (level + 1, most * engine.shape.fan.max(2));
    }
    Ok(Some(Found {
        segment: Segment {
            number,
            level,
            first: first.first,
            end: last.end(),
            bounds,
        },
        bucket,
        spans,
        bytes,
    }))
}

// === impl WriterRepair ===

impl WriterRepair {
    /// Seals all entries if some of them, or values that belong to them, cannot be read. They are then repaired as a part of segments,
    /// and the head has no trace of those that are lost.
    pub(super) fn seal_damaged_entries(
        &mut self,
        sorter: &mut Sorter,
        report: &mut Report,
    ) -> Result<(), Error> {
        report.read();
        if !self.has_damaged_entries()? {
            return Ok(());
        }
        let shape = self.shape;
        let mut numbers = *self.number_source()?;
        let view = &self.view;
        let entries: Vec<&Entry> = view.entries.iter().collect();
        let mut rest = entries.as_slice();
        let mut manifest = view.manifest.clone();
        // Buckets in which names may be lost. Those that are made anew are of all spans from the segment on.
        let mut unnamed: BTreeSet<u64> = BTreeSet::new();
        if !view.lost.is_empty() {
            unnamed.extend(entries.iter().map(|entry| entry.head.bucket));
        }
        while let Some(first) = rest.first() {
            let (count, _) = seal::due(&shape, rest.iter().copied());
            let (these, others) = rest.split_at_checked(count.max(1)).unwrap_or((rest, &[]));
            let sealed = Seal {
                writer: &view.writer,
                shape: &shape,
                bucket: first.head.bucket,
                numbers: &mut numbers,
                sorter: &mut *sorter,
                lacks_names: unnamed.remove(&first.head.bucket),
            };
            put_sealed(&mut manifest, these, &sealed.run(these)?);
            rest = others;
        }
        let from = view.manifest.sealed;
        manifest.sealed = view.stamp.next;
        let deletes = (from..view.stamp.next).map(|it| frame::sort(Kind::Entry, it));
        let deletes: Vec<Change> = deletes.map(Change::Delete).collect();
        self.report_lost_entries(report);
        self.numbers = Some(numbers);
        self.commit(manifest, &deletes)
    }

    fn has_damaged_entries(&mut self) -> Result<bool, Error> {
        if !self.view.lost.is_empty() {
            return Ok(true);
        }
        let writer = self.view.writer.clone();
        for entry in &self.view.entries {
            let area = Area::Data(entry.head.bucket);
            let mut blocks = BTreeSet::new();
            for part in [Part::Digest, Part::Otlp] {
                let places = (0..entry.len()).filter_map(|row| entry.table.place(part, row));
                let places = places.filter(|it| it.block != 0);
                blocks.extend(places.map(|it| (kind_of(part), it.block, it.range().end)));
            }
            for (kind, number, end) in blocks {
                let holds = |value: &Value| match value.payload().len() {
                    len if len < end => Err(Damaged),
                    _ => Ok(()),
                };
                if load(&writer, area, (kind, number), holds)?.is_none() {
                    return Ok(true);
                }
            }
        }
        // The operations of a bucket that are lost are made of all of its spans.
        let with_entries: BTreeSet<u64> =
            self.view.entries.iter().map(|it| it.head.bucket).collect();
        for (bucket, segment) in self.view.segments.clone() {
            if !with_entries.contains(&bucket) {
                continue;
            }
            let header = match self.view.header(segment.number) {
                Ok(header) => header,
                Err(Error::DataLoss(_)) => return Ok(true),
                Err(error) => return Err(error),
            };
            for number in header.groups.iter().flat_map(|it| &it.operations) {
                let key = (Kind::Operations, *number);
                if load(&writer, Area::Data(bucket), key, names::check)?.is_none() {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Reports the entries that are lost. Their neighbours tell how many fragments they had, and when they were written.
    fn report_lost_entries(&self, report: &mut Report) {
        let (view, id) = (&self.view, &self.view.writer.id);
        for sequence in &view.lost {
            let before = view.entries.iter().rfind(|it| it.sequence < *sequence);
            let after = view.entries.iter().find(|it| it.sequence > *sequence);
            let start = before.map_or(view.manifest.fragments, Entry::end);
            let count = after.map(|it| it.head.first.saturating_sub(start));
            let alone = view.lost.len() == 1;
            let count = match count {
                Some(count) if alone => format!("{count} fragments"),
                Some(count) => format!("a part of {count} fragments"),
                None => "fragments of an unknown number".to_owned(),
            };
            let time =
                |it: Option<&Entry>| it.map_or("?".to_owned(), |it| it.head.written.to_string());
            report.lost(format!(
                "{count} of unknown traces, written from {} to {} (nanoseconds since 1970) by {id}: Entry e{sequence:016x} of partition {}",
                time(before), time(after), Area::Head.name(id)
            ));
        }
    }
}
