//! A table of which some blocks cannot be read: digests are made anew from the spans, and fragments without spans count as lost.

use std::collections::{BTreeMap, BTreeSet};

use larder_plugin::{Error, Part, Remade};

use super::report::Report;
use super::{ASK_BYTES, Asked, WriterRepair, load, replace};
use crate::blocks::kind_of;
use crate::cache::Value;
use crate::codec::Damaged;
use crate::frame::{Area, Fault, Kind};
use crate::store::{Writer, lost};
use crate::table::{self, Place, Table};

/// A table that is being replaced.
#[derive(Debug)]
pub(super) struct Filling {
    bucket: u64,
    number: u64,
    table: Table,
    /// Rows whose spans cannot be read.
    lost: BTreeSet<u32>,
    /// Rows whose digest cannot be read, but whose spans can.
    blind: Vec<u32>,
    /// Digests of the first of these; `None` where the host can make nothing of the spans.
    digests: Vec<Option<Vec<u8>>>,
    /// Blocks that cannot be read.
    blocks: BTreeSet<(Kind, u64)>,
}

/// Reads fragments' bytes from blocks; the block that was read last is kept.
#[derive(Debug, Default)]
pub(super) struct Spans {
    last: Option<(u64, Option<Value>)>,
}

// === impl Spans ===

impl Spans {
    /// Returns the OTLP at this place; `None` if it cannot be read.
    pub(super) fn read(
        &mut self,
        writer: &Writer,
        bucket: u64,
        place: Place,
    ) -> Result<Option<Vec<u8>>, Error> {
        if self
            .last
            .as_ref()
            .is_none_or(|(block, _)| *block != place.block)
        {
            let key = (Kind::Otlp, place.block);
            let value = load(writer, Area::Data(bucket), key, |it| Ok(it.clone()))?;
            self.last = Some((place.block, value));
        }
        let block = self.last.as_ref().and_then(|(_, value)| value.as_ref());
        let bytes = block.and_then(|it| it.payload().get(place.range()));
        Ok(bytes.map(<[u8]>::to_vec))
    }
}

// === impl Filling ===

impl Filling {
    pub(super) fn new(bucket: u64, number: u64, table: Table) -> Self {
        Self {
            bucket,
            number,
            table,
            lost: BTreeSet::new(),
            blind: Vec::new(),
            digests: Vec::new(),
            blocks: BTreeSet::new(),
        }
    }

    /// Reads the table's blocks of a part. Spans come first.
    pub(super) fn find_unreadable(
        &mut self,
        writer: &Writer,
        part: Part,
        report: &mut Report,
    ) -> Result<(), Error> {
        let mut blocks: BTreeMap<u64, Vec<(u32, Place)>> = BTreeMap::new();
        for row in (0..self.table.len()).filter(|row| !self.table.is_lost(*row)) {
            if let Some(place) = self.table.place(part, row) {
                blocks.entry(place.block).or_default().push((row, place));
            }
        }
        for (block, rows) in blocks {
            report.read();
            let end = rows.iter().map(|(_, it)| it.range().end).max().unwrap_or(0);
            let holds = |value: &Value| match value.payload().len() {
                len if len < end => Err(Damaged),
                _ => Ok(()),
            };
            let key = (kind_of(part), block);
            if load(writer, Area::Data(self.bucket), key, holds)?.is_some() {
                continue;
            }
            self.blocks.insert(key);
            let rows = rows.into_iter().map(|(row, _)| row);
            match part {
                Part::Otlp => self.lost.extend(rows),
                Part::Digest => {
                    let lost = &self.lost;
                    self.blind.extend(rows.filter(|row| !lost.contains(row)));
                }
            }
        }
        self.blind.sort_unstable();
        Ok(())
    }

    /// Returns true if the table has to be replaced.
    pub(super) fn is_needed(&self) -> bool {
        !self.lost.is_empty() || !self.blind.is_empty()
    }
}

// === impl WriterRepair ===

impl WriterRepair {
    /// Asks for the next digests, or replaces the table once it has all of them.
    pub(super) fn go_on_filling(
        &mut self,
        mut filling: Filling,
        remade: &[Remade],
        report: &mut Report,
    ) -> Result<(), Error> {
        let made = remade.iter().map(|it| it.digest.clone());
        filling.digests.extend(made);
        let left = filling.blind.get(filling.digests.len()..);
        let left = left.unwrap_or_default();
        if left.is_empty() {
            return self.finish_filling(filling, report);
        }
        let (mut asked, mut bytes) = (Vec::new(), 0);
        let mut spans = Spans::default();
        for row in left {
            let place = filling.table.place(Part::Otlp, *row).unwrap_or_default();
            let otlp = spans.read(&self.view.writer, filling.bucket, place)?;
            let otlp = otlp.unwrap_or_default();
            bytes += otlp.len();
            asked.push(otlp);
            if bytes >= ASK_BYTES {
                break;
            }
        }
        report.read();
        report.ask(asked);
        self.asked = Some(Asked::Digests(filling));
        Ok(())
    }

    fn finish_filling(&mut self, mut filling: Filling, report: &mut Report) -> Result<(), Error> {
        let writer = self.view.writer.clone();
        let area = Area::Data(filling.bucket);
        let (mut rows, mut digests) = (Vec::new(), Vec::new());
        let made = std::mem::take(&mut filling.digests);
        for (row, digest) in filling.blind.iter().zip(made) {
            match digest {
                Some(digest) => {
                    rows.push(*row);
                    digests.push(digest);
                }
                None => {
                    filling.lost.insert(*row);
                }
            }
        }
        let places = self.put_digests(filling.bucket, &digests)?;
        let damaged = |Damaged| {
            let number = filling.number;
            lost(&writer, area, Kind::Table, number, Fault::Damaged)
        };
        let located = (0..filling.table.len()).map(|row| filling.table.located(row));
        let mut all = located.collect::<Result<Vec<_>, _>>().map_err(damaged)?;
        for (row, place) in rows.iter().zip(places) {
            if let Some(located) = all.get_mut(*row as usize) {
                located.digest = place;
            }
        }
        for row in &filling.lost {
            let Some(located) = all.get_mut(*row as usize) else {
                continue;
            };
            let (trace, spans) = (located.row.trace_id, located.row.spans);
            let block = located.otlp.block;
            let is_readable = !filling.blocks.contains(&(Kind::Otlp, block));
            let key = (filling.bucket, block, is_readable);
            self.lost_blocks.add(key, (trace, spans));
            *self.lost_spans.entry(filling.bucket).or_default() += u64::from(spans);
            (located.digest, located.otlp) = (Place::default(), Place::default());
            located.row.spans = 0;
        }
        let key = (Kind::Table, filling.number);
        replace(&writer, area, key, |out| table::encode(&all, out))?;

        let count = rows.len();
        let effect = format!("the digests of {count} fragments were made anew from their spans");
        let digests = filling.blocks.iter();
        for key in digests.filter(|(kind, _)| *kind == Kind::Digests && count > 0) {
            report.mended(&writer, area, *key, &effect);
        }
        Ok(())
    }
}
