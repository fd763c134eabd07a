//! The searches that are timed: the same bytes to every target in turn, and how much came back.

use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::Result;
use bytes::Bytes;
use larder_proto::storage::v2 as proto;
use prost::Message;
use tonic::{Code, Status};

use crate::generate::Corpus;
use crate::queries::{FIND_TRACES, within};
use crate::target::Target;

mod expression;
mod filters;
mod legacy;
#[cfg(test)]
mod tests;

/// One kind of search.
struct Search {
    name: &'static str,
    method: &'static str,
    request: Bytes,
}

/// A search's times on one target.
pub(crate) enum Timing {
    /// In rising order, and the bytes of one answer.
    Times(Vec<Duration>, usize),
    /// What it did instead, in a few words.
    Refused(String),
}

/// A row of the table.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) timings: Vec<Timing>,
}

/// Times every search on every target.
pub(crate) async fn run(corpus: &Corpus, targets: &[Target], repeat: usize) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for search in searches(corpus) {
        let mut timings: Vec<Timing> = targets
            .iter()
            .map(|_| Timing::Times(Vec::new(), 0))
            .collect();
        // One uncounted round, then the targets in turn.
        for round in 0..=repeat.max(1) {
            for (target, timing) in targets.iter().zip(&mut timings) {
                let Timing::Times(times, bytes) = timing else {
                    continue;
                };
                let started = Instant::now();
                match target.call(search.method, search.request.clone()).await {
                    Ok(answer) if round > 0 => {
                        times.push(started.elapsed());
                        *bytes = answer.iter().map(Bytes::len).sum();
                    }
                    Ok(_) => {}
                    Err(error) => {
                        writeln!(
                            std::io::stderr(),
                            "{}: {}: {error:#}",
                            target.name,
                            search.name
                        )?;
                        *timing = Timing::Refused(refusal(&error));
                    }
                }
            }
        }
        for timing in &mut timings {
            if let Timing::Times(times, _) = timing {
                times.sort_unstable();
            }
        }
        rows.push(Row {
            name: search.name,
            timings,
        });
    }
    Ok(rows)
}

/// An error in the words of the table. The whole of it goes to standard error.
fn refusal(error: &anyhow::Error) -> String {
    match error.downcast_ref::<Status>() {
        Some(status) => match status.code() {
            Code::InvalidArgument => "refused".to_owned(),
            Code::Unimplemented => "not implemented".to_owned(),
            _ => status.message().chars().take(60).collect(),
        },
        None => format!("{error:#}").chars().take(60).collect(),
    }
}

fn searches(corpus: &Corpus) -> Vec<Search> {
    let all = within(corpus, 20);
    let mut searches = legacy::searches(corpus, &all);
    searches.extend(filters::searches(&all));
    searches
}

/// The search that costs a server most: its name in the table, and a request of `FindTraces`.
pub(crate) fn costliest(corpus: &Corpus) -> (&'static str, Bytes) {
    let query = proto::TraceQueryParameters {
        filter: Some(filters::unnarrowed()),
        ..within(corpus, 20)
    };
    (
        filters::UNNARROWED,
        find(filters::UNNARROWED, &query).request,
    )
}

fn find(name: &'static str, query: &proto::TraceQueryParameters) -> Search {
    let request = proto::FindTracesRequest {
        query: Some(query.clone()),
    };
    Search {
        name,
        method: FIND_TRACES,
        request: request.encode_to_vec().into(),
    }
}

fn summaries(name: &'static str, query: &proto::TraceQueryParameters) -> Search {
    let request = proto::FindTraceSummariesRequest {
        query: Some(query.clone()),
    };
    Search {
        name,
        method: "/jaeger.storage.v2.TraceReader/FindTraceSummaries",
        request: request.encode_to_vec().into(),
    }
}
