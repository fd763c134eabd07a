//! Loads one or more Jaeger remote storages with the same spans and times the same searches on each, side by side.
//!
//! `larder-bench --target larder=127.0.0.1:17271@PID --target jaeger=127.0.0.1:27271@PID --spans 1000000`
//!
//! The first target is the one that ratios are made of. A PID is optional; without it, CPU and memory stay blank.
//!
//! Three subcommands measure tenants, on a server with `tenancy.enabled`. `tenants` writes to and searches a thousand of them.
//! What a noisy neighbour does to a quiet tenant is told by `quiet` and `noise` together. First the quiet one alone, which also
//! writes what later runs find: `larder-bench quiet --target larder=127.0.0.1:17271@PID`. Then, for each `KIND` of `flood`, `scan`
//! and `spin`, start `larder-bench noise --target larder=127.0.0.1:17271@PID --tenant KIND --kind KIND --seconds 30` in the
//! background, and while it makes its noise (a scan writes its spans first: run it once with `--seconds 0`, then with `--no-load`),
//! run `larder-bench quiet --target larder=127.0.0.1:17271@PID --no-load`. Compare its p99 to the p99 alone, row by row.
//! `spin` does something only where the tenant's plugin is the test guest `replicated`.

#![forbid(unsafe_code)]

mod answers;
mod calls;
mod generate;
mod load;
mod noise;
mod numbers;
mod queries;
mod quiet;
mod report;
mod schedule;
mod searches;
mod target;
mod tenant;
mod tenants;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};

/// Loads Jaeger remote storages with the same spans and times the same searches on each.
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
struct Arguments {
    #[command(subcommand)]
    tenancy: Option<Tenancy>,
    #[command(flatten)]
    options: Options,
}

/// What is measured of tenants, instead.
#[derive(Debug, Subcommand)]
enum Tenancy {
    Tenants(tenants::Options),
    Quiet(quiet::Options),
    Noise(noise::Options),
}

#[derive(Debug, Args)]
struct Options {
    /// A storage to measure, as NAME=HOST:PORT or NAME=HOST:PORT@PID of its server on this machine.
    #[arg(long = "target", required = true, value_name = "NAME=HOST:PORT[@PID]")]
    targets: Vec<target::Address>,
    /// How many spans to write to each target.
    #[arg(long, default_value_t = 100_000)]
    spans: u64,
    /// How many spans one Export holds.
    #[arg(long, default_value_t = 1_000)]
    request_spans: u64,
    /// How many connections write at once.
    #[arg(long, default_value_t = 4)]
    connections: usize,
    /// How often each search is timed on each target.
    #[arg(long, default_value_t = 25)]
    repeat: usize,
    /// The seed of all that is random in the spans.
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// Skip writing: search what an earlier run with the same seed and count has written.
    #[arg(long)]
    no_load: bool,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        match &arguments.tenancy {
            None => run(&arguments.options).await,
            Some(Tenancy::Tenants(options)) => tenants::run(options).await,
            Some(Tenancy::Quiet(options)) => quiet::run(options).await,
            Some(Tenancy::Noise(options)) => noise::run(options).await,
        }
    })
}

async fn run(options: &Options) -> Result<()> {
    let corpus = generate::Corpus::new(options.seed, options.spans, options.request_spans);
    let mut targets = Vec::new();
    for address in &options.targets {
        targets.push(target::Target::connect(address, options.connections).await?);
    }
    if !options.no_load {
        let rows = load::run(&corpus, &targets).await?;
        report::loads(&rows)?;
    }
    let rows = searches::run(&corpus, &targets, options.repeat).await?;
    report::searches(&targets, &rows)
}
