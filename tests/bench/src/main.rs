//! Loads one or more Jaeger remote storages with the same spans and times the same searches on each, side by side.
//!
//! `larder-bench --target larder=127.0.0.1:17271@PID --target jaeger=127.0.0.1:27271@PID --spans 1000000`
//!
//! The first target is the one that ratios are made of. A PID is optional; without it, CPU and memory stay blank.

#![forbid(unsafe_code)]

mod generate;
mod load;
mod report;
mod searches;
mod target;

use anyhow::Result;
use clap::Parser;

/// Loads Jaeger remote storages with the same spans and times the same searches on each.
#[derive(Debug, Parser)]
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
    let options = Options::parse();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(run(&options))
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
