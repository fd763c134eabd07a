//! The series of tenants. [`MOST`] tenants have series of their own; all others share those of the tenant `(other)`.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, OnceLock, Weak};

use larder_model::TenantName;
use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::instruments::{IntGauge, register};
use super::labels::TenantLabels;
use crate::telemetry::{TenantGauges, descriptions};

/// The most tenants with series of their own. Each has seven, so a scrape has at most 1,799 of them, some 150 KB. Prometheus keeps
/// every series that it has seen, and without a list of tenants clients choose their names.
pub(super) const MOST: usize = 256;

/// The label of the tenants that share their series. No tenant has this name.
pub(super) const OTHER: &str = "(other)";

/// The series of all tenants.
pub(super) struct TenantFamilies {
    accepted_spans: Family<TenantLabels, Counter>,
    refused_spans: Family<TenantLabels, Counter>,
    refused_calls: Family<TenantLabels, Counter>,
    queries: Family<TenantLabels, Counter>,
    open: Family<TenantLabels, IntGauge>,
    stored_bytes: Family<TenantLabels, IntGauge>,
    memory_bytes: Family<TenantLabels, IntGauge>,
    /// The tenants with series of their own.
    own: Mutex<HashMap<TenantName, Weak<TenantSeries>>>,
    /// The shared series, once there are more tenants.
    other: OnceLock<Arc<TenantSeries>>,
}

/// The series of one tenant, or those that tenants share. A tenant's own are removed when the last `Arc` is dropped. To count is an
/// atomic addition.
pub struct TenantSeries {
    accepted_spans: Counter,
    refused_spans: Counter,
    refused_calls: Counter,
    queries: Counter,
    open: IntGauge,
    stored_bytes: IntGauge,
    memory_bytes: IntGauge,
    /// `None` for the shared series.
    place: Option<Place>,
}

/// The place of a tenant among those with series of their own.
struct Place {
    tenant: TenantName,
    families: Arc<TenantFamilies>,
}

// === impl TenantFamilies ===

impl TenantFamilies {
    pub(super) fn register(on: &mut Registry) -> Arc<Self> {
        Arc::new(Self {
            accepted_spans: register(on, descriptions::TENANT_ACCEPTED, Family::default()),
            refused_spans: register(on, descriptions::TENANT_REFUSED_SPANS, Family::default()),
            refused_calls: register(on, descriptions::TENANT_REFUSED_CALLS, Family::default()),
            queries: register(on, descriptions::TENANT_QUERIES, Family::default()),
            open: register(on, descriptions::TENANT_OPEN, Family::default()),
            stored_bytes: register(on, descriptions::TENANT_STORED, Family::default()),
            memory_bytes: register(on, descriptions::TENANT_MEMORY, Family::default()),
            own: Mutex::default(),
            other: OnceLock::new(),
        })
    }

    /// The series of a tenant: its own while there is a place, else the shared ones.
    pub(super) fn of(self: &Arc<Self>, tenant: &TenantName) -> Arc<TenantSeries> {
        let mut own = self.own.lock();
        if let Some(series) = own.get(tenant).and_then(Weak::upgrade) {
            return series;
        }
        if own.len() >= MOST && !own.contains_key(tenant) {
            drop(own);
            let other = self
                .other
                .get_or_init(|| Arc::new(self.series(OTHER, None)));
            return Arc::clone(other);
        }
        let place = Place {
            tenant: tenant.clone(),
            families: Arc::clone(self),
        };
        let series = Arc::new(self.series(tenant.as_str(), Some(place)));
        own.insert(tenant.clone(), Arc::downgrade(&series));
        series
    }

    /// The label of a tenant in other series: its name if it has series of its own, or if there is a place.
    pub(super) fn label(&self, tenant: &Arc<str>) -> Arc<str> {
        let own = self.own.lock();
        if own.len() < MOST || own.contains_key(&**tenant) {
            Arc::clone(tenant)
        } else {
            OTHER.into()
        }
    }

    /// Sets the gauges of all tenants. Those of tenants that share their series are summed.
    pub(super) fn set(&self, tenants: &[(Arc<TenantSeries>, TenantGauges)]) {
        let mut shared = TenantGauges::default();
        for (series, gauges) in tenants {
            if series.place.is_some() {
                series.set(gauges);
            } else {
                shared += *gauges;
            }
        }
        if let Some(other) = self.other.get() {
            other.set(&shared);
        }
    }

    /// Series that begin at 0.
    fn series(&self, tenant: &str, place: Option<Place>) -> TenantSeries {
        let tenant = tenant.into();
        let labels = TenantLabels { tenant };
        TenantSeries {
            accepted_spans: self.accepted_spans.get_or_create_owned(&labels),
            refused_spans: self.refused_spans.get_or_create_owned(&labels),
            refused_calls: self.refused_calls.get_or_create_owned(&labels),
            queries: self.queries.get_or_create_owned(&labels),
            open: self.open.get_or_create_owned(&labels),
            stored_bytes: self.stored_bytes.get_or_create_owned(&labels),
            memory_bytes: self.memory_bytes.get_or_create_owned(&labels),
            place,
        }
    }

    fn remove(&self, tenant: &str) {
        let tenant = tenant.into();
        let labels = TenantLabels { tenant };
        for counters in [
            &self.accepted_spans,
            &self.refused_spans,
            &self.refused_calls,
            &self.queries,
        ] {
            counters.remove(&labels);
        }
        for gauges in [&self.open, &self.stored_bytes, &self.memory_bytes] {
            gauges.remove(&labels);
        }
    }
}

// === impl TenantSeries ===

impl TenantSeries {
    /// An Export request of the tenant was acknowledged: the spans that were stored, and those refused by `partial_success`.
    pub fn written(&self, accepted: u64, refused: u64) {
        self.accepted_spans.inc_by(accepted);
        self.refused_spans.inc_by(refused);
    }

    /// A call was refused because the tenant was at a quota.
    pub fn call_refused(&self) {
        self.refused_calls.inc();
    }

    /// A query was begun.
    pub fn query_begun(&self) {
        self.queries.inc();
    }

    fn set(&self, now: &TenantGauges) {
        self.open.set(now.open);
        self.stored_bytes.set(now.bytes);
        self.memory_bytes.set(now.memory);
    }
}

impl Drop for TenantSeries {
    fn drop(&mut self) {
        let Some(Place { tenant, families }) = &self.place else {
            return;
        };
        let mut own = families.own.lock();
        // The tenant may have come back meanwhile, and has series again.
        if own.get(tenant).is_some_and(|it| it.strong_count() == 0) {
            own.remove(tenant);
            families.remove(tenant.as_str());
        }
    }
}

impl fmt::Debug for TenantSeries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tenant = self.place.as_ref().map(|place| &place.tenant);
        f.debug_struct("TenantSeries")
            .field("tenant", &tenant)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
