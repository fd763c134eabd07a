//! Per-tenant quotas that hold whatever the plugin does, their current usage, and the tenant's metrics. They outlive the plugin.

mod query_limiter;
mod token_bucket;

use std::sync::Arc;
use std::time::{Duration, Instant};

use larder_model::TenantName;
use larder_model::storage::{Error, ErrorKind};
use parking_lot::Mutex;
use serde::Serialize;

use self::query_limiter::{NoPermit, QueryLimiter};
use self::token_bucket::TokenBucket;
use crate::Permit;
use crate::telemetry::{Metrics, TenantSeries};

const SPANS: &str = "limits.spans_per_second";
const QUERIES: &str = "limits.concurrent_queries";
const WAITING_QUERIES: &str = "limits.query_queue_bytes";

/// Interval at which a tenant's refusals are logged at most. The metric counts them all.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// A tenant's limits as configured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Limits {
    /// Spans per second, and the size of a burst (`limits.spans_per_second`). `None` is unlimited.
    pub spans_per_second: Option<u64>,
    /// Concurrent queries (`limits.concurrent_queries`).
    pub concurrent_queries: usize,
    /// Bytes of queries that wait (`limits.query_queue_bytes`).
    pub query_queue_bytes: usize,
    /// Compressed bytes in `kv` (`kv.quota`). `None` is unlimited.
    pub kv_quota: Option<u64>,
}

/// One tenant's quotas.
#[derive(Debug)]
pub struct Quotas {
    tenant: TenantName,
    spans: Mutex<Option<TokenBucket>>,
    queries: Arc<QueryLimiter>,
    metrics: Arc<Metrics>,
    series: Arc<TenantSeries>,
    logged: Mutex<Option<Instant>>,
}

/// Permit of a running query, returned on drop.
#[derive(Debug)]
pub struct QueryPermit {
    _permit: Permit,
}

// === impl Quotas ===

impl Quotas {
    /// Quotas with no usage yet.
    pub fn new(tenant: TenantName, limits: &Limits, metrics: Arc<Metrics>) -> Arc<Self> {
        let series = metrics.tenant(&tenant);
        Arc::new(Self {
            tenant,
            spans: Mutex::new(limits.spans_per_second.map(TokenBucket::new)),
            queries: QueryLimiter::new(limits.concurrent_queries, limits.query_queue_bytes),
            metrics,
            series,
            logged: Mutex::default(),
        })
    }

    /// The tenant's series of metrics.
    pub fn series(&self) -> &Arc<TenantSeries> {
        &self.series
    }

    /// Changes the limits. A new span rate starts with a full bucket.
    pub fn set(&self, limits: &Limits) {
        let mut spans = self.spans.lock();
        if spans.as_ref().map(TokenBucket::rate) != limits.spans_per_second {
            *spans = limits.spans_per_second.map(TokenBucket::new);
        }
        drop(spans);
        self.queries
            .set_limits(limits.concurrent_queries, limits.query_queue_bytes);
    }

    /// Checks that spans may be written now, before they are counted.
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

    /// Takes `count` spans from the bucket: all or none.
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

    /// Waits for a query permit, for at most `max_wait`. `bytes` is the size of the request, which is held while it waits.
    ///
    /// # Errors
    /// [`ResourceExhausted`](ErrorKind::ResourceExhausted) with the setting, if no query ends within `max_wait` or the queries that
    /// wait already hold too many bytes.
    pub async fn query(&self, bytes: usize, max_wait: Duration) -> Result<QueryPermit, Error> {
        let refused = match self.queries.acquire(bytes, max_wait).await {
            Ok(permit) => {
                self.series.query_begun();
                return Ok(QueryPermit { _permit: permit });
            }
            Err(refused) => refused,
        };
        let limit = self.queries.limit();
        let (setting, text) = match refused {
            NoPermit::TimedOut => (
                QUERIES,
                format!(
                    "{limit} queries of the tenant are under way, the most at a time, and none ended within {max_wait:?}: retry later, or raise {QUERIES}"
                ),
            ),
            NoPermit::NoRoom => (
                WAITING_QUERIES,
                format!(
                    "{limit} queries of the tenant are under way, and {} bytes of others wait, the most at a time: retry later, or raise {WAITING_QUERIES}",
                    self.queries.waiting_limit()
                ),
            ),
        };
        self.count(setting, Instant::now());
        Err(Error::new(ErrorKind::ResourceExhausted, text).with_setting(setting))
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
        self.series.call_refused();
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
            query_queue_bytes: 1 << 20,
            kv_quota: None,
        }
    }

    fn quotas(limits: &Limits) -> (Arc<Quotas>, Arc<Metrics>) {
        let metrics = Arc::new(Metrics::new());
        let tenant = TenantName::default_tenant();
        (Quotas::new(tenant, limits, Arc::clone(&metrics)), metrics)
    }

    #[track_caller]
    fn check_counted(metrics: &Metrics, setting: &str, times: u64) {
        let line = format!("larder_tenant_quota_refusals_total{{setting=\"{setting}\"}} {times}");
        let text = metrics.encode();
        assert!(text.lines().any(|sample| sample == line), "{text}");
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
        check_counted(&metrics, "limits.spans_per_second", 2);
        let later = now + Duration::from_millis(100);
        quotas.take_spans(1, later).unwrap();
    }

    #[test]
    fn new_limits_hold_at_once_and_equal_ones_keep_the_debt() {
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
        let _one = quotas.query(0, Duration::ZERO).await.unwrap();
        let refused = quotas.query(0, Duration::ZERO).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ResourceExhausted);
        assert_eq!(refused.setting(), Some("limits.concurrent_queries"));
        assert!(refused.message().contains("limits.concurrent_queries"));
        check_counted(&metrics, "limits.concurrent_queries", 1);
        let refused = quotas.query(1 << 20, Duration::ZERO).await.unwrap_err();
        assert_eq!(refused.setting(), Some("limits.query_queue_bytes"));
        assert!(refused.message().contains("limits.query_queue_bytes"));
        check_counted(&metrics, "limits.query_queue_bytes", 1);
        quotas.set(&limits(None, 2));
        quotas.query(0, Duration::ZERO).await.unwrap();
    }
}
