//! The source of a run's Exports: generated on demand, or read from a file.
//!
//! The main run and `growth` prepare a few dozen, and then send them: no clock runs meanwhile, so spans a second do not depend on the
//! source, and a file only saves time. Ingest at a rate has no such pause, so it always reads a file, if necessary a temporary one.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Result, ensure};
use larder_oracle::corpus::{Corpus, Request};
use tempfile::TempDir;

use crate::replay;

/// The options that say which spans a run writes.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub(crate) struct Options {
    /// Read the Exports from a file that `larder-bench generate` wrote, instead of making them: the client costs less then. Seed,
    /// spans a request and, unless it is named, the number of spans are the file's.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["seed", "request_spans"])]
    replay: Option<PathBuf>,
    /// How many spans one Export holds.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..))]
    request_spans: u64,
    /// The seed of all that is random in the spans.
    #[arg(long, default_value_t = 7)]
    seed: u64,
}

/// The Exports of a run.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    corpus: Corpus,
    file: Option<PathBuf>,
    /// The folder of the file, if it was written for this run.
    folder: Option<Arc<TempDir>>,
}

/// Exports, one after the other.
pub(crate) type Requests = Box<dyn Iterator<Item = Result<Request>> + Send>;

impl Source {
    /// Takes `spans` spans; without a number the whole file, or `default` without a file. Fails if a file has fewer.
    pub(crate) fn new(options: &Options, spans: Option<u64>, default: u64) -> Result<Self> {
        let Some(path) = &options.replay else {
            let spans = spans.unwrap_or(default);
            return Ok(Self {
                corpus: Corpus::new(options.seed, spans, options.request_spans),
                file: None,
                folder: None,
            });
        };
        let all = replay::corpus(path)?;
        let whole = Self {
            corpus: all.clone(),
            file: Some(path.clone()),
            folder: None,
        };
        let (_, held, _) = all.identity();
        let spans = spans.unwrap_or(held);
        ensure!(
            spans <= held,
            "{} holds {held} spans and the run needs {spans}; `larder-bench generate --spans {spans}` makes a larger one",
            path.display()
        );
        if spans == held {
            Ok(whole)
        } else {
            whole.first(spans)
        }
    }

    /// Takes `spans` spans from a file: the one to be replayed, or a temporary one, which is removed with the last clone.
    pub(crate) fn on_disk(options: &Options, spans: u64) -> Result<Self> {
        let source = Self::new(options, Some(spans), spans)?;
        if source.file.is_some() {
            return Ok(source);
        }
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("exports");
        replay::write(&source.corpus, &path)?;
        Ok(Self {
            file: Some(path),
            folder: Some(Arc::new(folder)),
            ..source
        })
    }

    /// Returns the same Exports up to this many spans, which must be whole Exports.
    pub(crate) fn first(&self, spans: u64) -> Result<Self> {
        let (_, held, request_spans) = self.corpus.identity();
        ensure!(
            spans == held || spans.is_multiple_of(request_spans),
            "{spans} spans are not whole Exports of {request_spans}"
        );
        ensure!(spans <= held, "there are {held} spans, not {spans}");
        Ok(Self {
            corpus: self.corpus.first(spans),
            file: self.file.clone(),
            folder: self.folder.clone(),
        })
    }

    /// Returns the corpus of the Exports.
    pub(crate) fn corpus(&self) -> &Corpus {
        &self.corpus
    }

    /// Returns all Exports, from the first on.
    pub(crate) fn requests(&self) -> Result<Requests> {
        let requests = self.corpus.requests();
        Ok(match &self.file {
            None => all_of(&self.corpus),
            Some(path) => Box::new(replay::Reader::open(path)?.take(usize::try_from(requests)?)),
        })
    }
}

/// Generates the Exports of a corpus lazily.
pub(crate) fn all_of(corpus: &Corpus) -> Requests {
    let corpus = corpus.clone();
    Box::new((0..corpus.requests()).map(move |index| Ok(corpus.request(index))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(replay: Option<PathBuf>) -> Options {
        Options {
            replay,
            request_spans: 1_000,
            seed: 3,
        }
    }

    fn all(source: &Source) -> Result<Vec<bytes::Bytes>> {
        source
            .requests()?
            .map(|request| Ok(request?.bytes))
            .collect()
    }

    #[test]
    fn a_file_gives_the_generated_exports_also_in_part() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("spans");
        let made = Source::new(&options(None), Some(3_000), 0)?;
        replay::write(made.corpus(), &path)?;
        let replayed = Source::new(&options(Some(path.clone())), None, 0)?;
        assert_eq!(all(&replayed)?, all(&made)?);
        let part = Source::new(&options(Some(path)), Some(2_000), 0)?;
        assert_eq!(all(&part)?, all(&made.first(2_000)?)?);
        assert_eq!(all(&part)?.len(), 2);
        Ok(())
    }

    #[test]
    fn a_part_of_a_file_has_the_same_times() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("spans");
        let corpus = Corpus::new(3, 2_000, 1_000).with_step(7_000_000);
        replay::write(&corpus, &path)?;
        let part = Source::new(&options(Some(path)), Some(1_000), 0)?;
        assert_eq!(part.corpus().step(), 7_000_000);
        assert_eq!(all(&part)?, [corpus.request(0).bytes]);
        Ok(())
    }

    #[test]
    fn a_file_with_too_few_spans_is_refused() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("spans");
        replay::write(&Corpus::new(3, 1_000, 1_000), &path)?;
        let error = Source::new(&options(Some(path)), Some(2_000), 0);
        let error = error.err().map(|error| error.to_string());
        assert!(
            error.is_some_and(|error| error.contains("holds 1000 spans and the run needs 2000"))
        );
        Ok(())
    }

    #[test]
    fn a_part_has_to_be_whole_exports() -> Result<()> {
        let source = Source::new(&options(None), None, 2_500)?;
        assert!(source.first(1_500).is_err());
        assert!(source.first(2_500).is_ok());
        Ok(())
    }
}
