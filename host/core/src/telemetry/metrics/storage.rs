//! What is stored: the gauges and counters of plugins, of the kv driver, and of the calls that are kept of traces.

use std::sync::atomic::{AtomicU64, Ordering};

use larder_model::storage::Dropped;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::instruments::{IntGauge, OptionalGauge, float, register};
use crate::telemetry::{DependencyStatistics, KvStatistics, TenantGauges, descriptions};

const NANOS_PER_MILLI: u64 = 1_000_000;
const MILLIS_PER_SECOND: f64 = 1e3;

/// What plugins report of their storage, summed over open tenants.
pub(super) struct StorageMetrics {
    /// Absent if a plugin does not count its traces: the sum would be too small.
    traces: OptionalGauge<u64>,
    spans: IntGauge,
    bytes: IntGauge,
    /// Absent if nothing is stored, or if a plugin does not tell: another tenant's time could be too late.
    oldest_write: OptionalGauge<f64>,
    evicted_traces: Counter,
    evicted_spans: Counter,
    expired_traces: Counter,
    expired_spans: Counter,
}

/// What the kv driver counts.
pub(super) struct KvMetrics {
    stored: IntGauge,
    free: IntGauge,
    refused: Counter,
    syncs: Counter,
    sync_time: Counter<f64, AtomicU64>,
    damaged: Counter,
}

/// The calls that are kept of traces.
pub(super) struct DependencyMetrics {
    open_buckets: IntGauge,
    oldest_open: Gauge<f64, AtomicU64>,
    late_traces: IntGauge,
    judged: Counter,
    kept_bytes: IntGauge,
    settling: Counter<f64, AtomicU64>,
    settled_buckets: IntGauge,
    held_tenants: IntGauge,
    backfilled: IntGauge,
}

// === impl StorageMetrics ===

impl StorageMetrics {
    pub(super) fn register(on: &mut Registry) -> Self {
        Self {
            traces: register(on, descriptions::STORAGE_TRACES, OptionalGauge::default()),
            spans: register(on, descriptions::STORAGE_SPANS, IntGauge::default()),
            bytes: register(on, descriptions::STORAGE_BYTES, IntGauge::default()),
            oldest_write: register(on, descriptions::OLDEST_WRITE, OptionalGauge::default()),
            evicted_traces: register(on, descriptions::EVICTED_TRACES, Counter::default()),
            evicted_spans: register(on, descriptions::EVICTED_SPANS, Counter::default()),
            expired_traces: register(on, descriptions::EXPIRED_TRACES, Counter::default()),
            expired_spans: register(on, descriptions::EXPIRED_SPANS, Counter::default()),
        }
    }

    /// A plugin has evicted or expired traces since it was last asked.
    pub(super) fn dropped(&self, dropped: &Dropped) {
        self.evicted_traces.inc_by(dropped.evicted_traces);
        self.evicted_spans.inc_by(dropped.evicted_spans);
        self.expired_traces.inc_by(dropped.expired_traces);
        self.expired_spans.inc_by(dropped.expired_spans);
    }

    /// Sets the gauges of what is stored now.
    pub(super) fn set(&self, now: &TenantGauges) {
        self.traces
            .set((now.traces_unknown == 0).then_some(now.traces));
        self.spans.set(now.spans);
        self.bytes.set(now.bytes);
        let oldest = now.oldest_write.filter(|_| now.oldest_write_unknown == 0);
        // A double has no room for the nanoseconds of today.
        let seconds = oldest.map(|nanos| float(nanos / NANOS_PER_MILLI) / MILLIS_PER_SECOND);
        self.oldest_write.set(seconds);
    }
}

// === impl KvMetrics ===

impl KvMetrics {
    pub(super) fn register(on: &mut Registry) -> Self {
        Self {
            stored: register(on, descriptions::KV_STORED, IntGauge::default()),
            free: register(on, descriptions::KV_FREE, IntGauge::default()),
            refused: register(on, descriptions::KV_REFUSED, Counter::default()),
            syncs: register(on, descriptions::KV_SYNCS, Counter::default()),
            sync_time: register(on, descriptions::KV_SYNC_TIME, Counter::default()),
            damaged: register(on, descriptions::KV_DAMAGED, Counter::default()),
        }
    }

    pub(super) fn set(&self, now: &KvStatistics) {
        self.stored.set(now.stored_bytes);
        self.free.set(now.free_bytes.unwrap_or_default());
        let seconds = now.sync_time.as_secs_f64();
        // The driver counts, so its totals replace ours.
        for (counter, value) in [
            (self.refused.inner(), now.refused_for_space),
            (self.syncs.inner(), now.syncs),
            (self.sync_time.inner(), seconds.to_bits()),
            (self.damaged.inner(), now.damaged),
        ] {
            counter.store(value, Ordering::Relaxed);
        }
    }
}

// === impl DependencyMetrics ===

impl DependencyMetrics {
    pub(super) fn register(on: &mut Registry) -> Self {
        Self {
            open_buckets: register(on, descriptions::DEPENDENCIES_OPEN, IntGauge::default()),
            oldest_open: register(on, descriptions::DEPENDENCIES_OLDEST, Gauge::default()),
            late_traces: register(on, descriptions::DEPENDENCIES_LATE, IntGauge::default()),
            judged: register(on, descriptions::DEPENDENCIES_JUDGED, Counter::default()),
            kept_bytes: register(on, descriptions::DEPENDENCIES_KEPT, IntGauge::default()),
            settling: register(on, descriptions::DEPENDENCIES_SETTLING, Counter::default()),
            settled_buckets: register(on, descriptions::DEPENDENCIES_SETTLED, IntGauge::default()),
            held_tenants: register(on, descriptions::DEPENDENCIES_HELD, IntGauge::default()),
            backfilled: register(
                on,
                descriptions::DEPENDENCIES_BACKFILLED,
                IntGauge::default(),
            ),
        }
    }

    /// Traces were judged to answer a query.
    pub(super) fn judged(&self, traces: u64) {
        self.judged.inc_by(traces);
    }

    pub(super) fn set(&self, now: &DependencyStatistics) {
        self.open_buckets.set(now.open_buckets);
        self.oldest_open.set(now.oldest_open.as_secs_f64());
        self.late_traces.set(now.late_traces);
        self.kept_bytes.set(now.kept_bytes);
        // Counted elsewhere, so the total replaces ours.
        let settling = now.settling.as_secs_f64().to_bits();
        self.settling.inner().store(settling, Ordering::Relaxed);
        self.settled_buckets.set(now.settled_buckets);
        self.held_tenants.set(now.held_tenants);
        self.backfilled.set(now.is_backfilled.into());
    }
}
