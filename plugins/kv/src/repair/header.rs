//! A header that cannot be read: it is made anew from the bucket's values that no other header refers to, and from the pages.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use larder_plugin::Error;

use super::report::{Report, name};
use super::{WriterRepair, each_value, replace};
use crate::bounds::Bounds;
use crate::cache::Value;
use crate::codec::small;
use crate::frame::{self, Area, Kind};
use crate::index::{self, CHUNK};
use crate::segment::{Chunk, Group, Header, Segment};
use crate::store::Writer;
use crate::table::Table;

// === impl WriterRepair ===

impl WriterRepair {
    /// Reads the header of a segment, or makes it anew. Returns `None` for a segment that is lost: the manifest does not have it any more.
    pub(super) fn read_header(
        &mut self,
        bucket: u64,
        segment: &Segment,
        report: &mut Report,
    ) -> Result<Option<Rc<Header>>, Error> {
        report.read();
        match self.view.header(segment.number) {
            Ok(header) => return Ok(Some(header)),
            Err(Error::DataLoss(_)) => {}
            Err(error) => return Err(error),
        }
        let (area, key) = (Area::Index(segment.number), (Kind::Header, 0));
        let fragments = segment.end.saturating_sub(segment.first);
        let Some(header) = self.find_header(bucket, segment)? else {
            let mut manifest = self.view.manifest.clone();
            for bucket in &mut manifest.buckets {
                bucket.segments.retain(|it| it.number != segment.number);
            }
            self.commit(manifest, &[])?;
            let (starts, writer) = (segment.bounds.starts, &self.view.writer);
            report.lost(format!(
                "the spans of about {fragments} fragments of unknown traces, which started from {} to {} (nanoseconds since 1970), written by {}: {}",
                starts.start, starts.end, writer.id, name(writer, area, key)
            ));
            return Ok(None);
        };
        replace(&self.view.writer, area, key, |out| header.encode(out))?;
        let effect = format!("it was made anew from the tables of {fragments} fragments");
        report.mended(&self.view.writer, area, key, &effect);
        self.view.header(segment.number).map(Some)
    }

    /// Returns the header of a segment if all of its groups are found.
    fn find_header(&mut self, bucket: u64, segment: &Segment) -> Result<Option<Header>, Error> {
        let others: Vec<u64> = self.view.segments.iter().map(|(_, it)| it.number).collect();
        let mut known = BTreeSet::new();
        for other in others.into_iter().filter(|it| *it != segment.number) {
            match self.view.header(other) {
                Ok(header) => {
                    let chunks = header.groups.iter().flat_map(|it| &it.chunks);
                    known.extend(chunks.map(|it| it.table));
                }
                Err(Error::DataLoss(_)) => {}
                Err(error) => return Err(error),
            }
        }
        let writer = &self.view.writer;
        let groups = groups(writer, bucket, &known)?;
        let wanted = segment.end.saturating_sub(segment.first);
        let Some(mut groups) = matching(groups, wanted) else {
            return Ok(None);
        };
        let (mut first, mut chunk) = (segment.first, 0);
        for group in &mut groups {
            (group.first, group.chunk) = (first, chunk);
            first = group.end();
            chunk += small(group.chunks.len());
        }
        let (fences, runs_pages) = pages(writer, segment.number)?;
        Ok(Some(Header {
            fences,
            runs_pages,
            groups,
        }))
    }
}

