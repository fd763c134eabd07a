//! Filters judged once more and simply: plain loops over owned messages, written from the specification alone. Nothing is prepared,
//! swapped or indexed, and what a constant is read as is found out anew for each span.

mod operands;
pub(crate) mod patterns;
mod predicates;
mod read;
mod times;
mod values;

use std::cmp::Reverse;
use std::collections::BTreeMap;

use larder_proto::expression::v1::Call;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};

/// A span with what is around it.
#[derive(Clone, Copy)]
struct Seen<'a> {
    resource: &'a ResourceSpans,
    scope: &'a ScopeSpans,
    span: &'a Span,
}

/// All that was written, by trace.
pub(crate) struct Judge<'a> {
    traces: BTreeMap<[u8; 16], Vec<Seen<'a>>>,
}

impl<'a> Judge<'a> {
    pub(crate) fn new(written: impl IntoIterator<Item = &'a ResourceSpans>) -> Self {
        let mut traces: BTreeMap<[u8; 16], Vec<Seen<'a>>> = BTreeMap::new();
        for resource in written {
            for scope in &resource.scope_spans {
                for span in &scope.spans {
                    let id = span.trace_id[..].try_into().unwrap();
                    traces.entry(id).or_default().push(Seen {
                        resource,
                        scope,
                        span,
                    });
                }
            }
        }
        Self { traces }
    }

    /// How many traces there are.
    pub(crate) fn len(&self) -> usize {
        self.traces.len()
    }

    /// V1, V15: newest matching span first, then by id; no more than the depth.
    pub(crate) fn find(&self, filter: &Call, (from, to): (u64, u64), depth: i32) -> Vec<[u8; 16]> {
        let mut found = Vec::new();
        for (id, spans) in &self.traces {
            let in_window = |seen: &&Seen<'_>| {
                let start = seen.span.start_time_unix_nano;
                from <= start && start <= to
            };
            let matching = spans
                .iter()
                .filter(in_window)
                .filter(|seen| predicates::holds(filter, **seen, predicates::Bound::default()));
            let newest = matching.map(|seen| seen.span.start_time_unix_nano).max();
            found.extend(newest.map(|newest| (Reverse(newest), *id)));
        }
        found.sort_unstable();
        found.truncate(if depth == 0 {
            100
        } else {
            usize::try_from(depth).unwrap()
        });
        found.into_iter().map(|(_, id)| id).collect()
    }
}
