//! Timing searches: the same bytes to every target in turn, each answer checked while no clock runs.

use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::Result;
use bytes::Bytes;
use tonic::{Code, Status};

use crate::findings::Findings;
use crate::searches::Search;
use crate::target::Target;

#[cfg(test)]
mod tests;

/// A search with what it has to find.
pub(crate) struct Known {
    pub(crate) search: Search,
    pub(crate) expected: Findings,
}

/// A search's times on one target.
#[derive(Debug, Default)]
pub(crate) struct Timed {
    /// In rising order.
    pub(crate) times: Vec<Duration>,
    /// The bytes of one answer.
    pub(crate) bytes: usize,
    /// How the answer was not what it has to be.
    pub(crate) difference: Option<String>,
}

/// What a target made of a search.
pub(crate) enum Timing {
    Times(Timed),
    /// What it did instead, in a few words.
    Refused(String),
}

/// A row of the table.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    /// How many traces, names or pairs there are to find.
    pub(crate) found: usize,
    /// In the order of the targets.
    pub(crate) timings: Vec<Timing>,
}

/// Times every search on every target, `repeat` times each.
pub(crate) async fn run(known: &[Known], targets: &[Target], repeat: usize) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for known in known {
        rows.push(row(known, targets, repeat).await?);
    }
    Ok(rows)
}

async fn row(known: &Known, targets: &[Target], repeat: usize) -> Result<Row> {
    let search = &known.search;
    let mut timings: Vec<Timing> = targets
        .iter()
        .map(|_| Timing::Times(Timed::default()))
        .collect();
    // One uncounted round, whose answers are checked in full, then the targets in turn.
    for round in 0..=repeat.max(1) {
        for (target, timing) in targets.iter().zip(&mut timings) {
            let Timing::Times(timed) = timing else {
                continue;
            };
            let started = Instant::now();
            match target.call(search.method, search.request.clone()).await {
                Ok(answer) => {
                    if round > 0 {
                        timed.times.push(started.elapsed());
                    }
                    timed.check(known, &answer, round == 0, target.peer);
                }
                Err(error) => {
                    let mut out = std::io::stderr();
                    writeln!(out, "{}: {}: {error:#}", target.name, search.name)?;
                    *timing = Timing::Refused(refusal(&error));
                }
            }
        }
    }
    for timing in &mut timings {
        if let Timing::Times(timed) = timing {
            timed.times.sort_unstable();
        }
    }
    Ok(Row {
        name: search.name,
        found: known.expected.len(),
        timings,
    })
}

impl Known {
    /// In a few words how the answer is not what it has to be, or for a peer what it can be.
    pub(crate) fn difference(&self, answer: &[Bytes], peer: bool) -> Option<String> {
        match Findings::read(&self.search.question, answer) {
            Ok(came) => self.expected.difference(&came, peer),
            Err(error) => Some(format!("{error:#}")),
        }
    }
}

impl Timed {
    /// Looks into the answer if it is the first, or as many bytes as none before it; keeps the first difference.
    fn check(&mut self, known: &Known, answer: &[Bytes], first: bool, peer: bool) {
        let bytes = answer.iter().map(Bytes::len).sum();
        if first || bytes != self.bytes {
            self.bytes = bytes;
            let difference = known.difference(answer, peer);
            self.difference = self.difference.take().or(difference);
        }
    }
}

/// An error in the words of the table. The whole of it goes to standard error.
pub(crate) fn refusal(error: &anyhow::Error) -> String {
    match error.downcast_ref::<Status>() {
        Some(status) => match status.code() {
            Code::InvalidArgument => "refused".to_owned(),
            Code::Unimplemented => "not implemented".to_owned(),
            _ => status.message().chars().take(60).collect(),
        },
        None => format!("{error:#}").chars().take(60).collect(),
    }
}
