//! Dependencies of windows of time, once the calls of all traces are kept, and what keeping them costs.
//!
//! A server keeps the calls of a stretch of time once nothing has been written to it for a while. The run waits for that, and counts the
//! server's CPU until then. A server that keeps nothing is measured when it is at rest.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::compare::{add_load, add_row};
use crate::figures::{Conditions, Results, WRITING};
use crate::load::{self, Load, Plan};
use crate::numbers::milliseconds;
use crate::report;
use crate::source::{self, Source};
use crate::target::{Address, Target};
use crate::tenant::Spread;
use crate::timing::{self, ExpectedSearch, Timing};
use crate::truth::Truth;
use kept::{Kept, settled};
pub(crate) use table::tables;
pub(crate) use windows::NAMES;

mod kept;
mod table;
#[cfg(test)]
mod tests;
mod windows;

/// The time between two questions whether all is settled. Asking costs the server CPU, which is counted.
const PAUSE: Duration = Duration::from_secs(2);

/// Writes spans, waits until the server keeps the calls of all of them, and times dependencies of an hour, of a day, of half of the time
/// and of all of it, every answer checked.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The storage to measure, as NAME=HOST:PORT or NAME=HOST:PORT@PID. It has to be empty.
    #[arg(long, value_name = "NAME=HOST:PORT[@PID]")]
    target: Address,
    /// Its admin port, whose metrics tell what is settled. A server without these metrics is not waited for.
    #[arg(long, value_name = "HOST:PORT")]
    admin: String,
    /// How many spans to write: all of the file, or 1,000,000.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    spans: Option<u64>,
    #[command(flatten)]
    source: source::Options,
    /// Skip writing: ask about what an earlier run with the same spans has written. What keeping cost is then not told.
    #[arg(long)]
    no_load: bool,
    /// At most so many seconds until all is settled; the run fails if it takes longer.
    #[arg(long, default_value_t = 600, value_name = "SECONDS")]
    settle_timeout: u64,
    /// How many connections write at once.
    #[arg(long, default_value_t = 4)]
    connections: usize,
    /// How often each window is asked of.
    #[arg(long, default_value_t = 30)]
    repeat: usize,
    #[command(flatten)]
    writing: load::Options,
    /// Write all figures to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// A load until all of it is settled.
struct SettledLoad {
    /// CPU and memory are those once it is settled.
    load: Load,
    /// From the last acknowledgement until all was settled; `None` if the server keeps nothing.
    settled_after: Option<Duration>,
    /// The time that keeping took, in seconds.
    settling_seconds: f64,
}

/// Writes, waits, asks and prints the tables. Wrong answers fail the run at its end.
pub(crate) async fn run(options: &Options) -> Result<()> {
    let source = Source::new(&options.source, options.spans, 1_000_000)?;
    let known = known(&source)?;
    let targets = [Target::connect(&options.target, options.connections).await?];
    let [target] = &targets;
    let mut results = Results::new("dependencies", source.corpus(), &targets);
    let at = Conditions::of(source.corpus());
    if !options.no_load {
        let written = options.write(&source, target).await?;
        add_load(&mut results, at, &written.load, &options.writing.folders)?;
        if let Some(after) = written.settled_after {
            for (measure, seconds) in [
                ("settled_after_s", after.as_secs_f64()),
                ("settling_s", written.settling_seconds),
            ] {
                results.add(&target.name, WRITING, at, measure, seconds);
            }
        }
    }
    if let Some(kept) = options.settled().await? {
        results.add(&target.name, WRITING, at, "kept_bytes", kept.bytes);
    }
    for row in timing::run(&known, &targets, options.repeat).await? {
        add_row(&mut results, at, &targets, &row);
        if let Some(Timing::Times(timed)) = row.timings.first() {
            let longest = timed.times.last().copied().unwrap_or_default();
            results.add(&target.name, row.name, at, "max_ms", milliseconds(longest));
        }
    }
    report::all(&results)?;
    results.save(options.json.as_deref())?;
    results.judge()
}

/// Returns the searches with their expected answers.
fn known(source: &Source) -> Result<Vec<ExpectedSearch>> {
    let searches = windows::searches(source.corpus());
    let questions = searches.iter().map(|search| search.question.clone());
    let expected = Truth::of(questions, source.requests()?)?;
    let pairs = searches.into_iter().zip(expected);
    Ok(pairs
        .map(|(search, expected)| ExpectedSearch { search, expected })
        .collect())
}

// === impl Options ===

impl Options {
    /// Writes all spans, and waits until they are settled and the server is at rest.
    async fn write(&self, source: &Source, target: &Target) -> Result<SettledLoad> {
        let Plan { settle, .. } = self.writing.plan(Spread::default());
        target.settle(settle).await?;
        let before = kept::of(&self.admin).await?;
        let cpu = target.cpu_seconds()?;
        let targets = std::slice::from_ref(target);
        // Without a wait at its end, which would count towards settling.
        let loads = load::run(source.requests()?, targets, &Plan::default()).await?;
        let load = loads.into_iter().next().context("no target")?;
        let written = Instant::now();
        let kept = self.settled().await?;
        let settled_after = kept.map(|_| written.elapsed());
        target.settle(settle).await?;
        let used = target.cpu_seconds()?.zip(cpu);
        let seconds = |of: Option<Kept>| of.map_or(0.0, |of| of.settling_seconds);
        Ok(SettledLoad {
            load: Load {
                cpu_seconds: used.map(|(after, before)| after - before),
                resident_bytes: target.resident_bytes()?,
                peak_bytes: target.peak_bytes()?,
                ..load
            },
            settled_after,
            settling_seconds: seconds(kept) - seconds(before),
        })
    }

    /// Waits until all is settled; `None` if the server keeps nothing.
    async fn settled(&self) -> Result<Option<Kept>> {
        settled(&self.admin, PAUSE, Duration::from_secs(self.settle_timeout)).await
    }
}
