//! Encoding of index records: big-endian numbers of eight bytes.

use larder_plugin::{
    BatchOperation, DurationRange, Fragment, Operation, Search, SpanKind, Term, TimeRange, TraceId,
};

/// A fragment without its bytes.
#[derive(Debug, PartialEq)]
pub(crate) struct Record {
    pub(crate) trace_id: TraceId,
    pub(crate) starts: TimeRange,
    durations: DurationRange,
    terms: Vec<Term>,
}

impl Record {
    pub(crate) fn of(fragment: &Fragment<'_>) -> Self {
        Self {
            trace_id: fragment.trace_id,
            starts: fragment.starts,
            durations: fragment.durations,
            terms: fragment.terms.to_vec(),
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let head = [
            self.trace_id.high,
            self.trace_id.low,
            self.starts.start,
            self.starts.end,
            self.durations.shortest,
            self.durations.longest,
        ];
        let numbers = head.iter().chain(&self.terms);
        numbers.flat_map(|number| number.to_be_bytes()).collect()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (numbers, []) = bytes.as_chunks() else {
            return None;
        };
        let numbers: Vec<u64> = numbers
            .iter()
            .map(|eight| u64::from_be_bytes(*eight))
            .collect();
        let [high, low, start, end, shortest, longest, terms @ ..] = &numbers[..] else {
            return None;
        };
        Some(Self {
            trace_id: TraceId {
                high: *high,
                low: *low,
            },
            starts: TimeRange {
                start: *start,
                end: *end,
            },
            durations: DurationRange {
                shortest: *shortest,
                longest: *longest,
            },
            terms: terms.to_vec(),
        })
    }

    pub(crate) fn is_admitted_by(&self, search: &Search) -> bool {
        search.starts.overlaps(&self.starts)
            && search.durations.overlaps(&self.durations)
            && search.admits_terms(&self.terms)
    }
}

const KINDS: [SpanKind; 6] = [
    SpanKind::Unspecified,
    SpanKind::Internal,
    SpanKind::Server,
    SpanKind::Client,
    SpanKind::Producer,
    SpanKind::Consumer,
];

/// Encodes an operation as a key: the length of its service, its kind, both names.
pub(crate) fn of_operation(operation: &BatchOperation<'_>) -> Vec<u8> {
    let mut key = (operation.service.len() as u64).to_be_bytes().to_vec();
    key.push(operation.kind as u8);
    key.extend(operation.service.as_bytes());
    key.extend(operation.name.as_bytes());
    key
}

/// Decodes the operation of a key.
pub(crate) fn operation(key: &[u8]) -> Option<Operation> {
    let (length, rest) = key.split_first_chunk()?;
    let (kind, names) = rest.split_first()?;
    let length = usize::try_from(u64::from_be_bytes(*length)).ok()?;
    let (service, name) = names.split_at_checked(length)?;
    Some(Operation {
        service: String::from_utf8(service.to_vec()).ok()?,
        name: String::from_utf8(name.to_vec()).ok()?,
        kind: *KINDS.get(usize::from(*kind))?,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_record_and_an_operation_read_back_as_written() {
        let record = Record {
            trace_id: TraceId { high: 1, low: 2 },
            starts: TimeRange { start: 3, end: 4 },
            durations: DurationRange {
                shortest: 5,
                longest: 6,
            },
            terms: vec![7, 8],
        };
        let bytes = record.encode();
        assert_eq!(Record::decode(&bytes).unwrap(), record);
        assert_eq!(Record::decode(bytes.get(1..).unwrap()), None);

        let written = BatchOperation {
            service_index: 0,
            service: "a",
            name: "bc",
            kind: SpanKind::Consumer,
        };
        let known = operation(&of_operation(&written));
        assert_eq!(known, Some(written.into()));
    }
}
