//! What a tenant may use of the server whatever its plugin does, and how much of that is used now. It outlives the plugin.

mod bucket;
mod gate;

use std::sync::Arc;
use std::time::{Duration, Instant};

use larder_model::TenantName;
use larder_model::storage::{Error, ErrorKind};
use parking_lot::Mutex;
use serde::Serialize;

use self::bucket::Bucket;
use self::gate::Gate;
use crate::Permit;
use crate::telemetry::Metrics;

const SPANS: &str = "limits.spans_per_second";
const QUERIES: &str = "limits.concurrent_queries";

/// A tenant's refusals are logged at most once in this time; the metric counts them all.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// What an operator decides about a tenant, apart from its plugin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Limits {
    /// Spans that may be written in a second; a burst may be as large (`limits.spans_per_second`).
    pub spans_per_second: Option<u64>,
    /// Queries at a time (`limits.concurrent_queries`).
    pub concurrent_queries: usize,
    /// What may be stored in `kv`, compressed, in bytes (`kv.quota`).
    pub kv_quota: Option<u64>,
}

/// One tenant's.
#[derive(Debug)]
pub struct Quotas {
    tenant: TenantName,
    spans: Mutex<Option<Bucket>>,
    queries: Arc<Gate>,
    metrics: Arc<Metrics>,
    logged: Mutex<Option<Instant>>,
}

/// A query is under way, until this is dropped.
#[derive(Debug)]
pub struct Query {
    _inside: Permit,
}

// === impl Quotas ===

