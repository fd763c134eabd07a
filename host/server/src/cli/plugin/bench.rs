//! `larder plugin bench`.

use std::io::{Write as _, stdout};
use std::path::Path;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use larder_measure::Options;

use super::Given;
use crate::config::Config;
use crate::server;

/// Options of `larder plugin bench`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct BenchCommand {
    /// A bundled plugin's name, or a component's file
    #[arg(value_name = "NAME|FILE.wasm")]
    pub plugin: String,
    /// How many spans to write
    #[arg(long, value_name = "NUMBER", default_value_t = 200_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub spans: u64,
    /// The seed of the spans: the same one makes the same spans
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub seed: u64,
    /// How to print what came of it
    #[arg(long, value_enum, default_value_t)]
    pub format: BenchFormat,
}

/// The form of the output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum BenchFormat {
    /// A table for people
    #[default]
    Human,
    /// One JSON object
    Json,
}

/// Measures a plugin beside the bundled `memory`. Fails if it does not answer as that does.
pub(in super::super) fn bench(
    command: &BenchCommand,
    given: Given,
    config: &Config,
) -> anyhow::Result<()> {
    let options = Options {
        spans: command.spans,
        seed: command.seed,
        ingest: server::ingest_limits(config),
        word_terms: config.ingest.word_terms,
    };
    let is_human = command.format == BenchFormat::Human;
    let mut told = Ok(());
    let report = larder_measure::measure(
        |cache: &Path| super::engine_in(config, Some(cache.to_owned())),
        super::plugin_config(&command.plugin, given, config)?,
        &options,
        |loaded| {
            if is_human {
                told = print(&loaded.head());
            }
        },
    )?;
    let text = match command.format {
        BenchFormat::Human => report.table(),
        BenchFormat::Json => format!("{}\n", report.to_json()?),
    };
    told.and_then(|()| print(&text)).context("cannot print")
}

fn print(text: &str) -> std::io::Result<()> {
    let mut to = stdout().lock();
    to.write_all(text.as_bytes()).and_then(|()| to.flush())
}
