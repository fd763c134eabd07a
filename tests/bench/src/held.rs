//! A storage that holds the spans of the benchmark already, for commands that only search it.

use larder_oracle::corpus::Corpus;

use crate::target::Address;

/// The storage, and the spans that it holds.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The storage to measure, as NAME=HOST:PORT or NAME=HOST:PORT@PID.
    #[arg(long, value_name = "NAME=HOST:PORT[@PID]")]
    pub(crate) target: Address,
    /// How many spans it holds.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    spans: u64,
    /// How often each search is asked.
    #[arg(long, default_value_t = 30)]
    pub(crate) repeat: usize,
    /// The seed of all that is random in the spans.
    #[arg(long, default_value_t = 7)]
    seed: u64,
}

// === impl Options ===

impl Options {
    /// The spans.
    pub(crate) fn corpus(&self) -> Corpus {
        Corpus::new(self.seed, self.spans, 1_000)
    }
}
