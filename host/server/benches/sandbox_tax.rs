//! The cost of the sandbox: the bundled plugins compiled to wasm, and the same code compiled natively, behind one trait.
//! Prints tables of processor time. `cargo bench -p larder --bench sandbox_tax -- [spans] [rounds] [memory|full|kv]`
//!
//! Each round runs in its own process, so that both forms begin with fresh memory. The two forms alternate, and each figure is the median
//! of the rounds, as the speed of a machine varies by more than the difference; the tax is the median of the ratios of the rounds. `full`
//! is `memory` that evicts, so it allocates no new memory. `alone PLUGIN FORM SPANS ingest|all` runs one round, for a profiler.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a bench fails loudly, and prints"
)]

mod support;

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use cpu_time::ProcessTime;
use larder_core::telemetry::Metrics;
use larder_ingest::Ingest;
use larder_oracle::corpus::Corpus;
use larder_search::{Limits, Searcher};
use tokio::task::LocalSet;
use tokio::time::sleep;
use xxhash_rust::xxh3::xxh3_64;

use support::searches::{self, Search};
use support::stored::{self, Plugin, REQUEST_SPANS};

const SPANS: u64 = 200_000;
const ROUNDS: u64 = 7;
const SEED: u64 = 1;
/// Time for the maintenance of the data that a round wrote.
const SETTLE: Duration = Duration::from_millis(500);
/// Each search is repeated for this time.
const SEARCH_TIME: Duration = Duration::from_millis(40);
const FORMS: [&str; 2] = ["sandboxed", "native"];

/// The result of a round: microseconds by name of the measurement, and a fingerprint of each answer.
#[derive(Default, serde::Serialize, serde::Deserialize)]
struct Round {
    /// In the order measured, by a number before the name.
    times: BTreeMap<String, f64>,
    answers: Vec<u64>,
}

fn main() -> Result<()> {
    // Cargo passes `--bench`.
    let words: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| word != "--bench")
        .collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    if let ["alone", plugin, form, spans, parts] = *words.as_slice() {
        let round = alone(plugin_named(plugin)?, form, spans.parse()?, parts == "all")?;
        println!("{}", serde_json::to_string(&round)?);
        return Ok(());
    }
    let number = |place: usize, default| words.get(place).map_or(Ok(default), |word| word.parse());
    let (spans, rounds) = (number(0, SPANS)?, number(1, ROUNDS)?);
    let plugins = match words.get(2) {
        Some(name) => vec![plugin_named(name)?],
        None => vec![Plugin::Memory, Plugin::Full, Plugin::Kv],
    };
    println!("{spans} spans, {rounds} rounds, microseconds of processor time");
    for plugin in plugins {
        let mut measured = [Vec::new(), Vec::new()];
        for _ in 0..rounds {
            for (form, kept) in FORMS.iter().zip(&mut measured) {
                kept.push(round(plugin, form, spans)?);
            }
        }
        let [sandboxed, native] = measured;
        print(plugin, &sandboxed, &native)?;
    }
    Ok(())
}

fn plugin_named(name: &str) -> Result<Plugin> {
    Ok(match name {
        "memory" => Plugin::Memory,
        "full" => Plugin::Full,
        "kv" => Plugin::Kv,
        _ => bail!("`{name}` is neither memory, full nor kv"),
    })
}

/// Runs a round in its own process.
fn round(plugin: Plugin, form: &str, spans: u64) -> Result<Round> {
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args(["alone", plugin.name(), form, &spans.to_string(), "all"])
        .stderr(Stdio::inherit());
    let output = command.output()?;
    ensure!(output.status.success(), "a round failed: {}", output.status);
    serde_json::from_slice(&output.stdout).context("what a round printed")
}

/// Stores the corpus in an empty store, and runs each search.
fn alone(plugin: Plugin, form: &str, spans: u64, with_searches: bool) -> Result<Round> {
    let corpus = Corpus::new(SEED, spans, REQUEST_SPANS);
    let requests = stored::requests(&corpus);
    let tokio = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let run = async {
        let storage = match form {
            "sandboxed" => plugin.sandboxed(&stored::runtime()?).await?,
            "native" => plugin.native().await?,
            _ => bail!("`{form}` is neither sandboxed nor native"),
        };
        let mut round = Round::default();
        let mut note = |name: &str, time: f64| {
            let number = round.times.len();
            round.times.insert(format!("{number:02} {name}"), time);
        };
        let spans = spans as f64;
        let mut ingest = Ingest::new(stored::INGEST);
        let (mut walking, mut writing) = (Duration::ZERO, Duration::ZERO);
        for request in &requests {
            let started = ProcessTime::now();
            let batches = stored::walk(&mut ingest, request)?;
            let walked = ProcessTime::now();
            walking += walked.duration_since(started);
            for batch in batches {
                storage.write(batch).await?;
            }
            writing += walked.elapsed();
        }
        let started = ProcessTime::now();
        sleep(SETTLE).await;
        let settling = started.elapsed();
        note("walk, a span", micros(walking) / spans);
        note("write, a span", micros(writing) / spans);
        note("upkeep behind it, a span", micros(settling) / spans);
        note(
            "ingest, a span",
            micros(walking + writing + settling) / spans,
        );
        if !with_searches {
            return Ok(round);
        }
        let searcher = Searcher::new(storage, Limits::OF_BENCHMARKS, Arc::new(Metrics::new()));
        for search in searches::searches(&corpus) {
            round
                .answers
                .push(xxh3_64(&search.answer(&searcher).await?));
            let number = round.times.len();
            let time = time(&search, &searcher).await?;
            round
                .times
                .insert(format!("{number:02} {}", search.name), time);
        }
        Ok(round)
    };
    LocalSet::new().block_on(&tokio, run)
}

/// Measures a search, in microseconds per answer.
async fn time(search: &Search, searcher: &Searcher) -> Result<f64> {
    let started = ProcessTime::now();
    let mut count = 0.0;
    while started.elapsed() < SEARCH_TIME {
        std::hint::black_box(search.answer(searcher).await?);
        count += 1.0;
    }
    Ok(micros(started.elapsed()) / count)
}

fn print(plugin: Plugin, sandboxed: &[Round], native: &[Round]) -> Result<()> {
    println!(
        "\n| {} | wasm | native | tax |\n|---|---|---|---|",
        plugin.name()
    );
    for (one, other) in sandboxed.iter().zip(native) {
        ensure!(one.answers == other.answers, "the answers differ");
    }
    let names = sandboxed
        .first()
        .into_iter()
        .flat_map(|round| round.times.keys());
    for name in names {
        let of = |rounds: &[Round]| -> Vec<f64> {
            let times = rounds.iter().map(|round| round.times.get(name));
            times
                .map(|time| time.copied().unwrap_or(f64::NAN))
                .collect()
        };
        let (wasm, native) = (of(sandboxed), of(native));
        let ratios = wasm.iter().zip(&native).map(|(wasm, native)| wasm / native);
        let tax = (median(ratios.collect()) - 1.0) * 100.0;
        let (wasm, native) = (median(wasm), median(native));
        let name = name.split_once(' ').map_or("", |(_, name)| name);
        println!("| {name} | {wasm:.3} | {native:.3} | {tax:+.0} % |");
    }
    Ok(())
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
