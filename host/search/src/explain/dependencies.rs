//! Explains an answer of dependencies: how much of it comes from calls that are kept, and the cost of each step.

use std::fmt;
use std::sync::Arc;

use larder_model::storage::Error;
use larder_proto::storage::v2::{Dependency, GetDependenciesRequest};
use serde::Serialize;

use super::milliseconds;
use crate::Searcher;
use crate::budget::Spent;
use crate::dependencies::{self, Origin};
use crate::kept::{Coverage, Kept, Summed};

/// Where the calls of an answer come from, and what it took.
#[derive(Clone, Debug, Serialize)]
pub struct DependenciesExplanation {
    /// Where the calls come from, in words.
    pub from: String,
    /// How far the calls of the window are kept; `None` if none are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub coverage: Option<Coverage>,
    /// What was read of the calls that are kept; `None` if the answer is not made of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summed: Option<Summed>,
    /// Pairs of a calling and a called service.
    pub links: usize,
    /// The number of calls between them.
    pub calls: u64,
    /// The error that ended it early, if one did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Traces judged.
    pub judged_traces: u64,
    /// Their spans.
    pub judged_spans: u64,
    /// Calls to the plugin: pages of sightings and of fragments.
    pub pages: u64,
    /// Sightings returned by the plugin.
    pub sightings: u64,
    /// Fragments read.
    pub fragments: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Milliseconds of reading calls that are kept, and of adding them up.
    pub kept_ms: f64,
    /// Milliseconds in the plugin's `find`.
    pub find_ms: f64,
    /// Milliseconds in the plugin's `read`.
    pub read_ms: f64,
    /// Milliseconds of judging.
    pub judge_ms: f64,
}

impl Searcher {
    /// Answers as [`Searcher::dependencies`] does, and explains it.
    ///
    /// # Errors
    /// A request that is refused. An answer that fails or exceeds its budget is explained up to that point.
    pub async fn explain_dependencies(
        &self,
        request: GetDependenciesRequest,
        kept: Option<Arc<dyn Kept>>,
    ) -> Result<DependenciesExplanation, Error> {
        let starts = dependencies::starts_of(&request)?;
        let coverage = kept.as_ref().zip(starts);
        let coverage = coverage.map(|(kept, starts)| kept.coverage(starts));
        let mut session = self.session_of_dependencies();
        let mut origin = Origin::default();
        let kept = kept.as_deref();
        let found = dependencies::find(&mut session, &request, kept, &mut origin).await;
        let from = match starts {
            Some(_) => from(origin, coverage.as_ref()),
            None => "nothing: no span can lie within the window".to_owned(),
        };
        let explanation = DependenciesExplanation::new(from, found, *session.budget.spent());
        let explained = DependenciesExplanation {
            coverage,
            summed: match origin {
                Origin::Kept(summed) => Some(summed),
                Origin::Traces | Origin::Unreadable => None,
            },
            ..explanation
        };
        self.settled_once(Ok(explained)).await
    }
}

/// Where the calls come from, in words.
fn from(origin: Origin, coverage: Option<&Coverage>) -> String {
    let why = match (origin, coverage) {
        (Origin::Kept(_), _) => {
            return "what is kept, and from the traces that had to be judged".to_owned();
        }
        (Origin::Unreadable, _) => "what is kept cannot be read",
        (Origin::Traces, None) => "none are kept (dependencies.kept)",
        (Origin::Traces, Some(coverage)) => {
            coverage.unusable.unwrap_or("no bucket of it has settled")
        }
    };
    format!("all traces of the window: {why}")
}

// === impl DependenciesExplanation ===

impl DependenciesExplanation {
    fn new(from: String, found: Result<Vec<Dependency>, Error>, spent: Spent) -> Self {
        let (found, error) = match found {
            Ok(found) => (found, None),
            Err(error) => (Vec::new(), Some(error.to_string())),
        };
        let Spent {
            pages,
            sightings,
            pieces,
            bytes,
            judged,
            traces,
            finding,
            reading,
            judging,
            // Dependencies have no conditions.
            listing: _,
            adding,
        } = spent;
        Self {
            from,
            coverage: None,
            summed: None,
            links: found.len(),
            calls: found.iter().map(|link| link.call_count).sum(),
            error,
            judged_traces: traces,
            judged_spans: judged,
            pages,
            sightings,
            fragments: pieces,
            bytes,
            kept_ms: milliseconds(adding),
            find_ms: milliseconds(finding),
            read_ms: milliseconds(reading),
            judge_ms: milliseconds(judging),
        }
    }
}

impl fmt::Display for DependenciesExplanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "calls from {}", self.from)?;
        if let Some(coverage) = &self.coverage {
            writeln!(
                f,
                "buckets: {} settled, {} open, {} suspect, {} unknown; {} late traces",
                coverage.settled_buckets,
                coverage.open_buckets,
                coverage.suspect_buckets,
                coverage.unknown_buckets,
                coverage.late_traces
            )?;
        }
        if let Some(summed) = &self.summed {
            writeln!(
                f,
                "{} buckets added up whole, {} in part, with {} pages of {} rows scanned",
                summed.whole_buckets,
                summed.partial_buckets,
                summed.scanned_pages,
                summed.scanned_rows
            )?;
        }
        writeln!(
            f,
            "{} pages, {} sightings, {} fragments of {} bytes read, {} traces of {} spans judged",
            self.pages,
            self.sightings,
            self.fragments,
            self.bytes,
            self.judged_traces,
            self.judged_spans
        )?;
        writeln!(
            f,
            "kept {:.2} ms, find {:.2} ms, read {:.2} ms, judge {:.2} ms",
            self.kept_ms, self.find_ms, self.read_ms, self.judge_ms
        )?;
        writeln!(
            f,
            "{} calls between {} pairs of services",
            self.calls, self.links
        )?;
        match &self.error {
            Some(error) => writeln!(f, "ended by an error: {error}"),
            None => Ok(()),
        }
    }
}
