//! Combines the results of several runs, with minimum, median and maximum of each figure.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::figures::Results;
use crate::report;

/// Puts the JSON of several runs of one command together and prints the tables again, with minimum, median and maximum.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The files that runs wrote with `--json`.
    #[arg(required = true, value_name = "RESULT.json")]
    results: Vec<PathBuf>,
    /// Write all of it to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Reads, combines, prints and writes.
pub(crate) fn run(options: &Options) -> Result<()> {
    let mut paths = options.results.iter();
    let first = paths.next().context("there is no file")?;
    let mut all = Results::open(first)?;
    for path in paths {
        all.combine(&Results::open(path)?)
            .with_context(|| format!("{} cannot be added", path.display()))?;
    }
    report::all(&all)?;
    all.save(options.json.as_deref())?;
    all.judge()
}
