//! The report of a step.

use std::collections::BTreeMap;

use larder_plugin::{Repaired, TraceId};

use crate::frame::{Area, Kind};
use crate::segment::Chunk;
use crate::store::Writer;

/// A step ends once it has looked at this many values,
const STEP_VALUES: u64 = 256;
/// or has this many lines.
const STEP_LINES: usize = 4096;

/// What a step has done.
#[derive(Debug, Default)]
pub(super) struct Report {
    repaired: Repaired,
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

    /// Reports lost fragments, given by their traces and numbers of spans: a line for each trace.
    pub(super) fn lost_fragments(
        &mut self,
        because: &str,
        fragments: impl Iterator<Item = (TraceId, u32)>,
    ) {
        let mut traces: BTreeMap<TraceId, (u64, u64)> = BTreeMap::new();
        for (trace, spans) in fragments {
            let (fragments, all) = traces.entry(trace).or_default();
            *fragments += 1;
            *all += u64::from(spans);
        }
        for (id, (fragments, spans)) in traces {
            self.lost(format!(
                "trace {:016x}{:016x}: {spans} spans in {fragments} fragments: {because}",
                id.high, id.low
            ));
        }
    }
}

/// Names a value as the check does.
pub(super) fn name(writer: &Writer, area: Area, (kind, number): (Kind, u64)) -> String {
    let letter = char::from(kind as u8);
    let partition = area.name(&writer.id);
    format!("{kind:?} {letter}{number:016x} of partition {partition}")
}
