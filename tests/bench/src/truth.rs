//! The expected answers of searches, computed from the Exports by the oracle, which evaluates every span. Only the newest traces so far
//! are held in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::{Context, Result};
use larder_oracle::corpus::Request;
use larder_oracle::otlp::{SpanRef, hex, spans_of};
use larder_oracle::{calls, kind, service, summary, times};
use larder_proto::storage::v2::TraceSummary;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;

use crate::findings::{self, Findings, operation, pair};
use crate::question::Question;
use newest::Newest;

mod newest;
#[cfg(test)]
mod tests;

/// The answer to a question so far.
enum PartialAnswer {
    Newest(Newest),
    Trace(u64),
    /// Services or operations.
    Names(BTreeSet<String>),
    Dependencies(BTreeMap<String, u64>),
}

/// The answers to some questions, updated with every Export. An Export holds whole traces.
pub(crate) struct Truth(Vec<(Question, PartialAnswer)>);

impl Truth {
    /// Starts without any Export.
    fn new(questions: impl Iterator<Item = Question>) -> Self {
        let answers = questions.map(|question| {
            let answer = match &question {
                Question::Traces(_) | Question::Ids(_) | Question::Summaries(_) => {
                    PartialAnswer::Newest(Newest::default())
                }
                Question::Trace(_) => PartialAnswer::Trace(0),
                Question::Services | Question::Operations(_) => {
                    PartialAnswer::Names(BTreeSet::new())
                }
                Question::Dependencies(..) => PartialAnswer::Dependencies(BTreeMap::new()),
            };
            (question, answer)
        });
        Self(answers.collect())
    }

    /// Returns the answers once all these Exports are written.
    pub(crate) fn of(
        questions: impl Iterator<Item = Question>,
        requests: impl Iterator<Item = Result<Request>>,
    ) -> Result<Vec<Findings>> {
        let mut truth = Self::new(questions);
        for request in requests {
            let message = ExportTraceServiceRequest::decode(request?.bytes)
                .context("a request is no ExportTraceServiceRequest")?;
            truth.add(&message);
        }
        Ok(truth.findings())
    }

    /// Returns the answer to one question once one Export is written.
    pub(crate) fn of_one(question: Question, message: &ExportTraceServiceRequest) -> Findings {
        let mut truth = Self::new(std::iter::once(question));
        truth.add(message);
        truth.findings().swap_remove(0)
    }

    /// Evaluates every span of an Export.
    fn add(&mut self, message: &ExportTraceServiceRequest) {
        let mut traces: BTreeMap<&[u8], Vec<SpanRef<'_>>> = BTreeMap::new();
        for one in spans_of(&message.resource_spans) {
            traces.entry(&one.span.trace_id).or_default().push(one);
        }
        for (id, spans) in traces {
            let mut told = None;
            for (question, answer) in &mut self.0 {
                match (question, answer) {
                    (
                        Question::Traces(query) | Question::Ids(query) | Question::Summaries(query),
                        PartialAnswer::Newest(newest),
                    ) => newest.add(query, &spans, || {
                        let summary = told.get_or_insert_with(|| Arc::new(summary(&spans)));
                        Arc::clone(summary)
                    }),
                    (Question::Trace(wanted), PartialAnswer::Trace(count)) if wanted == id => {
                        *count += u64::try_from(spans.len()).unwrap_or(0);
                    }
                    (Question::Services, PartialAnswer::Names(names)) => {
                        names.extend(spans.iter().map(|one| service(*one).to_owned()));
                    }
                    (Question::Operations(of), PartialAnswer::Names(names)) => {
                        let spans = spans.iter().filter(|one| service(**one) == of);
                        names.extend(spans.map(|one| operation(&one.span.name, kind(*one))));
                    }
                    (Question::Dependencies(from, to), PartialAnswer::Dependencies(counts)) => {
                        let (start, end) = times(&spans);
                        if *from <= start && end <= *to {
                            for (parent, child) in calls(&spans) {
                                *counts.entry(pair(parent, child)).or_default() += 1;
                            }
                        }
                    }
                    _ => {}
                }
            }
        }
    }

    /// Returns the answers, in the order of the questions.
    fn findings(self) -> Vec<Findings> {
        self.0
            .into_iter()
            .map(|(question, answer)| match answer {
                PartialAnswer::Newest(newest) => {
                    Findings::newest_first(newest.summaries().map(|of| {
                        let about = match question {
                            Question::Traces(_) => spans_in(of),
                            Question::Summaries(_) => findings::summary(of),
                            _ => String::new(),
                        };
                        (hex(&of.trace_id), about)
                    }))
                }
                PartialAnswer::Trace(spans) => match question {
                    Question::Trace(id) if spans > 0 => {
                        Findings::any_order([(hex(&id), findings::spans(spans))])
                    }
                    _ => Findings::any_order([]),
                },
                PartialAnswer::Names(names) => {
                    Findings::any_order(names.into_iter().map(|name| (name, String::new())))
                }
                PartialAnswer::Dependencies(counts) => Findings::any_order(
                    counts
                        .into_iter()
                        .map(|(pair, calls)| (pair, findings::calls(calls))),
                ),
            })
            .collect()
    }
}

fn spans_in(summary: &TraceSummary) -> String {
    findings::spans(u64::try_from(summary.span_count).unwrap_or(0))
}
