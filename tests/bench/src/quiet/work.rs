//! The quiet tenant's calls, made before the start, each with what its answer has to be.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use anyhow::{Context, Result};
use bytes::Bytes;
use opentelemetry_proto::tonic::common::v1::any_value;
use opentelemetry_proto::tonic::trace::v1::ResourceSpans;
use prost::Message;

use crate::answers::Traces;
use crate::generate::{Corpus, SERVICES};
use crate::queries::{EXPORT, FIND_TRACES, GET_TRACES, all_kept, newest, trace};

#[cfg(test)]
mod tests;

/// The kinds of calls, in the order in which they take turns.
pub(super) const KINDS: [&str; 3] = ["FindTraces, newest 20", "trace by id", "Export, 50 spans"];
const FIND: usize = 0;
const GET: usize = 1;
const WRITE: usize = 2;
const DEPTH: i32 = 20;
const EXPORT_SPANS: u64 = 50;
/// The service of what is written meanwhile: not one that is searched, so that the answers stay what they are.
const WRITTEN: &str = "quiet-writes";

/// A call.
pub(super) struct Task {
    /// Its place in [`KINDS`].
    pub(super) kind: usize,
    pub(super) method: &'static str,
    pub(super) request: Bytes,
    /// What a search or read has to answer; for a write, nothing.
    traces: Option<Traces>,
}

impl Task {
    /// Fails if the answer is not what it has to be.
    pub(super) fn check(&self, answer: &[Bytes]) -> Result<()> {
        match &self.traces {
            Some(traces) => traces.check(answer),
            None => all_kept(answer),
        }
    }
}

/// All calls: searches go through the services and reads through as many traces; each write is another.
pub(super) struct Work([Vec<Task>; KINDS.len()]);

impl Work {
    /// For `calls` calls to a tenant that has the corpus.
    pub(super) fn new(corpus: &Corpus, calls: u64) -> Result<Self> {
        let stored = Stored::of(corpus);
        let services = stored.newest.keys();
        let finds = services.clone().map(|service| Task {
            kind: FIND,
            method: FIND_TRACES,
            request: newest(corpus, service, DEPTH),
            traces: Some(stored.newest_of(service)),
        });
        let gets = stored.some_ids().map(|id| {
            Ok(Task {
                kind: GET,
                method: GET_TRACES,
                request: trace(
                    id.as_slice()
                        .try_into()
                        .context("a trace id has 16 bytes")?,
                ),
                traces: Some(stored.traces.only(&[id])),
            })
        });
        let writes = calls.div_ceil(3).max(1);
        let written = corpus.beside(writes * EXPORT_SPANS, EXPORT_SPANS);
        let writes = (0..writes).map(|index| Task {
            kind: WRITE,
            method: EXPORT,
            request: written.request_of(index, WRITTEN).encode_to_vec().into(),
            traces: None,
        });
        Ok(Self([
            finds.collect(),
            gets.collect::<Result<_>>()?,
            writes.collect(),
        ]))
    }

    /// Call number `number`.
    pub(super) fn task(&self, number: u64) -> Result<&Task> {
        let number = usize::try_from(number)?;
        let of_kind = self.0.get(number % KINDS.len());
        let of_kind = of_kind.context("a kind of call")?;
        of_kind
            .get(number / KINDS.len() % of_kind.len().max(1))
            .context("the corpus has no span to search for")
    }
}

/// What a search of the corpus has to find.
#[derive(Default)]
struct Stored {
    traces: Traces,
    /// For each service its traces with the start of their newest span in it, in nanoseconds.
    newest: BTreeMap<String, BTreeMap<Vec<u8>, u64>>,
}

impl Stored {
    fn of(corpus: &Corpus) -> Self {
        let mut stored = Self::default();
        for index in 0..corpus.requests() {
            stored.add(&corpus.message(index).0.resource_spans);
        }
        stored
    }

    fn add(&mut self, resource_spans: &[ResourceSpans]) {
        self.traces.add(resource_spans);
        for of_service in resource_spans {
            let starts = self.newest.entry(service(of_service)).or_default();
            for span in of_service.scope_spans.iter().flat_map(|of| &of.spans) {
                let start = starts.entry(span.trace_id.clone()).or_default();
                *start = span.start_time_unix_nano.max(*start);
            }
        }
    }

    /// The newest traces of a service, by their newest span in it; of two as new the one with the smaller id comes first.
    fn newest_of(&self, service: &str) -> Traces {
        let starts = self.newest.get(service).into_iter().flatten();
        let mut order: Vec<_> = starts.map(|(id, start)| (Reverse(*start), id)).collect();
        order.sort_unstable();
        let depth = usize::try_from(DEPTH).unwrap_or(0);
        let ids: Vec<_> = order
            .into_iter()
            .take(depth)
            .map(|(_, id)| id.clone())
            .collect();
        self.traces.only(&ids)
    }

    /// As many ids as there are services, from all over the corpus.
    fn some_ids(&self) -> impl Iterator<Item = Vec<u8>> {
        let ids = self.traces.ids();
        let step = (self.traces.len() / SERVICES).max(1);
        ids.step_by(step).take(SERVICES).cloned()
    }
}

/// What a resource has in `service.name`.
fn service(of: &ResourceSpans) -> String {
    let attributes = of.resource.iter().flat_map(|of| &of.attributes);
    let name = attributes
        .filter(|attribute| attribute.key == "service.name")
        .find_map(|attribute| attribute.value.as_ref()?.value.as_ref());
    match name {
        Some(any_value::Value::StringValue(name)) => name.clone(),
        _ => String::new(),
    }
}
