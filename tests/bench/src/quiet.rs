//! A quiet tenant: a low, steady rate of searches, reads and writes, with the latency of each call.
//!
//! The rate is open-loop: a call is made when it is due, whether or not earlier ones are answered, and its latency counts from then. So
//! a server that stops for a second affects every call that was due in it.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Error, Result};
use larder_oracle::corpus::Corpus;
use tonic::metadata::AsciiMetadataKey;

use crate::load::{self, Plan};
use crate::numbers::spread;
use crate::openloop::{self, Due};
use crate::schedule::Schedule;
use crate::source;
use crate::target::{self, Address, Target};
use crate::tenant::Tenant;
use work::{KINDS, Task, Work};

mod work;

/// Sends a tenant's searches, reads and writes at a steady rate; a wrong answer or an error fails the run at its end.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The storage to measure, as NAME=HOST:PORT or NAME=HOST:PORT@PID.
    #[arg(long, value_name = "NAME=HOST:PORT[@PID]")]
    target: Address,
    /// The tenant's name.
    #[arg(long, default_value = "quiet")]
    tenant: String,
    /// The header that names the tenant.
    #[arg(long, default_value = "x-tenant")]
    header: AsciiMetadataKey,
    /// Calls a second: in turn a search, a trace by id, and an Export of 50 spans.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rate: u32,
    /// How long.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// How many spans are written first, which the searches find.
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..))]
    spans: u64,
    /// Skip writing them: an earlier run with the same seed and count has.
    #[arg(long)]
    no_load: bool,
    /// How many connections the calls are spread over.
    #[arg(long, default_value_t = 4)]
    connections: usize,
    /// The seed of all that is random in the spans.
    #[arg(long, default_value_t = 7)]
    seed: u64,
}

/// The most calls in flight.
const MOST: usize = 100_000;

/// The result of a call: the index of its kind in [`KINDS`], its latency since it was due, and its error.
type TimedCall = (usize, Duration, Result<()>);

/// Runs for the given time and prints a row for each kind of call.
pub(crate) async fn run(options: &Options) -> Result<()> {
    let tenant = Tenant::new(&options.header, &options.tenant)?;
    let target = Target::connect(&options.target, options.connections)
        .await?
        .of_tenant(tenant);
    let schedule = Schedule {
        rate: options.rate,
        seconds: options.seconds,
    };
    let corpus = Corpus::new(options.seed, options.spans, 1_000);
    let work = Arc::new(Work::new(&corpus, schedule.calls())?);
    if !options.no_load {
        load::run(
            source::all_of(&corpus),
            std::slice::from_ref(&target),
            &Plan::default(),
        )
        .await?;
    }
    let outcomes = calls(&target, schedule, &work).await?;
    report(&target, outcomes)
}

async fn calls(target: &Target, schedule: Schedule, work: &Arc<Work>) -> Result<Vec<TimedCall>> {
    let mut channels = target.channels().iter().cycle();
    let call = |number, due: Due| {
        let channel = channels.next().context("no connection")?.clone();
        let (tenant, work) = (target.tenant().cloned(), Arc::clone(work));
        Ok(async move {
            let task: &Task = work.task(number)?;
            let request = task.request.clone();
            let answer = target::call(&channel, tenant.as_ref(), task.method, request).await;
            let waited = due.waited();
            let checked = answer.and_then(|answer| task.check(&answer));
            Ok::<TimedCall, Error>((task.kind, waited, checked))
        })
    };
    let outcomes = openloop::run(schedule, MOST, Ok, call).await?;
    outcomes.into_iter().collect()
}

/// Prints a row for each kind; fails with the first error.
fn report(target: &Target, outcomes: Vec<TimedCall>) -> Result<()> {
    let mut times: Vec<Vec<Duration>> = vec![Vec::new(); KINDS.len()];
    let mut wrong = vec![0u64; KINDS.len()];
    let mut first = None;
    for (kind, took, checked) in outcomes {
        match checked {
            Ok(()) => {
                if let Some(times) = times.get_mut(kind) {
                    times.push(took);
                }
            }
            Err(error) => {
                if let Some(wrong) = wrong.get_mut(kind) {
                    *wrong += 1;
                }
                first.get_or_insert((kind, error));
            }
        }
    }
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "| {}, call | right | wrong | p50 ms | p99 ms | max ms |",
        target.name
    )?;
    writeln!(out, "|---|---|---|---|---|---|")?;
    for ((name, mut times), wrong) in KINDS.iter().zip(times).zip(&wrong) {
        let calls = times.len();
        writeln!(
            out,
            "| {name} | {calls} | {wrong} | {} |",
            spread(&mut times)
        )?;
    }
    match first {
        None => Ok(()),
        Some((kind, error)) => Err(error.context(format!(
            "{} calls failed; the first: {}",
            wrong.iter().sum::<u64>(),
            KINDS.get(kind).copied().unwrap_or_default()
        ))),
    }
}