/// Returns the groups of a bucket, in the order written, but those that have one of the `known` tables.
fn groups(writer: &Writer, bucket: u64, known: &BTreeSet<u64>) -> Result<Vec<Group>, Error> {
    let area = Area::Data(bucket);
    let mut tables = BTreeMap::new();
    each_value(writer, area, Kind::Table, |number, value| {
        let parsed = frame::open(Kind::Table, area, number, &value).is_ok();
        let table = parsed.then(|| Table::of(&Value::new(value)).ok()).flatten();
        let chunk = table.map(|table| {
            let mut bounds = Bounds::NONE;
            for row in (0..table.len()).filter_map(|row| table.row(row)) {
                bounds.add(&row);
            }
            let chunk = Chunk {
                table: number,
                bounds,
            };
            (chunk, table.len())
        });
        tables.insert(number, chunk);
        Ok(())
    })?;
    let mut others = BTreeMap::new();
    for kind in [Kind::Traces, Kind::Filter, Kind::Operations] {
        each_value(writer, area, kind, |number, _| {
            others.insert(number, kind);
            Ok(())
        })?;
    }
    // The numbers of a group ascend: its tables, its traces, its filter, its operations.
    let ends = others
        .iter()
        .filter(|(_, kind)| **kind == Kind::Traces)
        .map(|(number, _)| *number);
    let mut groups = Vec::new();
    let mut start = 0;
    for traces in ends {
        let next_table = tables
            .range(traces..)
            .next()
            .map_or(u64::MAX, |(it, _)| *it);
        let of_group: Vec<_> = tables.range(start..traces).map(|(_, it)| *it).collect();
        start = traces;
        let filter = others
            .range(traces..next_table)
            .find(|(_, kind)| **kind == Kind::Filter);
        let operations = others
            .range(traces..next_table)
            .filter(|(_, kind)| **kind == Kind::Operations);
        let whole: Option<Vec<(Chunk, u32)>> = of_group.into_iter().collect();
        let (Some(whole), Some((filter, _))) = (whole, filter) else {
            continue;
        };
        let full = whole
            .split_last()
            .is_some_and(|(_, rest)| rest.iter().all(|(_, rows)| *rows == CHUNK));
        if !full || whole.iter().any(|(it, _)| known.contains(&it.table)) {
            continue;
        }
        groups.push(Group {
            first: 0,
            fragments: whole.iter().map(|(_, rows)| rows).sum(),
            chunk: 0,
            traces,
            filter: *filter,
            operations: operations.map(|(number, _)| *number).collect(),
            chunks: whole.into_iter().map(|(chunk, _)| chunk).collect(),
        });
    }
    Ok(groups)
}

/// Returns the groups if they have this many fragments, without those of seals that were cut off, which a later group repeats.
fn matching(mut groups: Vec<Group>, fragments: u64) -> Option<Vec<Group>> {
    let sum = |groups: &[Group]| -> u64 { groups.iter().map(|it| u64::from(it.fragments)).sum() };
    while sum(&groups) > fragments {
        let is_repeated = |(at, group): (usize, &Group)| {
            let later = groups.get(at + 1..).unwrap_or_default();
            let same = |it: &Group| {
                it.chunks
                    .iter()
                    .map(|it| it.bounds)
                    .eq(group.chunks.iter().map(|it| it.bounds))
            };
            later.iter().any(same).then_some(at)
        };
        let at = groups.iter().enumerate().find_map(is_repeated)?;
        groups.remove(at);
    }
    (sum(&groups) == fragments && !groups.is_empty()).then_some(groups)
}

/// Returns the first term of each page of terms, and the number of pages of runs. A page that cannot be read gets the term after the last
/// of the page before it, and one more page is taken for missing, with all terms after the last.
fn pages(writer: &Writer, segment: u64) -> Result<(Vec<u32>, u32), Error> {
    let area = Area::Index(segment);
    let mut outlines = BTreeMap::new();
    let mut runs = 0;
    each_value(writer, area, Kind::Terms, |number, value| {
        let payload = frame::open(Kind::Terms, area, number, &value);
        let outline = payload.ok().and_then(|it| index::outline(it).ok());
        runs = runs.max(outline.map_or(0, |it| it.runs_pages));
        outlines.insert(number, outline);
        Ok(())
    })?;
    each_value(writer, area, Kind::Runs, |number, _| {
        runs = runs.max(u32::try_from(number).map_or(u32::MAX, |it| it.saturating_add(1)));
        Ok(())
    })?;
    let count = outlines.keys().next_back().map_or(0, |last| last + 1);
    let mut fences: Vec<u32> = Vec::new();
    let mut next = Some(0);
    for number in 0..count {
        let outline = outlines.get(&number).copied().flatten();
        // Above the greatest term nothing is left to be found.
        let Some(fence) = outline.map(|it| it.first).or(next) else {
            break;
        };
        next = outline.map_or(fence, |it| it.last).checked_add(1);
        fences.push(fence);
    }
    // The last pages may be missing.
    fences.extend(next);
    Ok((fences, runs))
}
