//! Times regular expressions on keys of few and of many distinct values, on a storage that holds the spans of `generate --repeats`.

use std::collections::HashSet;
use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use larder_oracle::corpus::{MARKED_TRACES, MARKED_VALUE, REPEATED_KEYS};
use larder_oracle::filter::{attr_at, regex, string};
use larder_oracle::otlp::spans_of;
use opentelemetry_proto::tonic::trace::v1::TracesData;
use prost::Message;

use crate::held::Options;
use crate::numbers::spread;
use crate::queries::within;
use crate::question::Question;
use crate::target::Target;

/// A pattern that no value matches, though an automaton reads every value to its end.
const NOBODY: &str = "v-[0-9]*x";

/// Asks every search, and prints a row for each. Fails if an answer has another number of traces than it should.
pub(crate) async fn run(options: &Options) -> Result<()> {
    let corpus = options.corpus();
    let marked = usize::try_from(MARKED_TRACES.min(corpus.requests()))?;
    let target = Target::connect(&options.target, 1).await?;
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "| regex on a key of | found | p50 ms | p99 ms | max ms |"
    )?;
    writeln!(out, "|---|---|---|---|---|")?;
    for (key, values) in REPEATED_KEYS {
        for (pattern, expected) in [(NOBODY, 0), (MARKED_VALUE, marked)] {
            let filter = regex(attr_at("span", key), string(pattern));
            let question = Question::Traces(within(&corpus, 20).filter(filter));
            match ask(&target, &question, options.repeat).await {
                Ok((found, mut times)) => {
                    ensure!(
                        found == expected,
                        "{pattern} of {key} found {found} traces and not {expected}: does the storage hold the spans of `generate --repeats`?"
                    );
                    let spread = spread(&mut times);
                    writeln!(out, "| {values} values | {found} | {spread} |")?;
                }
                Err(error) => writeln!(out, "| {values} values | {error:#} | | | |")?,
            }
            out.flush()?;
        }
    }
    if let Some(bytes) = target.peak_bytes()? {
        writeln!(out, "\n{} MB resident at most", bytes / 1_000_000)?;
    }
    Ok(())
}

/// Returns the number of traces, and the times of asking for them. The first answer is not timed.
async fn ask(
    target: &Target,
    question: &Question,
    repeat: usize,
) -> Result<(usize, Vec<Duration>)> {
    let mut times = Vec::new();
    let mut traces = HashSet::new();
    for message in target.call(question.method(), question.request()).await? {
        let data = TracesData::decode(message)?;
        let spans = spans_of(&data.resource_spans);
        traces.extend(spans.map(|one| one.span.trace_id.clone()));
    }
    for _ in 0..repeat {
        let started = Instant::now();
        target.call(question.method(), question.request()).await?;
        times.push(started.elapsed());
    }
    Ok((traces.len(), times))
}
