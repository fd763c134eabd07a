//! The report of a step.

use std::collections::{BTreeMap, BTreeSet};

use larder_plugin::{Repaired, TraceId};

use crate::frame::{Area, Kind};
use crate::segment::Chunk;
use crate::store::Writer;

/// A step ends once it has looked at this many values,
const STEP_VALUES: u64 = 256;
/// or has this many lines.
const STEP_LINES: usize = 4096;

/// The most traces of a lost block that its line names. The host takes lines of 4 KiB.
const TRACES_NAMED: usize = 80;

/// What a step has done.
#[derive(Debug, Default)]
pub(super) struct Report {
    repaired: Repaired,
}

/// Fragments whose spans are lost, by bucket, block and whether that can be read. Several tables may refer to a block.
#[derive(Debug, Default)]
pub(super) struct LostBlocks(BTreeMap<(u64, u64, bool), LostBlock>);

#[derive(Debug, Default)]
struct LostBlock {
    fragments: u64,
    spans: u64,
    /// The first of its traces.
    traces: BTreeSet<TraceId>,
    has_more: bool,
}

// === impl Report ===

impl Report {
    /// Counts a value, or a few that belong together.
    pub(super) fn read(&mut self) {
        self.repaired.values += 1;
    }

    /// Returns true if the step has to end.
    pub(super) fn is_enough(&self) -> bool {
        let it = &self.repaired;
        !it.remake.is_empty()
            || it.values >= STEP_VALUES
            || it.lost.len() + it.mended.len() >= STEP_LINES
    }

    /// Asks the host for what it makes of these spans.
    pub(super) fn ask(&mut self, otlp: Vec<Vec<u8>>) {
        self.repaired.remake = otlp;
    }

    /// Returns the report; `more` if the repair goes on.
    pub(super) fn end(mut self, more: bool) -> Repaired {
        self.repaired.more = more;
        self.repaired
    }

    /// Reports a value that can be read again, and the effect.
    pub(super) fn mended(
        &mut self,
        writer: &Writer,
        area: Area,
        (kind, number): (Kind, u64),
        effect: &str,
    ) {
        let name = name(writer, area, (kind, number));
        self.repaired.mended.push(format!("{name}: {effect}"));
    }

    /// Reports what was lost.
    pub(super) fn lost(&mut self, line: String) {
        self.repaired.lost.push(line);
    }

    /// Reports the fragments of a table, whose traces are not known.
    pub(super) fn lost_table(&mut self, writer: &Writer, bucket: u64, chunk: &Chunk, rows: u32) {
        let starts = chunk.bounds.starts;
        let name = name(writer, Area::Data(bucket), (Kind::Table, chunk.table));
        self.lost(format!(
            "the spans of {rows} fragments of unknown traces, which started from {} to {} (nanoseconds since 1970), written by {}: {name}",
            starts.start, starts.end, writer.id
        ));
    }

    /// Reports lost blocks, a line for each, until the step has to end. Returns true once all of them are reported.
    pub(super) fn lost_blocks(&mut self, writer: &Writer, blocks: &mut LostBlocks) -> bool {
        while !self.is_enough()
            && let Some((key, block)) = blocks.0.pop_first()
        {
            self.read();
            self.lost(block.line(writer, key));
        }
        blocks.0.is_empty()
    }
}

// === impl LostBlocks ===

impl LostBlocks {
    /// Adds a fragment whose spans are lost; `is_readable` if they can be read and the host makes nothing of them.
    pub(super) fn add(
        &mut self,
        (bucket, block, is_readable): (u64, u64, bool),
        (trace, spans): (TraceId, u32),
    ) {
        let block = self.0.entry((bucket, block, is_readable)).or_default();
        block.fragments += 1;
        block.spans += u64::from(spans);
        if block.traces.len() < TRACES_NAMED {
            block.traces.insert(trace);
        } else if !block.traces.contains(&trace) {
            block.has_more = true;
        }
    }
}

// === impl LostBlock ===

impl LostBlock {
    fn line(&self, writer: &Writer, (bucket, block, is_readable): (u64, u64, bool)) -> String {
        let name = name(writer, Area::Data(bucket), (Kind::Otlp, block));
        let (spans, fragments) = (self.spans, self.fragments);
        let traces = self.traces.iter();
        let traces: Vec<String> = traces
            .map(|id| format!("{:016x}{:016x}", id.high, id.low))
            .collect();
        let traces = traces.join(", ");
        let more = if self.has_more { " and more" } else { "" };
        let why = if is_readable {
            "; the host can make nothing of them"
        } else {
            ""
        };
        format!("{name}: {spans} spans in {fragments} fragments, of trace {traces}{more}{why}")
    }
}

/// Names a value as the check does.
pub(super) fn name(writer: &Writer, area: Area, (kind, number): (Kind, u64)) -> String {
    let letter = char::from(kind as u8);
    let partition = area.name(&writer.id);
    format!("{kind:?} {letter}{number:016x} of partition {partition}")
}
