//! What one query may cost: time, judged spans and bytes read; and the count of it for the operator.
//!
//! A query that runs into a limit ends with an error that names the setting, never with a silently short answer.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use larder_core::telemetry::Metrics;
use larder_model::storage::{Error, ErrorKind};

use super::Limits;

/// The budget of one query. What was spent is recorded when it is dropped, however the query ended.
pub(crate) struct Budget {
    metrics: Arc<Metrics>,
    timeout: Duration,
    judged_limit: u64,
    bytes_limit: u64,
    worked: Duration,
    running_since: Option<Instant>,
    spent: Spent,
}

/// There is no time left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OutOfTime;

/// What a query has cost so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Spent {
    /// Pages of sightings and of pieces.
    pub(crate) pages: u64,
    /// Places to look at that the plugin has named.
    pub(crate) sightings: u64,
    /// Fragments that were read.
    pub(crate) pieces: u64,
    pub(crate) bytes: u64,
    /// Spans that were judged.
    pub(crate) judged: u64,
    /// The time in the plugin's `find`, waiting for it included.
    pub(crate) finding: Duration,
    /// The time in the plugin's `read`, waiting for it included.
    pub(crate) reading: Duration,
    pub(crate) judging: Duration,
}

impl Budget {
    /// A full budget, with its clock running.
    pub(crate) fn new(limits: &Limits, metrics: Arc<Metrics>) -> Self {
        Self {
            metrics,
            timeout: limits.timeout,
            judged_limit: limits.judged_spans,
            bytes_limit: limits.read_bytes,
            worked: Duration::ZERO,
            running_since: Some(Instant::now()),
            spent: Spent::default(),
        }
    }

    /// A budget of time alone, for an answer that has to take in everything in its window.
    pub(crate) fn of_time_alone(limits: &Limits, metrics: Arc<Metrics>) -> Self {
        let limits = Limits {
            judged_spans: u64::MAX,
            read_bytes: u64::MAX,
            ..*limits
        };
        Self::new(&limits, metrics)
    }

    /// What was spent.
    pub(crate) fn spent(&mut self) -> &mut Spent {
        &mut self.spent
    }

    /// Lets the clock run: the query works.
    pub(crate) fn run(&mut self) {
        self.running_since.get_or_insert_with(Instant::now);
    }

    /// Stops the clock: the query waits for its client to take what it has.
    pub(crate) fn pause(&mut self) {
        if let Some(since) = self.running_since.take() {
            self.worked += since.elapsed();
        }
    }

    /// Awaits one call on the storage, for as long as there is time left.
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

    /// Counts sightings, which are kept until they are judged: they may be no more than the spans that may be judged.
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

    /// Counts spans that are answered without what Jaeger's client cannot decode.
    pub(crate) fn mended(&self, without_parent: u64, without_link: u64) {
        self.metrics.incomplete("parent_span_id", without_parent);
        self.metrics.incomplete("link_id", without_link);
    }

    fn time_left(&self) -> Duration {
        let running = self
            .running_since
            .map_or(Duration::ZERO, |since| since.elapsed());
        self.timeout.saturating_sub(self.worked + running)
    }

    /// When the query has to have ended, if it works on without a pause.
    pub(crate) fn deadline(&self) -> Instant {
        Instant::now() + self.time_left()
    }

    /// The error of a query that has no time left.
    pub(crate) fn out_of_time(&self) -> Error {
        exceeded(
            "limits.query_timeout",
            &format!("worked for more than {:?}", self.timeout),
        )
    }
}

impl Drop for Budget {
    fn drop(&mut self) {
        self.metrics
            .query(self.spent.judged, self.spent.pages, self.spent.bytes);
    }
}

fn exceeded(setting: &'static str, what: &str) -> Error {
    Error::new(
        ErrorKind::QueryBudget,
        format!("the query {what}: narrow it, or raise {setting}"),
    )
    .with_setting(setting)
}