impl Quotas {
    /// Of a tenant that has used nothing yet.
    pub fn new(tenant: TenantName, limits: &Limits, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self {
            tenant,
            spans: Mutex::new(limits.spans_per_second.map(Bucket::new)),
            queries: Gate::new(limits.concurrent_queries),
            metrics,
            logged: Mutex::default(),
        })
    }

    /// Takes other limits from now on. A rate that changes begins with nothing owed.
    pub fn set(&self, limits: &Limits) {
        let mut spans = self.spans.lock();
        if spans.as_ref().map(Bucket::rate) != limits.spans_per_second {
            *spans = limits.spans_per_second.map(Bucket::new);
        }
        drop(spans);
        self.queries.set_limit(limits.concurrent_queries);
    }

    /// Whether spans may be written now, before anybody looks at how many there are.
    ///
    /// # Errors
    /// [`ResourceExhausted`](ErrorKind::ResourceExhausted), with the setting and when to retry.
    pub fn check_spans(&self, now: Instant) -> Result<(), Error> {
        let spans = self.spans.lock();
        match spans.as_ref() {
            Some(bucket) => {
                let (rate, checked) = (bucket.rate(), bucket.check(now));
                drop(spans);
                checked.map_err(|delay| self.too_many_spans(rate, delay, now))
            }
            None => Ok(()),
        }
    }

    /// Takes spans that are about to be written: all of them, or none.
    ///
    /// # Errors
    /// As [`Quotas::check_spans`].
    pub fn take_spans(&self, count: u64, now: Instant) -> Result<(), Error> {
        let mut spans = self.spans.lock();
        match spans.as_mut() {
            Some(bucket) => {
                let (rate, taken) = (bucket.rate(), bucket.take(count, now));
                drop(spans);
                taken.map_err(|delay| self.too_many_spans(rate, delay, now))
            }
            None => Ok(()),
        }
    }

    /// Lets a query begin, which may have to wait for another one's end.
    ///
    /// # Errors
    /// [`ResourceExhausted`](ErrorKind::ResourceExhausted), with the setting, where none has ended within `patience`, or as many wait
    /// as may run.
    pub async fn query(&self, patience: Duration) -> Result<Query, Error> {
        if let Some(inside) = self.queries.enter(patience).await {
            return Ok(Query { _inside: inside });
        }
        let limit = self.queries.limit();
        let text = format!(
            "{limit} queries of the tenant are under way, the most at a time: retry later, or raise {QUERIES}"
        );
        self.count(QUERIES, Instant::now());
        Err(Error::new(ErrorKind::ResourceExhausted, text).with_setting(QUERIES))
    }

    fn too_many_spans(&self, rate: u64, delay: Duration, now: Instant) -> Error {
        self.count(SPANS, now);
        let text = format!(
            "the tenant writes more than {rate} spans a second: retry in {delay:?}, or raise {SPANS}"
        );
        let error = Error::new(ErrorKind::ResourceExhausted, text);
        error.with_setting(SPANS).with_retry_after(delay)
    }

    fn count(&self, setting: &'static str, now: Instant) {
        self.metrics.quota_refused(setting);
        let mut logged = self.logged.lock();
        if logged.is_some_and(|at| now.saturating_duration_since(at) < LOG_INTERVAL) {
            return;
        }
        *logged = Some(now);
        tracing::warn!(tenant.id = %self.tenant, setting, "calls of a tenant are refused: it is at its quota");
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn limits(spans_per_second: Option<u64>, concurrent_queries: usize) -> Limits {
        Limits {
            spans_per_second,
            concurrent_queries,
            kv_quota: None,
        }
    }

    fn quotas(limits: &Limits) -> (Arc<Quotas>, Arc<Metrics>) {
        let metrics = Arc::new(Metrics::new());
        let tenant = TenantName::default_tenant();
        (Quotas::new(tenant, limits, Arc::clone(&metrics)), metrics)
    }

    #[track_caller]
    fn counted(metrics: &Metrics, setting: &str, times: u64) {
        let line = format!("larder_tenant_quota_refusals_total{{setting=\"{setting}\"}} {times}");
        let text = metrics.encode();
        assert!(text.lines().any(|told| told == line), "{text}");
    }

    #[test]
    fn spans_beyond_the_rate_are_refused_with_the_setting_and_a_delay() {
        let (quotas, metrics) = quotas(&limits(Some(10), 1));
        let now = Instant::now();
        quotas.take_spans(10, now).unwrap();
        for refused in [quotas.check_spans(now), quotas.take_spans(1, now)] {
            let refused = refused.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::ResourceExhausted);
            assert_eq!(refused.setting(), Some("limits.spans_per_second"));
            let delay = Duration::from_millis(100);
            assert_eq!(refused.retry_after(), Some(delay));
            assert_eq!(
                refused.message(),
                "the tenant writes more than 10 spans a second: retry in 100ms, or raise limits.spans_per_second"
            );
        }
        counted(&metrics, "limits.spans_per_second", 2);
        let later = now + Duration::from_millis(100);
        quotas.take_spans(1, later).unwrap();
    }

    #[test]
    fn other_limits_hold_at_once_and_the_same_ones_forgive_nothing() {
        let (quotas, _) = quotas(&limits(Some(10), 1));
        let now = Instant::now();
        quotas.take_spans(50, now).unwrap();
        quotas.set(&limits(Some(10), 1));
        assert!(quotas.check_spans(now).is_err());
        quotas.set(&limits(Some(11), 1));
        assert!(quotas.check_spans(now).is_ok());
        quotas.take_spans(50, now).unwrap();
        quotas.set(&limits(None, 1));
        quotas.take_spans(u64::MAX, now).unwrap();
    }

    #[tokio::test]
    async fn queries_beyond_the_limit_are_refused_with_the_setting() {
        let (quotas, metrics) = quotas(&limits(None, 1));
        let _one = quotas.query(Duration::ZERO).await.unwrap();
        let refused = quotas.query(Duration::ZERO).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ResourceExhausted);
        assert_eq!(refused.setting(), Some("limits.concurrent_queries"));
        assert!(refused.message().contains("limits.concurrent_queries"));
        counted(&metrics, "limits.concurrent_queries", 1);
        quotas.set(&limits(None, 2));
        quotas.query(Duration::ZERO).await.unwrap();
    }
}
