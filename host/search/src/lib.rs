//! From a query to its exact answer: query → predicate → plan → sightings → judged → newest first.
//!
//! `legacy` and `filter` turn Jaeger's query into a predicate, `plan` turns the predicate into a search for the plugin, `judge` decides
//! which sightings match, and `emit` orders the matches. The answers build on that: traces, ids, summaries, dependencies, services.
//! Architecture invariant: knows neither tonic nor wasmtime; the memory and the time of a query are bounded.

#![forbid(unsafe_code)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{Stream, TryFutureExt as _, stream};
use larder_core::fair::Lane;
use larder_core::quotas::{QueryPermit, Quotas};
use larder_core::telemetry::Metrics;
use larder_model::dictionary::Snapshot;
use larder_model::storage::{Error, ErrorKind, Storage};
use larder_proto::TracesBytes;
use larder_proto::storage::v2::{
    Dependency, FindSpansRequest, FindSpansResponse, FindTraceIDsResponse,
    FindTraceSummariesResponse, GetDependenciesRequest, GetOperationsRequest, GetTracesRequest,
    Operation, TraceQueryParameters,
};

mod beside;
mod budget;
mod calls;
mod counter;
mod cut;
mod dependencies;
mod discovery;
mod emit;
mod explain;
pub mod filter;
mod full;
mod gather;
mod ids;
mod judge;
mod judging;
pub mod kept;
mod legacy;
mod names;
mod omission;
mod paging;
mod parts;
mod plan;
mod predicate;
mod prepared;
#[cfg(test)]
mod property;
mod query;
mod reading;
mod sanitize;
mod services;
mod session;
mod settled;
mod short;
mod show;
mod sightings;
mod spans;
mod summaries;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;
mod time;
mod traces;
mod value;
mod words;
mod written;

pub use discovery::{AttributeKeys, AttributeValues, KeyEntry, KeysQuery, ValueEntry, ValuesQuery};
pub use explain::{DependenciesExplanation, Explained, Explanation, PlanNode};
pub use omission::{Omission, Omitted};
pub use plan::Told;
pub use prepared::Prepared;

use beside::Beside;
use budget::Budget;
use dependencies::Origin;
use emit::Emitter;
use kept::Kept;
use session::Session;
use spans::Spans;
use summaries::Summaries;
use traces::{Source, Traces};

/// Limits of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Number of traces that a search returns if it sets no `search_depth` (Q1).
    pub default_depth: u32,
    /// Maximum number of traces that a search returns; a greater `search_depth` is clamped (Q1).
    pub max_depth: u32,
    /// Time that a search may take, without waiting for its client.
    pub timeout: Duration,
    /// Time that an answer of dependencies may take.
    pub dependencies_timeout: Duration,
    /// Maximum number of spans that a search judges.
    pub judged_spans: u64,
    /// Maximum number of bytes that a query reads from the storage.
    pub read_bytes: u64,
    /// Maximum bytes of one message of an answer.
    pub max_message_bytes: usize,
    /// True if pages of an answer end with tokens, from which the next page continues (`grpc.pagination`).
    pub pagination: bool,
}

// === impl Limits ===

impl Limits {
    /// Limits that no query of a benchmark reaches.
    pub const OF_BENCHMARKS: Self = Self {
        default_depth: 100,
        max_depth: 10_000,
        timeout: Duration::from_mins(1),
        dependencies_timeout: Duration::from_mins(1),
        judged_spans: u64::MAX,
        read_bytes: u64::MAX,
        max_message_bytes: 16 << 20,
        pagination: false,
    };
}

/// The kind of a query, which decides how long it may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueryKind {
    /// Everything but dependencies.
    Search,
    /// Dependencies.
    Dependencies,
}

impl Limits {
    /// Waits for the tenant's permit of a query of this kind whose request has `bytes`, for at most half of its timeout, and subtracts the
    /// wait from the timeouts. Jaeger does not retry a refused query and gives up after 5 s. A waiting query holds nothing that another
    /// tenant could need.
    ///
    /// # Errors
    /// As [`Quotas::query`].
    pub async fn wait_for(
        &mut self,
        kind: QueryKind,
        quotas: &Quotas,
        bytes: usize,
    ) -> Result<QueryPermit, Error> {
        let arrived = Instant::now();
        let permit = quotas.query(bytes, self.time_of(kind) / 2).await?;
        self.spend(arrived.elapsed());
        Ok(permit)
    }

    /// Time that a query of this kind may take.
    pub fn time_of(&self, kind: QueryKind) -> Duration {
        match kind {
            QueryKind::Search => self.timeout,
            QueryKind::Dependencies => self.dependencies_timeout,
        }
    }

