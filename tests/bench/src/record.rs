//! Writes a file of Exports, for `--replay`.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;
use larder_oracle::corpus::Corpus;

use crate::replay;

const HOUR: u64 = 3_600_000_000_000;

/// Writes the Exports of a run to a file, which runs read with `--replay FILE`: about 510 bytes a span.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How many spans.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    spans: u64,
    /// How many spans one Export holds.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..))]
    request_spans: u64,
    /// The seed of all that is random in the spans.
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// Give every span a statement, an URL and a stack trace, about 200 words together.
    #[arg(long)]
    texts: bool,
    /// Let the spans cover so many hours, evenly, instead of 2 ms for each.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    hours: Option<u64>,
    /// Give every span attributes of 20, 1,000 and 1,000,000 distinct values, for `patterns`.
    #[arg(long)]
    repeats: bool,
    /// The file.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Writes the file and prints its size.
pub(crate) fn run(options: &Options) -> Result<()> {
    let mut corpus = Corpus::new(options.seed, options.spans, options.request_spans);
    if options.texts {
        corpus = corpus.with_texts();
    }
    if let Some(hours) = options.hours {
        corpus = corpus.with_step(hours * HOUR / options.spans);
    }
    if options.repeats {
        corpus = corpus.with_repeats();
    }
    replay::write(&corpus, &options.out)?;
    writeln!(
        std::io::stdout(),
        "{}: {} spans in {} Exports, {} bytes",
        options.out.display(),
        options.spans,
        corpus.requests(),
        std::fs::metadata(&options.out)?.len()
    )?;
    Ok(())
}
