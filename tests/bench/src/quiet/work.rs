//! The quiet tenant's calls, prepared before the start, each with its expected answer.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use bytes::Bytes;
use larder_oracle::corpus::{Corpus, SERVICES, service_name};
use larder_oracle::otlp::spans_of;
use prost::Message;

use crate::findings::Findings;
use crate::queries::{EXPORT, all_kept, within};
use crate::question::Question;
use crate::source::all_of;
use crate::truth::Truth;

#[cfg(test)]
mod tests;

/// The kinds of calls, in round-robin order.
pub(super) const KINDS: [&str; 3] = ["FindTraces, newest 20", "trace by id", "Export, 50 spans"];
const FIND: usize = 0;
const GET: usize = 1;
const WRITE: usize = 2;
const DEPTH: i32 = 20;
const EXPORT_SPANS: u64 = 50;
/// The service of spans written meanwhile. It is not searched, so the answers do not change.
const WRITTEN: &str = "quiet-writes";

/// A call.
pub(super) struct Task {
    /// Index of its kind in [`KINDS`].
    pub(super) kind: usize,
    pub(super) method: &'static str,
    pub(super) request: Bytes,
    /// A search or read with its expected answer; `None` for a write.
    known: Option<(Question, Findings)>,
}

impl Task {
    /// Fails if the answer is not the expected one.
    pub(super) fn check(&self, answer: &[Bytes]) -> Result<()> {
        match &self.known {
            Some((question, expected)) => expected.check(question, answer),
            None => all_kept(answer),
        }
    }
}

/// All calls: searches iterate over the services and reads over as many traces; each write is different.
pub(super) struct Work([Vec<Task>; KINDS.len()]);

impl Work {
    /// Prepares `calls` calls of a tenant that has the corpus.
    pub(super) fn new(corpus: &Corpus, calls: u64) -> Result<Self> {
        let finds = known(corpus, finds(corpus))?;
        let gets = known(corpus, gets(corpus)?)?;
        let writes = calls.div_ceil(3).max(1);
        let written = corpus.beside(writes * EXPORT_SPANS, EXPORT_SPANS);
        let writes = (0..writes).map(|index| Task {
            kind: WRITE,
            method: EXPORT,
            request: written.request_of(index, WRITTEN).encode_to_vec().into(),
            known: None,
        });
        let read = |kind, known: Vec<(Question, Findings)>| {
            let tasks = known.into_iter().map(|(question, expected)| Task {
                kind,
                method: question.method(),
                request: question.request(),
                known: Some((question, expected)),
            });
            tasks.collect()
        };
        Ok(Self([read(FIND, finds), read(GET, gets), writes.collect()]))
    }

    /// Returns call number `number`.
    pub(super) fn task(&self, number: u64) -> Result<&Task> {
        let number = usize::try_from(number)?;
        let of_kind = self.0.get(number % KINDS.len());
        let of_kind = of_kind.context("a kind of call")?;
        of_kind
            .get(number / KINDS.len() % of_kind.len().max(1))
            .context("the corpus has no span to search for")
    }
}

/// Returns the questions with their expected answers from the corpus.
fn known(corpus: &Corpus, questions: Vec<Question>) -> Result<Vec<(Question, Findings)>> {
    let findings = Truth::of(questions.iter().cloned(), all_of(corpus))?;
    Ok(questions.into_iter().zip(findings).collect())
}

/// Asks for the newest traces of each service.
fn finds(corpus: &Corpus) -> Vec<Question> {
    let of_service = |number| within(corpus, DEPTH).service(service_name(number));
    let queries = (0..SERVICES).map(of_service);
    queries.map(Question::Traces).collect()
}

/// Asks for as many traces as there are services, from all over the corpus.
fn gets(corpus: &Corpus) -> Result<Vec<Question>> {
    let mut ids = BTreeSet::new();
    for index in 0..corpus.requests() {
        let (message, _) = corpus.message(index);
        for one in spans_of(&message.resource_spans) {
            let id: [u8; 16] = one.span.trace_id.as_slice().try_into()?;
            ids.insert(id);
        }
    }
    let step = (ids.len() / SERVICES).max(1);
    let some = ids.into_iter().step_by(step).take(SERVICES);
    Ok(some.map(Question::Trace).collect())
}