    /// Subtracts time that the query has waited from the timeouts.
    pub fn spend(&mut self, waited: Duration) {
        self.timeout = self.timeout.saturating_sub(waited);
        self.dependencies_timeout = self.dependencies_timeout.saturating_sub(waited);
    }
}

/// Answers the queries of Jaeger's storage API from one tenant's [`Storage`]. Cheap to clone.
///
/// Dropping an answer stops its work, and that of its tasks, within a page. All answers fail with
/// [`QueryBudget`](larder_model::storage::ErrorKind::QueryBudget) over their budget, with
/// [`ContractBroken`](larder_model::storage::ErrorKind::ContractBroken) where the plugin lied, with
/// [`DataLoss`](larder_model::storage::ErrorKind::DataLoss) if it cannot return what was stored, and with the errors of the storage.
#[derive(Clone)]
pub struct Searcher {
    storage: Arc<dyn Storage>,
    limits: Limits,
    metrics: Arc<Metrics>,
    omission: Omission,
    beside: Beside,
    snapshot: Option<Snapshot>,
}

impl Searcher {
    /// Creates a searcher over `storage`, within `limits`.
    pub fn new(storage: Arc<dyn Storage>, limits: Limits, metrics: Arc<Metrics>) -> Self {
        Self {
            storage,
            limits,
            omission: Omission::new(Arc::clone(&metrics)),
            metrics,
            beside: Beside::new(None),
            snapshot: None,
        }
    }

    /// The same for a query that computes within turns of this lane: while processors are idle, its tasks read pages ahead and judge
    /// parts of large ones. Without a lane everything is done in turn.
    #[must_use]
    pub fn in_lane(self, lane: Option<Lane>) -> Self {
        let beside = Beside::new(lane);
        Self { beside, ..self }
    }

    /// With the listed values of the tenant, as they are now: take the snapshot once the storage is open, and use the searcher for one answer.
    /// Without them fragments with any listed value are judged.
    #[must_use]
    pub fn with_snapshot(mut self, snapshot: Option<Snapshot>) -> Self {
        self.snapshot = snapshot;
        self
    }

    /// What the answer leaves out, once it has ended. Use a searcher for one answer.
    pub fn omission(&self) -> Omission {
        self.omission.clone()
    }

