//! Timing of searches: the same bytes to every target in turn, with each answer checked while no clock runs.

use std::io::Write;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use bytes::Bytes;
use tonic::{Code, Status};

use crate::findings::Findings;
use crate::searches::Search;
use crate::target::Target;

#[cfg(test)]
mod tests;

/// A search with its expected answer.
pub(crate) struct ExpectedSearch {
    pub(crate) search: Search,
    pub(crate) expected: Findings,
}

/// A search's latencies on one target.
#[derive(Debug, Default)]
pub(crate) struct Timed {
    /// Ascending.
    pub(crate) times: Vec<Duration>,
    /// The first answer after the targets were started anew.
    pub(crate) cold: Option<Duration>,
    /// Bytes of one answer.
    pub(crate) bytes: usize,
    /// The first difference between an answer and the expected one.
    pub(crate) difference: Option<String>,
}

/// The result of a search on a target.
pub(crate) enum Timing {
    Times(Timed),
    /// The refusal, in a few words.
    Refused(String),
}

/// A row of the table.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    /// The number of traces, names or pairs in the expected answer.
    pub(crate) found: usize,
    /// In the order of the targets.
    pub(crate) timings: Vec<Timing>,
}

/// Times every search on every target, `repeat` times each.
pub(crate) async fn run(
    known: &[ExpectedSearch],
    targets: &[Target],
    repeat: usize,
) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for known in known {
        rows.push(row(known, targets, repeat, false).await?);
    }
    Ok(rows)
}

/// Does the same, but before each kind of search a command of the shell starts the targets anew, and the first answer is timed as well.
pub(crate) async fn run_cold(
    known: &[ExpectedSearch],
    targets: &mut [Target],
    repeat: usize,
    command: &str,
) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for known in known {
        start_anew(command, targets).await?;
        rows.push(row(known, targets, repeat, true).await?);
    }
    Ok(rows)
}

async fn start_anew(command: &str, targets: &mut [Target]) -> Result<()> {
    let mut shell = Command::new("sh");
    shell.args(["-c", command]);
    // Connections go on meanwhile: a server that ends waits until its clients have heard of it.
    let status = tokio::task::spawn_blocking(move || shell.status()).await??;
    ensure!(status.success(), "{command}: {status}");
    for target in targets {
        target.connect_again().await?;
    }
    Ok(())
}

async fn row(
    known: &ExpectedSearch,
    targets: &[Target],
    repeat: usize,
    is_cold: bool,
) -> Result<Row> {
    let search = &known.search;
    let mut timings: Vec<Timing> = targets
        .iter()
        .map(|_| Timing::Times(Timed::default()))
        .collect();
    // One warm-up round, whose answers are checked in full, then the targets in turn.
    for round in 0..=repeat.max(1) {
        for (target, timing) in targets.iter().zip(&mut timings) {
            let Timing::Times(timed) = timing else {
                continue;
            };
            let started = Instant::now();
            match target.call(search.method, search.request.clone()).await {
                Ok(answer) => {
                    let took = started.elapsed();
                    if round > 0 {
                        timed.times.push(took);
                    } else if is_cold {
                        timed.cold = Some(took);
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

impl ExpectedSearch {
    /// Describes briefly how the answer differs from the expected one, or, for a peer, from all acceptable ones.
    pub(crate) fn difference(&self, answer: &[Bytes], peer: bool) -> Option<String> {
        match Findings::read(&self.search.question, answer) {
            Ok(came) => self.expected.difference(&came, peer),
            Err(error) => Some(format!("{error:#}")),
        }
    }
}

impl Timed {
    /// Checks the answer if it is the first, or has another number of bytes than earlier ones; keeps the first difference.
    fn check(&mut self, known: &ExpectedSearch, answer: &[Bytes], first: bool, peer: bool) {
        let bytes = answer.iter().map(Bytes::len).sum();
        if first || bytes != self.bytes {
            self.bytes = bytes;
            let difference = known.difference(answer, peer);
            self.difference = self.difference.take().or(difference);
        }
    }
}

/// Formats an error for the table, and prints it in full to standard error.
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
