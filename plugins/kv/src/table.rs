//! A table of fragments: a row for each, in the order written, and the positions of their bytes.
//!
//! Columns have a fixed width, relative to their smallest number, so that any row can be read directly.

use std::ops::Range;
use std::rc::Rc;

use larder_plugin::{DurationRange, Part, TimeRange, TraceId};

use crate::bounds::spread;
use crate::cache::Value;
use crate::codec::{Damaged, Input, put_varint, small};
use crate::column::{self, Column};

/// A fragment without its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) trace_id: TraceId,
    pub(crate) starts: TimeRange,
    pub(crate) durations: DurationRange,
    pub(crate) spans: u32,
}

/// The position of one part of a fragment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    /// The number of its block; 0 for bytes that are stored beside the table.
    pub(crate) block: u64,
    /// Offset and length in the block.
    pub(crate) offset: u32,
    pub(crate) len: u32,
}

/// A fragment with the positions of its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Located {
    pub(crate) row: Row,
    pub(crate) digest: Place,
    pub(crate) otlp: Place,
}

/// A table that is read in place.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    value: Value,
    layout: Rc<Layout>,
}

/// The parsed columns and extents of a table.
#[derive(Debug)]
pub(crate) struct Layout {
    rows: u32,
    columns: [Column; COLUMNS],
    digests: Vec<Extent>,
    otlp: Vec<Extent>,
    /// Some rows have no block.
    has_blockless: bool,
}

/// Consecutive rows whose bytes are adjacent in one block.
#[derive(Clone, Copy, Debug)]
struct Extent {
    /// The first such row.
    row: u32,
    block: u64,
    /// Offset of that row in the block.
    offset: u32,
    /// Offset of that row in the concatenated bytes of all rows.
    start: u64,
}

const COLUMNS: usize = 9;
const HIGH: usize = 0;
const LOW: usize = 1;
const START: usize = 2;
const START_SPREAD: usize = 3;
const SHORTEST: usize = 4;
const DURATION_SPREAD: usize = 5;
const SPANS: usize = 6;
const DIGEST_END: usize = 7;
const OTLP_END: usize = 8;

/// Appends the table of these fragments.
pub(crate) fn encode(rows: &[Located], out: &mut Vec<u8>) {
    put_varint(out, rows.len() as u64);
    column(out, rows, |it| it.row.trace_id.high);
    column(out, rows, |it| it.row.trace_id.low);
    column(out, rows, |it| it.row.starts.start);
    column(out, rows, |it| {
        spread(it.row.starts.start, it.row.starts.end)
    });
    column(out, rows, |it| it.row.durations.shortest);
    column(out, rows, |it| {
        spread(it.row.durations.shortest, it.row.durations.longest)
    });
    column(out, rows, |it| u64::from(it.row.spans));
    let mut end = 0;
    column_mut(out, rows, |it| add(&mut end, it.digest.len));
    let mut end = 0;
    column_mut(out, rows, |it| add(&mut end, it.otlp.len));
    extents(out, rows, |it| it.digest);
    extents(out, rows, |it| it.otlp);
}

fn add(sum: &mut u64, len: u32) -> u64 {
    *sum += u64::from(len);
    *sum
}

fn column_mut(out: &mut Vec<u8>, rows: &[Located], mut of: impl FnMut(&Located) -> u64) {
    let numbers: Vec<u64> = rows.iter().map(&mut of).collect();
    column::encode(out, numbers.iter().copied());
}

fn column(out: &mut Vec<u8>, rows: &[Located], of: impl Fn(&Located) -> u64 + Copy) {
    column::encode(out, rows.iter().map(of));
}

fn extents(out: &mut Vec<u8>, rows: &[Located], of: impl Fn(&Located) -> Place) {
    let mut count = 0;
    let mut encoded = Vec::new();
    let mut next = None;
    for (number, row) in (0_u64..).zip(rows) {
        let place = of(row);
        if next != Some((place.block, place.offset)) {
            count += 1;
            put_varint(&mut encoded, number);
            put_varint(&mut encoded, place.block);
            put_varint(&mut encoded, u64::from(place.offset));
        }
        next = Some((place.block, place.offset.saturating_add(place.len)));
    }
    put_varint(out, count);
    out.extend_from_slice(&encoded);
}

// === impl Table ===

impl Table {
    /// Parses a table at the front of `input`, which reads the payload of `value`.
    pub(crate) fn parse(value: &Value, input: &mut Input<'_>) -> Result<Self, Damaged> {
        Ok(Self {
            value: value.clone(),
            layout: Rc::new(Layout::parse(value, input)?),
        })
    }

    /// Returns the table in `value`. It is parsed only once while the value is cached.
    pub(crate) fn of(value: &Value) -> Result<Self, Damaged> {
        let layout = value.layout(|| Layout::parse(value, &mut Input::new(value.payload())))?;
        Ok(Self {
            value: value.clone(),
            layout,
        })
    }

    /// Returns the number of rows.
    pub(crate) fn len(&self) -> u32 {
        self.layout.rows
    }

