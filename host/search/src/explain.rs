//! Explains a search: its plan as a tree, and the cost of each step. Helps to find why a search is slow.

mod dependencies;

use std::fmt;
use std::time::Duration;

use larder_model::storage::{Error, Part, Search};
use larder_proto::storage::v2::{SpanQueryParameters, TraceQueryParameters};
use serde::Serialize;

use super::Searcher;
use super::budget::Spent;
use super::emit::{Emitter, TRACES_AT_A_TIME};
use super::plan::{Hint, Listed, Plan, Scope, Told, plan};
use super::predicate::{Predicate, Range};
use super::query;
use super::session::Session;

pub use dependencies::DependenciesExplanation;

/// A search to explain.
#[derive(Clone, Debug, PartialEq)]
pub enum Explained {
    /// A search for traces, as [`Searcher::find_trace_ids`] takes it.
    Traces(TraceQueryParameters),
    /// A search for spans, as [`Searcher::find_spans`] takes it.
    Spans(SpanQueryParameters),
}

/// The plan of a search and what running it took.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    /// The predicate as a tree, with the part of it that the plugin answers.
    pub plan: PlanNode,
    /// The clauses that the plugin was asked for, each by its number of terms; a fragment has one term of each.
    pub clauses: Vec<usize>,
    /// The data that was judged: `digests`, or `spans` if digests cannot decide the predicate.
    pub judged_on: &'static str,
    /// The order of the spans, and how the storage is walked for it; only of a search for spans.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order: Option<String>,
    /// What is found: `traces` or `spans`.
    pub found: &'static str,
    /// Maximum number of traces or spans requested.
    pub depth: usize,
    /// Number of matching traces or spans, up to `depth`.
    pub matched: usize,
    /// The error that ended the search early, if one did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Calls to the plugin: pages of sightings and of fragments.
    pub pages: u64,
    /// Sightings returned by the plugin.
    pub sightings: u64,
    /// Fragments read.
    pub fragments: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Spans judged.
    pub judged_spans: u64,
    /// Milliseconds in the plugin's `find`.
    pub find_ms: f64,
    /// Milliseconds in the plugin's `read`.
    pub read_ms: f64,
    /// Milliseconds of judging.
    pub judge_ms: f64,
    /// Milliseconds of putting conditions to the listed values of attributes; those that a plan does not need are explained too.
    pub values_ms: f64,
}

/// One part of the predicate.
#[derive(Clone, Debug, Serialize)]
pub struct PlanNode {
    /// The condition, in the words of filters.
    pub asks: String,
    /// The index that the plugin can use for it.
    pub index: String,
    /// What its own conditions found among the listed values of their attributes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<Told>,
    /// The parts that it combines.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<PlanNode>,
}

/// The tree and the plan of a predicate, given what is listed. Over its budget, the search ends at its first call.
async fn planned(session: &mut Session, predicate: &Predicate) -> (PlanNode, Option<Plan>) {
    let listed = Listed::ask(session, predicate, Scope::Explanation).await;
    let listed = listed.unwrap_or_else(|_| Listed::unknown());
    let tree = PlanNode::of(predicate, &listed);
    (tree, plan(predicate, &listed))
}

impl Searcher {
    /// Runs a search, and explains it. Of a search for spans their keys are found, and the spans themselves are not read.
    ///
    /// # Errors
    /// A query that is refused. A search that fails or exceeds its budget is explained up to that point.
    pub async fn explain(&self, search: Explained) -> Result<Explanation, Error> {
        let explained = match search {
            Explained::Traces(query) => self.explain_traces(query).await,
            Explained::Spans(query) => self.explain_spans(query).await,
        };
        self.settled_once(explained).await
    }

    async fn explain_spans(&self, query: SpanQueryParameters) -> Result<Explanation, Error> {
        let query = query::span_query(query, &self.limits)?;
        let mut session = self.session();
        let (tree, plan) = planned(&mut session, &query.predicate).await;
        let (page, finder) = query.into_finder(plan);
        let mut explanation = Explanation {
            order: Some(format!("{}: {}", finder.order().words(), finder.walk())),
            found: "spans",
            ..Explanation::new(tree, finder.search(), finder.part(), page.size)
        };
        match finder.find(&mut session).await {
            Ok(found) => explanation.matched = found.len().min(page.size),
            Err(error) => explanation.error = Some(error.to_string()),
        }
        explanation.spend(*session.budget.spent());
        Ok(explanation)
    }

