//! The main run: writes the same spans to every target, and then times the same searches on each, in turn.

use std::path::PathBuf;

use anyhow::Result;
use tonic::metadata::AsciiMetadataKey;

use crate::disk::{self, Folder};
use crate::figures::{Conditions, Remark, RemarkKind, Results, WRITING};
use crate::load::{self, Load};
use crate::numbers::{milliseconds, percentile, whole};
use crate::report;
use crate::searches;
use crate::source::{self, Source};
use crate::target::{Address, StoreProcess, Target};
use crate::tenant::Spread;
use crate::timing::{self, ExpectedSearch, Row, Timing};
use crate::truth::Truth;

/// The most characters of a remark.
const LONGEST: usize = 300;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// A storage to measure, as NAME=HOST:PORT or NAME=HOST:PORT@PID of its server on this machine. A wrong answer fails the run. Several
    /// hosts over one store, separated by commas, are one target: connections and calls go to them in turn.
    #[arg(long = "target", required = true, value_name = "NAME=HOST:PORT[@PID]")]
    targets: Vec<Address>,
    /// A storage to compare with, written likewise. A wrong answer is told below the table and fails nothing.
    #[arg(long = "peer", value_name = "NAME=HOST:PORT[@PID]")]
    peers: Vec<Address>,
    /// A process of the store behind a target, whose CPU while spans are written is told apart.
    #[arg(long = "store", value_name = "NAME=PID")]
    stores: Vec<StoreProcess>,
    /// A command of the shell that starts the targets anew, run before each kind of search: the first answer after it is timed as well.
    #[arg(long, value_name = "COMMAND")]
    cold: Option<String>,
    /// How many spans to write to each target: all of the file, or 100,000.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    spans: Option<u64>,
    #[command(flatten)]
    source: source::Options,
    /// How many connections write at once.
    #[arg(long, default_value_t = 4)]
    connections: usize,
    /// How often each search is timed on each target.
    #[arg(long, default_value_t = 25)]
    repeat: usize,
    /// How often all searches are timed: each figure then has minimum, median and maximum. Writing is done once; `combine` puts
    /// whole runs together, each against an empty storage.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Only searches that have this in their names.
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Skip writing: search what an earlier run with the same seed and count has written.
    #[arg(long)]
    no_load: bool,
    /// Write to so many tenants in turn, `t0000` and so on, and search the first.
    #[arg(long, default_value_t = 0)]
    tenants: u64,
    /// The header that names the tenant.
    #[arg(long, default_value = "x-tenant")]
    header: AsciiMetadataKey,
    #[command(flatten)]
    writing: load::Options,
    /// Write all figures to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Writes, searches and prints both tables. Wrong answers fail the run at its end.
pub(crate) async fn run(options: &Options) -> Result<()> {
    let source = Source::new(&options.source, options.spans, 100_000)?;
    let spread = Spread::new(&options.header, options.tenants)?;
    let known = known(&source, options.tenants, options.only.as_deref())?;
    let mut targets = Vec::new();
    for address in &options.targets {
        let target = Target::connect(address, options.connections).await?;
        targets.push(target.with_store(&options.stores));
    }
    for address in &options.peers {
        let peer = Target::connect(address, options.connections).await?;
        targets.push(peer.compared_only());
    }
    let mut results = Results::new("compare", source.corpus(), &targets);
    let at = Conditions::of(source.corpus());
    let searcher = spread.first().cloned();
    if !options.no_load {
        let plan = options.writing.plan(spread);
        for load in load::run(source.requests()?, &targets, &plan).await? {
            add_load(&mut results, at, &load, &options.writing.folders)?;
        }
        report::loads(&results)?;
    }
    if let Some(tenant) = searcher {
        let of_tenant = targets.into_iter().map(|of| of.of_tenant(tenant.clone()));
        targets = of_tenant.collect();
    }
    for _ in 0..options.runs {
        let rows = match &options.cold {
            None => timing::run(&known, &targets, options.repeat).await?,
            Some(command) => {
                timing::run_cold(&known, &mut targets, options.repeat, command).await?
            }
        };
        for row in rows {
            add_row(&mut results, at, &targets, &row);
        }
    }
    report::searches(&results, at)?;
    report::wrong(&results)?;
    results.save(options.json.as_deref())?;
    results.judge()
}

/// Returns all searches, or those with `only` in their names, with their expected answers: those of the first of `tenants` tenants, or of
/// the whole corpus without tenants.
pub(crate) fn known(
    source: &Source,
    tenants: u64,
    only: Option<&str>,
) -> Result<Vec<ExpectedSearch>> {
    let step = usize::try_from(tenants.max(1))?;
    let mut searches = searches::searches(source.corpus());
    searches.retain(|search| only.is_none_or(|only| search.name.contains(only)));
    let questions = searches.iter().map(|search| search.question.clone());
    let expected = Truth::of(questions, source.requests()?.step_by(step))?;
    let pairs = searches.into_iter().zip(expected);
    Ok(pairs
        .map(|(search, expected)| ExpectedSearch { search, expected })
        .collect())
}

/// Adds the cost of writing.
pub(crate) fn add_load(
    results: &mut Results,
    at: Conditions,
    load: &Load,
    folders: &[Folder],
) -> Result<()> {
    let spans = whole(load.spans);
    let disk = disk::of(folders, &load.target)?;
    let measures = [
        ("export_bytes_per_span", Some(whole(load.bytes) / spans)),
        ("spans_per_s", Some(spans / load.wall.as_secs_f64())),
        (
            "cpu_us_per_span",
            load.cpu_seconds.map(|seconds| seconds * 1e6 / spans),
        ),
        (
            "client_cpu_us_per_span",
            Some(load.client_seconds * 1e6 / spans),
        ),
        (
            "store_cpu_us_per_span",
            load.store_cpu_seconds.map(|seconds| seconds * 1e6 / spans),
        ),
        ("resident_bytes", load.resident_bytes.map(whole)),
        ("peak_resident_bytes", load.peak_bytes.map(whole)),
        ("disk_bytes", disk.map(whole)),
    ];
    for (measure, value) in measures {
        if let Some(value) = value {
            results.add(&load.target, WRITING, at, measure, value);
        }
    }
    Ok(())
}

/// Adds the latencies of a search on each target.
pub(crate) fn add_row(results: &mut Results, at: Conditions, targets: &[Target], row: &Row) {
    for (target, timing) in targets.iter().zip(&row.timings) {
        let remark = |kind, text: &String| Remark {
            target: target.name.clone(),
            subject: row.name.to_owned(),
            at,
            kind,
            text: text.chars().take(LONGEST).collect(),
        };
        match timing {
            Timing::Times(timed) => {
                for (measure, percent) in [("p50_ms", 50), ("p99_ms", 99)] {
                    let time = milliseconds(percentile(&timed.times, percent));
                    results.add(&target.name, row.name, at, measure, time);
                }
                if let Some(cold) = timed.cold {
                    results.add(&target.name, row.name, at, "cold_ms", milliseconds(cold));
                }
                let sizes = [("answer_bytes", timed.bytes), ("found", row.found)];
                for (measure, size) in sizes {
                    results.add(&target.name, row.name, at, measure, whole(size as u64));
                }
                if let Some(difference) = &timed.difference {
                    results.remark(remark(RemarkKind::Wrong, difference));
                }
            }
            Timing::Refused(reason) => results.remark(remark(RemarkKind::Refused, reason)),
        }
    }
}
