//! A request's storage: its tenant's, as `rpc.rs` has resolved it.

use std::sync::Arc;
use std::time::Instant;

use larder_core::Live;
use larder_core::telemetry::Metrics;
use larder_core::{Stores, quotas};
use larder_model::TenantName;
use larder_model::storage::Storage;
use larder_search::{self as search, Searcher};
use tokio::sync::OwnedSemaphorePermit;
use tonic::{Extensions, Status};

use super::reads::Reads;
use super::status;

/// What answers a tenant's reads. Cheap to clone.
#[derive(Clone)]
pub(super) struct Searchers {
    stores: Arc<dyn Stores>,
    reads: Reads,
    limits: Live<search::Limits>,
    metrics: Arc<Metrics>,
}

/// The right to read, of the tenant and of the server; it ends when this is dropped.
pub(super) struct Permit {
    _tenant: quotas::QueryPermit,
    _server: OwnedSemaphorePermit,
}

impl Searchers {
    pub(super) fn new(
        stores: Arc<dyn Stores>,
        limits: Live<search::Limits>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            stores,
            reads: Reads::new(),
            limits,
            metrics,
        }
    }

    /// Lets the request that has these extensions begin to read.
    ///
    /// Jaeger repeats no query that was refused, and gives up after 5 s: so one beyond its tenant's limit waits, for half of its time
    /// at the most, and has the rest for its work. Who waits holds nothing that another tenant could need.
    pub(super) async fn begin(
        &self,
        extensions: &Extensions,
    ) -> Result<(Searcher, Permit), Status> {
        let mut limits = *self.limits.get();
        let began = async {
            let tenant = tenant(extensions);
            let came = Instant::now();
            let quotas = self.stores.quotas(tenant)?;
            let query = quotas.query(limits.timeout / 2).await?;
            Ok((query, came.elapsed()))
        };
        let failed = |error: larder_model::storage::Error| status::read_storage(&error);
        let (tenants, waited) = began.await.map_err(failed)?;
        let permit = Permit {
            _tenant: tenants,
            _server: self.reads.begin()?,
        };
        let storage = storage(&*self.stores, tenant(extensions)).await;
        let storage = storage.map_err(failed)?;
        limits.timeout = limits.timeout.saturating_sub(waited);
        let searcher = Searcher::new(storage, limits, Arc::clone(&self.metrics));
        Ok((searcher, permit))
    }
}

/// Whose request it is; `None` without tenancy.
pub(super) fn tenant(extensions: &Extensions) -> Option<&TenantName> {
    extensions.get()
}

/// The tenant's storage, opened if it is not.
pub(super) async fn storage(
    stores: &dyn Stores,
    tenant: Option<&TenantName>,
) -> Result<Arc<dyn Storage>, larder_model::storage::Error> {
    match stores.get(tenant) {
        Some(storage) => Ok(storage),
        None => stores.open(tenant).await,
    }
}