    /// Returns one row; `None` beyond the last.
    pub(crate) fn row(&self, row: u32) -> Option<Row> {
        if row >= self.layout.rows {
            return None;
        }
        let start = self.get(START, row);
        let shortest = self.get(SHORTEST, row);
        Some(Row {
            trace_id: TraceId {
                high: self.get(HIGH, row),
                low: self.get(LOW, row),
            },
            starts: TimeRange {
                start,
                end: start.saturating_add(self.get(START_SPREAD, row)),
            },
            durations: DurationRange {
                shortest,
                longest: shortest.saturating_add(self.get(DURATION_SPREAD, row)),
            },
            spans: u32::try_from(self.get(SPANS, row)).unwrap_or(u32::MAX),
        })
    }

    /// Returns the latest start of a row's spans.
    pub(crate) fn end(&self, row: u32) -> u64 {
        let start = self.get(START, row);
        start.saturating_add(self.get(START_SPREAD, row))
    }

    /// Returns the trace of a row.
    pub(crate) fn trace_id(&self, row: u32) -> TraceId {
        TraceId {
            high: self.get(HIGH, row),
            low: self.get(LOW, row),
        }
    }

    /// Returns the position of a row's digest or OTLP; `None` beyond the last row, and if the table is inconsistent.
    pub(crate) fn place(&self, part: Part, row: u32) -> Option<Place> {
        let (column, extents) = match part {
            Part::Digest => (DIGEST_END, &self.layout.digests),
            Part::Otlp => (OTLP_END, &self.layout.otlp),
        };
        if row >= self.layout.rows {
            return None;
        }
        let end = self.get(column, row);
        let start = self.end_before(column, row);
        let at = extents.partition_point(|it| it.row <= row).checked_sub(1)?;
        let extent = extents.get(at)?;
        let offset = u32::try_from(start.checked_sub(extent.start)?).ok()?;
        Some(Place {
            block: extent.block,
            offset: extent.offset.checked_add(offset)?,
            len: u32::try_from(end.checked_sub(start)?).ok()?,
        })
    }

    /// Returns true for a fragment whose spans a repair found lost. In a segment's table all others have a block; `self` must not be of
    /// an entry.
    #[inline]
    pub(crate) fn is_lost(&self, row: u32) -> bool {
        self.layout.has_blockless && self.place(Part::Otlp, row).is_some_and(|it| it.block == 0)
    }

    /// Returns a row with the positions of its bytes.
    pub(crate) fn located(&self, row: u32) -> Result<Located, Damaged> {
        Ok(Located {
            row: self.row(row).ok_or(Damaged)?,
            digest: self.place(Part::Digest, row).ok_or(Damaged)?,
            otlp: self.place(Part::Otlp, row).ok_or(Damaged)?,
        })
    }

    fn end_before(&self, column: usize, row: u32) -> u64 {
        self.layout.end_before(&self.value, column, row)
    }

    #[inline]
    fn get(&self, column: usize, row: u32) -> u64 {
        self.layout.get(&self.value, column, row)
    }
}

// === impl Layout ===

impl Layout {
    fn parse(value: &Value, input: &mut Input<'_>) -> Result<Self, Damaged> {
        let rows = input.small()?;
        let mut columns = [Column::default(); COLUMNS];
        for column in &mut columns {
            *column = Column::parse(value, input, rows as usize)?;
        }
        let mut layout = Self {
            rows,
            columns,
            digests: Vec::new(),
            otlp: Vec::new(),
            has_blockless: false,
        };
        layout.digests = layout.extents(value, input, DIGEST_END)?;
        layout.otlp = layout.extents(value, input, OTLP_END)?;
        layout.has_blockless = layout.otlp.iter().any(|it| it.block == 0);
        Ok(layout)
    }

    fn extents(
        &self,
        value: &Value,
        input: &mut Input<'_>,
        column: usize,
    ) -> Result<Vec<Extent>, Damaged> {
        let count = input.count()?;
        let mut extents = Vec::with_capacity(count);
        for _ in 0..count {
            let row = input.small()?;
            let (block, offset) = (input.varint()?, input.small()?);
            let start = self.end_before(value, column, row);
            extents.push(Extent {
                row,
                block,
                offset,
                start,
            });
        }
        Ok(extents)
    }

    fn end_before(&self, value: &Value, column: usize, row: u32) -> u64 {
        row.checked_sub(1)
            .map_or(0, |before| self.get(value, column, before))
    }

    #[inline]
    fn get(&self, value: &Value, column: usize, row: u32) -> u64 {
        let column = self.columns.get(column).copied().unwrap_or_default();
        column.get(value, row)
    }
}

// === impl Place ===

impl Place {
    /// Returns its range in the block.
    pub(crate) fn range(&self) -> Range<usize> {
        let start = self.offset as usize;
        start..start + self.len as usize
    }

    /// Makes the place of `len` bytes.
    pub(crate) fn new(block: u64, offset: usize, len: usize) -> Self {
        Self {
            block,
            offset: small(offset),
            len: small(len),
        }
    }
}