    async fn explain_traces(&self, query: TraceQueryParameters) -> Result<Explanation, Error> {
        let query = query::query(query, &self.limits)?;
        let mut session = self.session();
        let (tree, plan) = planned(&mut session, &query.predicate).await;
        let depth = query.depth;
        let mut emitter = Emitter::new(query, plan);
        let mut explanation = Explanation::new(tree, emitter.search(), emitter.part(), depth);
        explanation.error = loop {
            match emitter.next(&mut session, TRACES_AT_A_TIME).await {
                Ok(found) if found.is_empty() => break None,
                Ok(found) => explanation.matched += found.len(),
                Err(error) => break Some(error.to_string()),
            }
        };
        explanation.spend(*session.budget.spent());
        Ok(explanation)
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

// === impl PlanNode ===

impl PlanNode {
    fn of(predicate: &Predicate, listed: &Listed<'_>) -> Self {
        let of_part = |part| Self::of(part, listed);
        let parts = match predicate {
            Predicate::And(parts) | Predicate::Or(parts) => parts.iter().map(of_part).collect(),
            Predicate::Not(part) | Predicate::Some(_, part) => vec![of_part(part)],
            Predicate::Leaf(_) => Vec::new(),
        };
        Self {
            asks: predicate.to_string(),
            index: index(predicate, listed),
            values: listed.told(predicate),
            parts,
        }
    }

    /// One line: the condition, and what the index and the listed values have for it.
    fn write_line(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}  [{}", self.asks, self.index)?;
        for told in &self.values {
            write!(f, "; {told}")?;
        }
        writeln!(f, "]")
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, indent: &str) -> fmt::Result {
        for (place, part) in self.parts.iter().enumerate() {
            let is_last = place + 1 == self.parts.len();
            let (branch, below) = if is_last {
                ("└─ ", "   ")
            } else {
                ("├─ ", "│  ")
            };
            write!(f, "{indent}{branch}")?;
            part.write_line(f)?;
            part.write(f, &format!("{indent}{below}"))?;
        }
        Ok(())
    }
}

/// Describes the index that a plugin can use for the predicate.
fn index(predicate: &Predicate, listed: &Listed<'_>) -> String {
    let Some(hint) = Hint::of(predicate, listed) else {
        return "holds for no span".to_owned();
    };
    let mut by = Vec::new();
    if let Some(traces) = &hint.traces {
        by.push(format!("{} traces by id", traces.len()));
    }
    if hint.starts != Range::ALL {
        by.push("starts".to_owned());
    }
    if hint.durations != Range::ALL {
        by.push("durations".to_owned());
    }
    by.extend(hint.clauses.iter().map(|terms| match terms.len() {
        1 => "1 term".to_owned(),
        more => format!("one of {more} terms"),
    }));
    if by.is_empty() {
        "judged alone".to_owned()
    } else {
        by.join(", ")
    }
}

// === impl Explanation ===

impl Explanation {
    /// The explanation of a search that has not run.
    fn new(plan: PlanNode, search: Option<&Search>, part: Part, depth: usize) -> Self {
        let clauses = search.map(|search| search.clauses.iter().map(Vec::len).collect());
        Self {
            plan,
            clauses: clauses.unwrap_or_default(),
            judged_on: match part {
                Part::Digest => "digests",
                Part::Otlp => "spans",
            },
            order: None,
            found: "traces",
            depth,
            matched: 0,
            error: None,
            pages: 0,
            sightings: 0,
            fragments: 0,
            bytes: 0,
            judged_spans: 0,
            find_ms: 0.0,
            read_ms: 0.0,
            judge_ms: 0.0,
            values_ms: 0.0,
        }
    }

    fn spend(&mut self, spent: Spent) {
        let Spent {
            pages,
            sightings,
            pieces,
            bytes,
            judged,
            finding,
            reading,
            judging,
            listing,
            // Of dependencies.
            traces: _,
            adding: _,
        } = spent;
        self.pages = pages;
        self.sightings = sightings;
        self.fragments = pieces;
        self.bytes = bytes;
        self.judged_spans = judged;
        self.find_ms = milliseconds(finding);
        self.read_ms = milliseconds(reading);
        self.judge_ms = milliseconds(judging);
        self.values_ms = milliseconds(listing);
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.plan.write_line(f)?;
        self.plan.write(f, "")?;
        if let Some(order) = &self.order {
            writeln!(f, "order by {order}")?;
        }
        let clauses: Vec<_> = self.clauses.iter().map(usize::to_string).collect();
        writeln!(
            f,
            "asked of the plugin: {} clauses, of terms: {}",
            clauses.len(),
            clauses.join(", ")
        )?;
        writeln!(
            f,
            "{} pages, {} sightings, {} fragments of {} bytes read, {} spans judged on {}",
            self.pages,
            self.sightings,
            self.fragments,
            self.bytes,
            self.judged_spans,
            self.judged_on
        )?;
        writeln!(
            f,
            "values {:.2} ms, find {:.2} ms, read {:.2} ms, judge {:.2} ms",
            self.values_ms, self.find_ms, self.read_ms, self.judge_ms
        )?;
        writeln!(
            f,
            "{} {} match, of at most {}",
            self.matched, self.found, self.depth
        )?;
        match &self.error {
            Some(error) => writeln!(f, "ended by an error: {error}"),
            None => Ok(()),
        }
    }
}
