//! Budget of one query: time, judged spans and bytes read. The amounts spent are recorded as metrics.
//!
//! A query that exceeds a limit ends with an error that names the setting, never with an incomplete answer.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use larder_core::telemetry::Metrics;
use larder_model::storage::{Error, ErrorKind};

use super::Limits;
use super::sanitize::Sanitized;

/// The budget of one query. Dropping it records the amounts spent.
pub(crate) struct Budget {
    metrics: Arc<Metrics>,
    timeout: Duration,
    /// The setting that raises the timeout.
    timeout_setting: &'static str,
    judged_limit: u64,
    bytes_limit: u64,
    worked: Duration,
    running_since: Option<Instant>,
    spent: Spent,
    /// False for work in the background, whose amounts are not those of queries.
    is_query: bool,
}

/// Error for a query without time left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OutOfTime;

/// Amounts that a query has spent so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Spent {
    /// Pages of sightings and of pieces.
    pub(crate) pages: u64,
    /// Sightings returned by the plugin.
    pub(crate) sightings: u64,
    /// Fragments read.
    pub(crate) pieces: u64,
    pub(crate) bytes: u64,
    /// Spans judged.
    pub(crate) judged: u64,
    /// Traces judged for dependencies.
    pub(crate) traces: u64,
    /// Time in the plugin's `find`, including the time of waiting for it.
    pub(crate) finding: Duration,
    /// Time in the plugin's `read`, including the time of waiting for it.
    pub(crate) reading: Duration,
    pub(crate) judging: Duration,
    /// Time of putting conditions to listed values.
    pub(crate) listing: Duration,
    /// Time of reading calls that are kept, and of adding them up.
    pub(crate) adding: Duration,
}

impl Budget {
    /// Creates a full budget and starts its clock.
    pub(crate) fn new(limits: &Limits, metrics: Arc<Metrics>) -> Self {
        Self {
            metrics,
            timeout: limits.timeout,
            timeout_setting: "limits.query_timeout",
            judged_limit: limits.judged_spans,
            bytes_limit: limits.read_bytes,
            worked: Duration::ZERO,
            running_since: Some(Instant::now()),
            spent: Spent::default(),
            is_query: true,
        }
    }

    /// Creates the budget of an answer of dependencies. It limits only time: such an answer has to be over all traces of its window, and
    /// cannot be narrowed like a search.
    pub(crate) fn of_dependencies(limits: &Limits, metrics: Arc<Metrics>) -> Self {
        let mut budget = Self::new(limits, metrics);
        budget.timeout = limits.dependencies_timeout;
        budget.timeout_setting = "limits.dependencies_timeout";
        budget.judged_limit = u64::MAX;
        budget.bytes_limit = u64::MAX;
        budget
    }

    /// Creates a budget of work in the background, whose amounts are not recorded.
    pub(crate) fn of_background(limits: &Limits, metrics: Arc<Metrics>) -> Self {
        let mut budget = Self::new(limits, metrics);
        budget.is_query = false;
        budget
    }

    /// The amounts spent.
    pub(crate) fn spent(&mut self) -> &mut Spent {
        &mut self.spent
    }

    /// Starts the clock, while the query works.
    pub(crate) fn run(&mut self) {
        self.running_since.get_or_insert_with(Instant::now);
    }

    /// Stops the clock, while the query waits for its client.
    pub(crate) fn pause(&mut self) {
        if let Some(since) = self.running_since.take() {
            self.worked += since.elapsed();
        }
    }

    /// Awaits one call to the storage, until no time is left.
    pub(crate) async fn within<T>(
        &mut self,
        call: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let left = self.time_left();
        if left.is_zero() {
            return Err(self.out_of_time());
        }
        match tokio::time::timeout(left, call).await {
            Ok(answer) => answer,
            Err(_elapsed) => Err(self.out_of_time()),
        }
    }

    /// Counts one page of this many bytes.
    pub(crate) fn page(&mut self, bytes: usize) -> Result<(), Error> {
        self.spent.pages += 1;
        self.spent.bytes = self.spent.bytes.saturating_add(bytes as u64);
        if self.spent.bytes > self.bytes_limit {
            return Err(exceeded(
                "limits.query_read_bytes",
                &format!("read more than {} bytes", self.bytes_limit),
            ));
        }
        Ok(())
    }

    /// Counts sightings. They are kept until they are judged, so the limit of judged spans applies to them too.
    pub(crate) fn sighted(&mut self, sightings: usize) -> Result<(), Error> {
        self.spent.sightings = self.spent.sightings.saturating_add(sightings as u64);
        if self.spent.sightings > self.judged_limit {
            return Err(exceeded(
                "limits.query_judged_spans",
                &format!("has more than {} places to look at", self.judged_limit),
            ));
        }
        Ok(())
    }

    /// Counts judged spans.
    pub(crate) fn judged(&mut self, spans: u64) -> Result<(), Error> {
        self.spent.judged = self.spent.judged.saturating_add(spans);
        if self.spent.judged > self.judged_limit {
            return Err(exceeded(
                "limits.query_judged_spans",
                &format!("judged more than {} spans", self.judged_limit),
            ));
        }
        Ok(())
    }

    /// Counts spans from which ids that Jaeger's client cannot decode were removed, and spans, resources and scopes with values whose
    /// innermost parts are answered as text.
    pub(crate) fn sanitized(&self, sanitized: &Sanitized) {
        self.metrics
            .incomplete("parent_span_id", sanitized.without_parent);
        self.metrics.incomplete("link_id", sanitized.without_link);
        self.metrics.incomplete("nesting", sanitized.flattened);
    }

    fn time_left(&self) -> Duration {
        let running = self
            .running_since
            .map_or(Duration::ZERO, |since| since.elapsed());
        self.timeout.saturating_sub(self.worked + running)
    }

    /// The time at which the query runs out of time if its clock is not stopped.
    pub(crate) fn deadline(&self) -> Instant {
        Instant::now() + self.time_left()
    }

    /// The error of a query that has no time left.
    pub(crate) fn out_of_time(&self) -> Error {
        exceeded(
            self.timeout_setting,
            &format!("worked for more than {:?}", self.timeout),
        )
    }
}

impl Drop for Budget {
    fn drop(&mut self) {
        if self.is_query {
            self.metrics
                .query(self.spent.judged, self.spent.pages, self.spent.bytes);
            self.metrics.dependencies_judged(self.spent.traces);
        }
    }
}

fn exceeded(setting: &'static str, what: &str) -> Error {
    Error::new(
        ErrorKind::QueryBudget,
        format!("the query {what}: narrow it, or raise {setting}"),
    )
    .with_setting(setting)
}
