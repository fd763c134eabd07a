//! Searches beside ingest: the effect of a steady rate of writes on the latency of searches.
//!
//! First the spans that the searches find are written as fast as they are acknowledged; that rate is the highest. Then the searches run
//! alone, and then beside ingest at each share of it. Both are open-loop: they keep their rate whether or not earlier calls are answered,
//! and latencies count from when a call was due. Spans written meanwhile start after the searched ones, so the answers do not change.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use crate::compare::add_load;
use crate::figures::{Conditions, Results, WRITING};
use crate::load;
use crate::numbers::whole;
use crate::report;
use crate::schedule::Schedule;
use crate::source::{self, Source};
use crate::target::{Address, Target};
use crate::tenant::Spread;
use ingest::Ingest;
use mix::Mix;
use outcome::Outcome;
pub(crate) use table::{ALL, tables};

mod ingest;
mod mix;
mod outcome;
mod table;
#[cfg(test)]
mod tests;

/// Times searches alone and beside ingest at a rate, every answer checked.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The storage to measure, as NAME=HOST:PORT or NAME=HOST:PORT@PID. It has to be empty.
    #[arg(long, value_name = "NAME=HOST:PORT[@PID]")]
    target: Address,
    /// How many spans to write first, which the searches find.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..))]
    spans: u64,
    #[command(flatten)]
    source: source::Options,
    /// The shares of the highest rate at which ingest runs beside the searches, one after the other. Without --replay the Exports are
    /// made before, into the folder for temporary files (TMPDIR), 510 bytes a span.
    #[arg(long, value_delimiter = ',', default_value = "0.5", value_parser = share)]
    share: Vec<f64>,
    /// Rates of ingest in spans a second, instead of shares.
    #[arg(long, value_delimiter = ',', conflicts_with = "share")]
    rate: Vec<u64>,
    /// Searches a second.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    search_rate: u32,
    /// Names of the searches that take turns, as the main run prints them. Without one, eight of those that answer at once.
    #[arg(long = "search", value_name = "NAME")]
    searches: Vec<String>,
    /// How long the searches run each time.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// How often all of it but the first writing is done.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// How many connections write at once, and as many search.
    #[arg(long, default_value_t = 4)]
    connections: usize,
    #[command(flatten)]
    writing: load::Options,
    /// Write all figures to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

fn share(text: &str) -> Result<f64, String> {
    let share: f64 = text.parse().map_err(|_| "a share is a number".to_owned())?;
    if share > 0.0 && share <= 1.0 {
        Ok(share)
    } else {
        Err("a share is above 0 and at most 1".to_owned())
    }
}

/// Writes, searches alone and beside each rate, and prints the tables. Wrong answers fail the run at its end.
pub(crate) async fn run(options: &Options) -> Result<()> {
    let writer = Target::connect(&options.target, options.connections).await?;
    let searcher = Target::connect(&options.target, options.connections).await?;
    let source = Source::new(&options.source, Some(options.spans), 0)?;
    let mix = Mix::new(&source, &options.searches)?;
    let mut results = Results::new("load", source.corpus(), std::slice::from_ref(&writer));
    let plan = options.writing.plan(Spread::default());
    let written = Conditions::of(source.corpus());
    let loads = load::run(source.requests()?, std::slice::from_ref(&writer), &plan).await?;
    let load = loads.first().context("no target")?;
    add_load(&mut results, written, load, &options.writing.folders)?;
    report::loads(&results)?;
    let steps = options.steps(written, whole(load.spans) / load.wall.as_secs_f64())?;
    let (_, _, request_spans) = source.corpus().identity();
    let mut ingest = options.ingest(&source, &steps)?;
    let searching = Schedule {
        rate: options.search_rate,
        seconds: options.seconds,
    };
    let mut outcome = Outcome::new(results, writer.name.clone());
    mix.check_all(&searcher, &mut outcome, idle(written))
        .await?;
    for _ in 0..options.runs {
        let calls = mix.run(&searcher, searching).await?;
        outcome.searched(idle(written), &mix, calls);
        for step in &steps {
            let writing = step.schedule(request_spans, options.seconds);
            let (searched, exported) =
                tokio::join!(mix.run(&searcher, searching), ingest.run(&writer, writing));
            let searched = searched?;
            match exported {
                Ok(exported) => {
                    outcome.searched(step.at, &mix, searched);
                    outcome.exported(step.at, exported);
                    let offered = step.offered(request_spans);
                    outcome.add(step.at, WRITING, "offered_spans_per_s", offered);
                }
                // A rate that the server cannot sustain is a result, too; the next one may be lower.
                Err(error) => outcome.refused(step.at, WRITING, &format!("{error:#}")),
            }
            writer.settle(plan.settle).await?;
        }
    }
    let results = outcome.into_results();
    tables(&results)?;
    report::wrong(&results)?;
    results.save(options.json.as_deref())?;
    results.judge()
}

fn idle(written: Conditions) -> Conditions {
    Conditions {
        share: Some(0.0),
        ..written
    }
}

/// A rate of ingest.
#[derive(Debug, PartialEq)]
struct Step {
    at: Conditions,
    spans_a_second: f64,
}

impl Step {
    /// Makes the schedule of Exports for `seconds` seconds, with at least one Export a second.
    fn schedule(&self, request_spans: u64, seconds: u32) -> Schedule {
        let rate = (self.spans_a_second / whole(request_spans))
            .round()
            .max(1.0);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rate is positive, and a larger one than u32 holds saturates"
        )]
        let rate = rate as u32;
        Schedule { rate, seconds }
    }

    /// Returns the offered spans a second, in whole Exports.
    fn offered(&self, request_spans: u64) -> f64 {
        whole(u64::from(self.schedule(request_spans, 1).rate) * request_spans)
    }
}

impl Options {
    /// Returns the rates beside what is written, given the highest one in spans a second.
    fn steps(&self, written: Conditions, highest: f64) -> Result<Vec<Step>> {
        let of_rate = |rate: &u64| Step {
            at: Conditions {
                rate: Some(*rate),
                ..written
            },
            spans_a_second: whole(*rate),
        };
        let of_share = |share: &f64| Step {
            at: Conditions {
                share: Some(*share),
                ..written
            },
            spans_a_second: highest * share,
        };
        let steps: Vec<Step> = if self.rate.is_empty() {
            self.share.iter().map(of_share).collect()
        } else {
            self.rate.iter().map(of_rate).collect()
        };
        let positive = steps.iter().all(|step| step.spans_a_second > 0.0);
        ensure!(positive, "a rate of ingest is above 0");
        Ok(steps)
    }

    /// Prepares the Exports of all steps before any of them starts, generated or from the file.
    fn ingest(&self, source: &Source, steps: &[Step]) -> Result<Ingest> {
        let request_spans = source.corpus().identity().2;
        let exports: u64 = steps
            .iter()
            .map(|step| step.schedule(request_spans, self.seconds).calls())
            .sum();
        let more = exports * u64::from(self.runs);
        let before = source.corpus().requests();
        let all = Source::on_disk(&self.source, (before + more) * request_spans)
            .context("ingest beside the searches needs Exports")?;
        Ingest::new(all.requests()?.skip(usize::try_from(before)?), all)
    }
}
