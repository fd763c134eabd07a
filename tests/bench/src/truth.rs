//! What searches have to find, worked out from the Exports themselves by looking at every span.
//!
//! Nothing of a search's request is read here but its window and depth: what matches is a Rust function of the span, so that an error
//! in a request, in the server's index or in its judge shows. Of the traces only those are held that are the newest so far.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::{Context, Result};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;

use crate::findings::{self, Findings, hex, operation, pair};
use crate::generate::Request;
use newest::Newest;
pub(crate) use seen::Seen;
use summary::{Facts, calls};

mod newest;
mod seen;
mod summary;
#[cfg(test)]
mod tests;

/// A trace's id.
type TraceId = Vec<u8>;

/// Which traces a search selects: those with a span that matches and starts in the window, both ends included.
#[derive(Clone, Copy)]
pub(crate) struct Selection {
    pub(crate) matches: fn(&Seen<'_>) -> bool,
    /// Nanoseconds since the epoch.
    pub(crate) from: u64,
    pub(crate) to: u64,
    /// At most so many, the newest.
    pub(crate) depth: usize,
}

/// What a search asks for.
#[derive(Clone)]
pub(crate) enum Question {
    /// `FindTraces`.
    Traces(Selection),
    /// `FindTraceIDs`.
    Ids(Selection),
    /// `FindTraceSummaries`.
    Summaries(Selection),
    /// `GetTraces` of one.
    Trace([u8; 16]),
    /// `GetServices`.
    Services,
    /// `GetOperations` of a service, of every kind.
    Operations(String),
    /// `GetDependencies` over all time.
    Dependencies,
}

impl Question {
    /// Whether spans that start after its window, or are of another trace, leave the answer as it is.
    pub(crate) fn has_window(&self) -> bool {
        match self {
            Self::Traces(_) | Self::Ids(_) | Self::Summaries(_) | Self::Trace(_) => true,
            Self::Services | Self::Operations(_) | Self::Dependencies => false,
        }
    }
}

/// What has been seen for a question.
enum Answer {
    Newest(Newest),
    Trace(u64),
    /// Services or operations.
    Names(BTreeSet<String>),
    Dependencies(BTreeMap<String, u64>),
}

/// The answers to some questions, growing with every Export. An Export holds whole traces.
pub(crate) struct Truth(Vec<(Question, Answer)>);

impl Truth {
    /// Before any Export.
    pub(crate) fn new(questions: impl Iterator<Item = Question>) -> Self {
        let answers = questions.map(|question| {
            let answer = match &question {
                Question::Traces(selection)
                | Question::Ids(selection)
                | Question::Summaries(selection) => Answer::Newest(Newest::new(*selection)),
                Question::Trace(_) => Answer::Trace(0),
                Question::Services | Question::Operations(_) => Answer::Names(BTreeSet::new()),
                Question::Dependencies => Answer::Dependencies(BTreeMap::new()),
            };
            (question, answer)
        });
        Self(answers.collect())
    }

    /// What the questions' answers are once all these Exports are written.
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

    /// Looks at every span of an Export.
    pub(crate) fn add(&mut self, message: &ExportTraceServiceRequest) {
        let mut traces: BTreeMap<&[u8], Vec<Seen<'_>>> = BTreeMap::new();
        for seen in seen::spans(message) {
            traces
                .entry(seen.span.trace_id.as_slice())
                .or_default()
                .push(seen);
        }
        for (id, spans) in traces {
            let mut facts = None;
            for (question, answer) in &mut self.0 {
                match answer {
                    Answer::Newest(newest) => newest.add(id, &spans, || {
                        let facts = facts.get_or_insert_with(|| Arc::new(Facts::of(id, &spans)));
                        Arc::clone(facts)
                    }),
                    Answer::Trace(count) => {
                        if matches!(question, Question::Trace(wanted) if wanted == id) {
                            *count += u64::try_from(spans.len()).unwrap_or(0);
                        }
                    }
                    Answer::Names(names) => add_names(question, &spans, names),
                    Answer::Dependencies(counts) => {
                        for (parent, child) in calls(&spans) {
                            *counts.entry(pair(parent, child)).or_default() += 1;
                        }
                    }
                }
            }
        }
    }

    /// The answers, in the order of the questions.
    pub(crate) fn findings(self) -> Vec<Findings> {
        self.0
            .into_iter()
            .map(|(question, answer)| match answer {
                Answer::Newest(newest) => Findings::newest_first(newest.facts().map(|facts| {
                    let about = match question {
                        Question::Traces(_) => facts.spans(),
                        Question::Summaries(_) => facts.summary(),
                        _ => String::new(),
                    };
                    (hex(facts.id()), about)
                })),
                Answer::Trace(spans) => match question {
                    Question::Trace(id) if spans > 0 => {
                        Findings::any_order([(hex(&id), findings::spans(spans))])
                    }
                    _ => Findings::any_order([]),
                },
                Answer::Names(names) => {
                    Findings::any_order(names.into_iter().map(|name| (name, String::new())))
                }
                Answer::Dependencies(counts) => Findings::any_order(
                    counts
                        .into_iter()
                        .map(|(pair, calls)| (pair, findings::calls(calls))),
                ),
            })
            .collect()
    }
}

fn add_names(question: &Question, spans: &[Seen<'_>], names: &mut BTreeSet<String>) {
    for seen in spans {
        match question {
            Question::Services if !names.contains(seen.service) => {
                names.insert(seen.service.to_owned());
            }
            Question::Operations(service) if service == seen.service => {
                names.insert(operation(&seen.span.name, seen.kind()));
            }
            _ => {}
        }
    }
}
