//! What a search has answered: as a client gets it, counted, and so that two answers can be compared.

use std::fmt;

use larder_proto::otlp::TracesData;
use larder_proto::wire;
use serde::Serialize;
use xxhash_rust::xxh3::xxh3_64;

use crate::numbers::whole;

/// How much a search has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Found {
    /// Whole traces.
    Traces {
        /// How many.
        traces: u64,
        /// All their spans.
        spans: u64,
    },
    /// Names.
    Names {
        /// Of services.
        services: u64,
        /// Of the operations of one service.
        operations: u64,
    },
}

/// What a search has answered, so far that two answers can be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) found: Found,
    /// Of the spans or names, in any order.
    fingerprint: u64,
}

/// The messages of an answer, as a client gets them.
pub(crate) enum Messages {
    Traces(Vec<u8>),
    Names(Vec<String>, Vec<String>),
}

// === impl Messages ===

impl Messages {
    pub(crate) fn answer(&self) -> Result<Answer, wire::Error> {
        match self {
            Self::Traces(bytes) => traces(bytes),
            Self::Names(services, operations) => {
                let names = services.iter().chain(operations);
                Ok(Answer {
                    found: Found::Names {
                        services: services.len() as u64,
                        operations: operations.len() as u64,
                    },
                    fingerprint: names.fold(0, |all, it| add(all, it.as_bytes())),
                })
            }
        }
    }
}

// === impl Found ===

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |count: u64, name: &str| {
            let plural = if count == 1 { "" } else { "s" };
            format!("{} {name}{plural}", whole(count))
        };
        let (one, two) = match *self {
            Self::Traces { traces, spans } => (of(spans, "span"), of(traces, "trace")),
            Self::Names {
                services,
                operations,
            } => (of(services, "service"), of(operations, "operation")),
        };
        let between = match self {
            Self::Traces { .. } => " of ",
            Self::Names { .. } => ", ",
        };
        write!(f, "{one}{between}{two}")
    }
}

/// Counts traces, whose spans stand together, and spans.
fn traces(bytes: &[u8]) -> Result<Answer, wire::Error> {
    let (mut traces, mut spans, mut fingerprint) = (0, 0, 0);
    let mut last: &[u8] = &[];
    for resource_spans in TracesData::new(bytes).resource_spans() {
        for scope_spans in resource_spans?.scope_spans() {
            for span in scope_spans?.spans() {
                let span = span?;
                spans += 1;
                traces += u64::from(span.trace_id != last);
                last = span.trace_id;
                fingerprint = add(fingerprint, span.raw);
            }
        }
    }
    let found = Found::Traces { traces, spans };
    Ok(Answer { found, fingerprint })
}

fn add(all: u64, bytes: &[u8]) -> u64 {
    all.wrapping_add(xxh3_64(bytes))
}