    /// The traces of these ids, each once, in the order of the request (G1 to G3, W2); one that is not stored is left out (W6).
    ///
    /// No message is empty or larger than the limit; the messages of a trace are consecutive. The request's time hints are not used.
    pub fn get_traces(
        &self,
        request: GetTracesRequest,
    ) -> impl Stream<Item = Result<TracesBytes, Error>> + Send + 'static {
        self.settling(move |it| {
            // No values are looked at.
            let session = it.session().with_snapshot(None);
            let traces = Traces::new(session, traces::requested(request.clone()));
            stream::try_unfold(traces, |mut traces| async move {
                Ok(traces.next().await?.map(|message| (message, traces)))
            })
        })
    }

    /// The newest traces that match, whole, newest first (Q1 to Q15); messages as for [`Searcher::get_traces`].
    ///
    /// # Errors
    /// `InvalidArgument` for a malformed time or duration; `InvalidFilter` for a filter that is not well formed.
    pub fn find_traces(
        &self,
        query: TraceQueryParameters,
    ) -> impl Stream<Item = Result<TracesBytes, Error>> + Send + 'static {
        let query = paging::refuse(&query).map(|()| query);
        self.settling(move |it| {
            it.begin(query.clone())
                .map_ok(|(session, emitter)| {
                    let traces = Traces::new(session, Source::Found(Box::new(emitter)));
                    stream::try_unfold(traces, |mut traces| async move {
                        Ok(traces.next().await?.map(|message| (message, traces)))
                    })
                })
                .try_flatten_stream()
        })
    }

    /// The ids of what [`Searcher::find_traces`] gives, in its order, with the start and end of each whole trace (Q16); of more than fit a
    /// message the newest.
    ///
    /// # Errors
    /// As `find_traces`; `AnswerTooLarge` if no id fits a message.
    pub async fn find_trace_ids(
        &self,
        query: TraceQueryParameters,
    ) -> Result<FindTraceIDsResponse, Error> {
        self.settled(|it| {
            let begun = it.begin(Ok(query.clone()));
            async move {
                let (mut session, mut emitter) = begun.await?;
                ids::find(&mut session, &mut emitter).await
            }
        })
        .await
    }

    /// Returns `true` if pages of an answer end with tokens.
    pub fn is_paginated(&self) -> bool {
        self.limits.pagination
    }

    /// Summaries of what [`Searcher::find_traces`] gives, in its order, over all spans of each trace (F1 to F3).
    ///
    /// # Errors
    /// As `find_traces`; `AnswerTooLarge` if one summary does not fit a message.
    pub fn find_trace_summaries(
        &self,
        query: TraceQueryParameters,
    ) -> impl Stream<Item = Result<FindTraceSummariesResponse, Error>> + Send + 'static {
        self.settling(move |it| {
            it.begin(Ok(query.clone()))
                .map_ok(|(session, emitter)| {
                    let summaries = Summaries::new(session, emitter);
                    stream::try_unfold(summaries, |mut summaries| async move {
                        Ok(summaries.next().await?.map(|message| (message, summaries)))
                    })
                })
                .try_flatten_stream()
        })
    }

    /// The spans that match, one page of them in the order asked for, each as it is stored with its resource and its scope (RFC 0016). The
    /// last message has the token of the next page; messages may mix traces, and none of them is larger than the limit.
    ///
    /// # Errors
    /// `InvalidArgument` without a query or without both bounds of its window; `InvalidFilter`, `InvalidOrdering` and `InvalidPagination`
    /// for what is not well formed.
    pub fn find_spans(
        &self,
        request: FindSpansRequest,
    ) -> impl Stream<Item = Result<FindSpansResponse, Error>> + Send + 'static {
        self.settling(move |it| {
            let missing = || Error::new(ErrorKind::InvalidArgument, "missing query");
            let query = request.query.clone().ok_or_else(missing);
            let query = query.and_then(|query| query::span_query(query, &it.limits));
            let begun = query.map(|query| (it.session(), query));
            let spans = async move {
                let (session, query) = begun?;
                Spans::plan(session, query).await
            };
            spans
                .map_ok(|spans| {
                    stream::try_unfold(spans, |mut spans| async move {
                        Ok(spans.next().await?.map(|message| (message, spans)))
                    })
                })
                .try_flatten_stream()
        })
    }

    /// The number of calls from service to service, in the traces that lie wholly within the window (D1 to D4); ordered by parent and
    /// child. Of more than fit a message those with the most calls. The traces of which `kept` has the calls are not judged again.
    ///
    /// # Errors
    /// `InvalidArgument` without a start, or with an end before it (D1); `AnswerTooLarge` if nothing of it fits a message.
    pub async fn dependencies(
        &self,
        request: GetDependenciesRequest,
        kept: Option<Arc<dyn Kept>>,
    ) -> Result<Vec<Dependency>, Error> {
        let mut kept = kept;
        self.settled(|it| {
            // In the first run alone: it is of the data that a purge took.
            let kept = kept.take();
            async move {
                let mut session = it.session_of_dependencies();
                let mut origin = Origin::default();
                dependencies::find(&mut session, &request, kept.as_deref(), &mut origin).await
            }
        })
        .await
    }

    /// The names of all services, sorted, but the empty one (O1). Of more than fit a message those that were written last.
    ///
    /// # Errors
    /// `AnswerTooLarge` if none fits a message.
    pub async fn services(&self) -> Result<Vec<String>, Error> {
        self.settled(|it| async move {
            let limit = it.limits.max_message_bytes;
            services::services(&*it.storage, limit, &it.omission).await
        })
        .await
    }

    /// The operations of a service, of one kind or of all, sorted by name and kind (O2). Of more than fit a message those that were
    /// written last.
    ///
    /// # Errors
    /// `AnswerTooLarge` if none fits a message.
    pub async fn operations(&self, request: GetOperationsRequest) -> Result<Vec<Operation>, Error> {
        self.settled(|it| {
            let request = request.clone();
            async move {
                let limit = it.limits.max_message_bytes;
                services::operations(&*it.storage, &request, limit, &it.omission).await
            }
        })
        .await
    }

    /// Parses a query, and plans it.
    fn begin(
        &self,
        query: Result<TraceQueryParameters, Error>,
    ) -> impl Future<Output = Result<(Session, Emitter), Error>> + Send + use<> {
        let query = query.and_then(|query| query::query(query, &self.limits));
        let begun = query.map(|query| (self.session(), query));
        async move {
            let (mut session, query) = begun?;
            let emitter = Emitter::plan(&mut session, query).await?;
            Ok((session, emitter))
        }
    }

    fn session_of_dependencies(&self) -> Session {
        let budget = Budget::of_dependencies(&self.limits, Arc::clone(&self.metrics));
        let (storage, omission) = (Arc::clone(&self.storage), self.omission());
        let session = Session::new(storage, self.limits, budget, omission);
        session.with_beside(self.beside.clone())
    }

    fn session(&self) -> Session {
        let budget = Budget::new(&self.limits, Arc::clone(&self.metrics));
        let (storage, omission) = (Arc::clone(&self.storage), self.omission());
        let session = Session::new(storage, self.limits, budget, omission);
        let session = session.with_beside(self.beside.clone());
        session.with_snapshot(self.snapshot.clone())
    }
}
