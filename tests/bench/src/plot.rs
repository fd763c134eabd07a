//! Charts of results, as SVG: latency of searches against ingest, and the cost of a span, and of dependencies, against the number of spans.
//!
//! All colours are between light and dark, and the background is transparent, so that a chart is readable on both. The same results give
//! the same bytes.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use crate::figures::Results;
use chart::draw;
use series::{Panel, against_load, against_size, of_dependencies};

mod chart;
mod series;
#[cfg(test)]
mod tests;

/// Draws the results of `load`, `growth` and `dependencies`; runs and targets of the same command go into one picture.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The files that `load`, `growth`, `dependencies` or `combine` wrote with `--json`.
    #[arg(required = true, value_name = "RESULT.json")]
    results: Vec<PathBuf>,
    /// The folder for latency-against-load.svg, cost-against-size.svg and dependencies-against-size.svg.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// A command with its chart's file and panels.
type Chart = (&'static str, &'static str, fn(&Results) -> Vec<Panel>);

const CHARTS: [Chart; 3] = [
    ("load", "latency-against-load.svg", against_load),
    ("growth", "cost-against-size.svg", against_size),
    (
        "dependencies",
        "dependencies-against-size.svg",
        of_dependencies,
    ),
];

/// Reads the files and writes a chart for each command.
pub(crate) fn run(options: &Options) -> Result<()> {
    let mut all: Vec<Results> = Vec::new();
    for path in &options.results {
        let results = Results::open(path)?;
        let command = results.command.as_str();
        ensure!(
            CHARTS.iter().any(|(of, ..)| *of == command),
            "{} is of {command}, of which there is no picture; `load`, `growth` and `dependencies` have one",
            path.display()
        );
        match all.iter_mut().find(|of| of.command == command) {
            Some(of) => of
                .combine(&results)
                .with_context(|| format!("{} cannot be added", path.display()))?,
            None => all.push(results),
        }
    }
    std::fs::create_dir_all(&options.out)
        .with_context(|| format!("cannot make {}", options.out.display()))?;
    for results in &all {
        for (_, name, panels) in CHARTS.iter().filter(|(of, ..)| *of == results.command) {
            let path = options.out.join(name);
            let picture = draw(&panels(results))?;
            std::fs::write(&path, &picture)
                .with_context(|| format!("cannot write {}", path.display()))?;
            let (path, bytes) = (path.display(), picture.len());
            writeln!(std::io::stdout(), "{path}: {bytes} bytes")?;
        }
    }
    Ok(())
}
