//! The steps of a search, one by one, for benchmarks.

use std::time::Instant;

use larder_model::storage::{Error, ErrorKind, Part, Piece, Search};
use larder_proto::storage::v2::TraceQueryParameters;

use super::judge::Judge;
use super::plan::{Listed, Plan, plan};
use super::{Limits, query};

/// A planned query: the search for the plugin, and the judge of its sightings.
pub struct Prepared {
    search: Option<Search>,
    judge: Judge,
    limits: Limits,
}

// === impl Prepared ===

impl Prepared {
    /// Parses and plans the query, as every search does first. No listed values are known.
    ///
    /// # Errors
    /// As [`Searcher::find_traces`](super::Searcher::find_traces), for a query that is refused.
    pub fn new(parameters: TraceQueryParameters, limits: &Limits) -> Result<Self, Error> {
        let query = query::query(parameters, limits)?;
        let search = plan(&query.predicate, &Listed::unknown()).map(|Plan { search, .. }| search);
        Ok(Self {
            search,
            judge: Judge::new(query.predicate),
            limits: *limits,
        })
    }

    /// The search that the plugin is asked for; `None` if nothing can match.
    pub fn search(&self) -> Option<&Search> {
        self.search.as_ref()
    }

    /// The part of fragments that the judge reads.
    pub fn part(&self) -> Part {
        self.judge.part()
    }

    /// The start of the newest matching span of a piece of [`Prepared::part`].
    ///
    /// # Errors
    /// [`ErrorKind::DataLoss`] where it cannot be read, or has spans of another trace, or takes longer than a query may.
    pub fn newest_match(&self, piece: &Piece) -> Result<Option<u64>, Error> {
        let deadline = Instant::now() + self.limits.timeout;
        let judged = self.judge.newest_match((piece, None), None, deadline);
        let judged =
            judged.map_err(|fault| Error::new(ErrorKind::DataLoss, format!("{fault:?}")))?;
        Ok(judged.newest)
    }
}
