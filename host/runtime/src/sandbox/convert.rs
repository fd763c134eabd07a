//! Between the types of `storage` and those of the contract's bindings.

use larder_model::storage::{
    Checked, DurationRange, Operation, Part, Piece, Pieces, Sighting, Sightings, SpanKind,
    Statistics, TimeRange, TraceId,
};

use super::bindings::exports::larder::storage::{lifecycle, reader};
use super::bindings::larder::storage::types;

pub(crate) fn trace_id(id: TraceId) -> types::TraceId {
    let [high, low] = halves(id.0);
    types::TraceId { high, low }
}

fn halves(id: u128) -> [u64; 2] {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the two halves, on purpose"
    )]
    [(id >> 64) as u64, id as u64]
}

fn trace_id_back(id: types::TraceId) -> TraceId {
    TraceId((u128::from(id.high) << 64) | u128::from(id.low))
}

pub(crate) fn starts(range: TimeRange) -> types::TimeRange {
    types::TimeRange {
        start: range.start,
        end: range.end,
    }
}

pub(crate) fn durations(range: DurationRange) -> types::DurationRange {
    types::DurationRange {
        shortest: range.shortest,
        longest: range.longest,
    }
}

pub(crate) fn part(part: Part) -> reader::Part {
    match part {
        Part::Digest => reader::Part::Digest,
        Part::Otlp => reader::Part::Otlp,
    }
}

pub(crate) fn kind(kind: SpanKind) -> types::SpanKind {
    match kind {
        SpanKind::Unspecified => types::SpanKind::Unspecified,
        SpanKind::Internal => types::SpanKind::Internal,
        SpanKind::Server => types::SpanKind::Server,
        SpanKind::Client => types::SpanKind::Client,
        SpanKind::Producer => types::SpanKind::Producer,
        SpanKind::Consumer => types::SpanKind::Consumer,
    }
}

pub(crate) fn operation_back(operation: types::Operation) -> Operation {
    Operation {
        service: operation.service,
        name: operation.name,
        kind: match operation.kind {
            types::SpanKind::Unspecified => SpanKind::Unspecified,
            types::SpanKind::Internal => SpanKind::Internal,
            types::SpanKind::Server => SpanKind::Server,
            types::SpanKind::Client => SpanKind::Client,
            types::SpanKind::Producer => SpanKind::Producer,
            types::SpanKind::Consumer => SpanKind::Consumer,
        },
    }
}

pub(crate) fn sightings_back(page: reader::Sightings) -> Sightings {
    let found = page.found.into_iter().map(|sighting| Sighting {
        trace_id: trace_id_back(sighting.trace_id),
        newest: sighting.newest,
        fragment: sighting.fragment,
    });
    Sightings {
        found: found.collect(),
        floor: page.floor,
        resume: page.resume,
    }
}

pub(crate) fn pieces_back(page: reader::Pieces) -> Pieces {
    let pieces = page.pieces.into_iter().map(|piece| Piece {
        trace_id: trace_id_back(piece.trace_id),
        fragment: piece.fragment,
        bytes: piece.bytes,
    });
    Pieces {
        pieces: pieces.collect(),
        resume: page.resume,
    }
}

pub(crate) fn statistics_back(counts: lifecycle::Counts) -> Statistics {
    Statistics {
        traces: counts.traces,
        spans: counts.spans,
        bytes: counts.bytes,
        evicted_traces: counts.evicted_traces,
        evicted_spans: counts.evicted_spans,
        expired_traces: counts.expired_traces,
        expired_spans: counts.expired_spans,
    }
}

pub(crate) fn checked_back(step: lifecycle::Checked) -> Checked {
    Checked {
        values: step.values,
        bytes: step.bytes,
        damaged: step.damaged,
        resume: step.resume,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_id_comes_back_as_it_went() {
        let id = TraceId(0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10);
        let there = trace_id(id);
        assert_eq!(there.high, 0x0102_0304_0506_0708);
        assert_eq!(there.low, 0x090a_0b0c_0d0e_0f10);
        assert_eq!(trace_id_back(there), id);
    }
}
