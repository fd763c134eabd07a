//! The cost of a span as a storage grows: one target, an increasing number of spans, and the same measurements after each step.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use crate::compare::{add_load, add_row, known};
use crate::figures::{Conditions, Results};
use crate::load;
use crate::report;
use crate::source::{self, Source};
use crate::target::{Address, Target};
use crate::tenant::Spread;
use crate::timing;

/// Writes to one storage step by step and measures after each: the cost of its writes, memory, disk, and all searches, checked.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The storage to measure, as NAME=HOST:PORT or NAME=HOST:PORT@PID. It has to be empty.
    #[arg(long, value_name = "NAME=HOST:PORT[@PID]")]
    target: Address,
    /// After how many spans to measure, in rising order.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "1000000,2000000,5000000,10000000"
    )]
    steps: Vec<u64>,
    #[command(flatten)]
    source: source::Options,
    /// How many connections write at once.
    #[arg(long, default_value_t = 4)]
    connections: usize,
    /// How often each search is timed after each step.
    #[arg(long, default_value_t = 25)]
    repeat: usize,
    #[command(flatten)]
    writing: load::Options,
    /// Write all figures to this file, as JSON; it is written after each step.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Runs the steps and prints the tables. Wrong answers fail the run at its end.
pub(crate) async fn run(options: &Options) -> Result<()> {
    let steps = &options.steps;
    let largest = steps.last().copied().context("there is no step")?;
    ensure!(
        steps.is_sorted_by(|one, next| one < next) && steps.first().is_some_and(|one| *one > 0),
        "the steps are numbers of spans in rising order"
    );
    let source = Source::new(&options.source, Some(largest), 0)?;
    // Refuse a step that is not a whole number of Exports now, rather than after an hour.
    let parts: Vec<Source> = steps
        .iter()
        .map(|spans| source.first(*spans))
        .collect::<Result<_>>()?;
    let targets = [Target::connect(&options.target, options.connections).await?];
    let mut results = Results::new("growth", source.corpus(), &targets);
    let plan = options.writing.plan(Spread::default());
    let mut requests = source.requests()?;
    let mut written = 0;
    for part in &parts {
        let at = Conditions::of(part.corpus());
        let known = known(part, 0, None)?;
        let more = usize::try_from(part.corpus().requests() - written)?;
        written += u64::try_from(more)?;
        for load in load::run(requests.by_ref().take(more), &targets, &plan).await? {
            add_load(&mut results, at, &load, &options.writing.folders)?;
        }
        for row in timing::run(&known, &targets, options.repeat).await? {
            add_row(&mut results, at, &targets, &row);
        }
        results.save(options.json.as_deref())?;
    }
    report::all(&results)?;
    results.judge()
}
