//! The storage of a request's tenant, which `rpc.rs` has resolved.

use std::sync::Arc;
use std::time::Instant;

use larder_core::Live;
use larder_core::fair::Lane;
use larder_core::telemetry::Metrics;
use larder_core::{Stores, quotas};
use larder_model::dictionary::Dictionaries;
use larder_model::storage::Storage;
use larder_model::{DEFAULT_TENANT, TenantName};
use larder_search::kept::Kept;
use larder_search::{self as search, QueryKind, Searcher};
use tokio::sync::OwnedSemaphorePermit;
use tonic::{Extensions, Status};

use super::read_limit::ReadLimit;
use super::request_memory::MemoryReservation;
use super::status;

/// What is kept of the traces of each tenant.
pub trait KeptOfTenants: Send + Sync + 'static {
    /// What is kept of this tenant's traces. `None` if nothing is, or the tenant is not open.
    fn of(&self, tenant: &str) -> Option<Arc<dyn Kept>>;
}

/// Makes the searchers of requests. Cheap to clone.
#[derive(Clone)]
pub(super) struct Searchers {
    stores: Arc<dyn Stores>,
    read_limit: ReadLimit,
    limits: Live<search::Limits>,
    metrics: Arc<Metrics>,
    dictionaries: Dictionaries,
    kept: Option<Arc<dyn KeptOfTenants>>,
}

/// The permits of a read, the tenant's and the server's. Returned on drop.
pub(super) struct ReadPermit {
    _tenant: quotas::QueryPermit,
    _server: OwnedSemaphorePermit,
}

impl Searchers {
    pub(super) fn new(
        stores: Arc<dyn Stores>,
        limits: Live<search::Limits>,
        metrics: Arc<Metrics>,
        dictionaries: Dictionaries,
        kept: Option<Arc<dyn KeptOfTenants>>,
    ) -> Self {
        Self {
            stores,
            read_limit: ReadLimit::new(),
            limits,
            metrics,
            dictionaries,
            kept,
        }
    }

    /// What is kept of the traces of the tenant of a request with these extensions. Call it after [`Searchers::begin_dependencies`], which
    /// opens the tenant.
    pub(super) fn kept(&self, extensions: &Extensions) -> Option<Arc<dyn Kept>> {
        let tenant = tenant(extensions).map_or(DEFAULT_TENANT, TenantName::as_str);
        self.kept.as_ref()?.of(tenant)
    }

    /// The searcher and the permits of a request with these extensions, for anything but dependencies.
    /// A query over its tenant's limit, or the server's, waits for at most half of its timeout, and has the rest for its work.
    pub(super) async fn begin(
        &self,
        extensions: &Extensions,
    ) -> Result<(Searcher, ReadPermit), Status> {
        self.begin_kind(QueryKind::Search, extensions).await
    }

    /// As [`Searchers::begin`], for dependencies.
    pub(super) async fn begin_dependencies(
        &self,
        extensions: &Extensions,
    ) -> Result<(Searcher, ReadPermit), Status> {
        self.begin_kind(QueryKind::Dependencies, extensions).await
    }

    async fn begin_kind(
        &self,
        kind: QueryKind,
        extensions: &Extensions,
    ) -> Result<(Searcher, ReadPermit), Status> {
        let mut limits = *self.limits.get();
        let timeout = limits.time_of(kind);
        let failed = |error: larder_model::storage::Error| status::read_storage(&error);
        let quotas = self.stores.quotas(tenant(extensions)).map_err(failed)?;
        let request = extensions.get::<Arc<MemoryReservation>>();
        let bytes = request.map_or(0, |request| request.bytes());
        let tenant_permit = limits.wait_for(kind, &quotas, bytes).await;
        let tenant_permit = tenant_permit.map_err(failed)?;
        let arrived = Instant::now();
        let max_wait = limits.time_of(kind).saturating_sub(timeout / 2);
        let permit = ReadPermit {
            _tenant: tenant_permit,
            _server: self.read_limit.begin(max_wait).await?,
        };
        limits.spend(arrived.elapsed());
        let storage = storage(&*self.stores, tenant(extensions)).await;
        let storage = storage.map_err(failed)?;
        let name = tenant(extensions).map_or(DEFAULT_TENANT, TenantName::as_str);
        // The tenant is open. What is listed from here on is in fragments that the query need not find.
        let ((), snapshot) = tokio::join!(storage.look_ahead(), self.dictionaries.snapshot(name));
        let searcher = Searcher::new(storage, limits, Arc::clone(&self.metrics));
        let lane = extensions.get::<Lane>().cloned();
        Ok((searcher.in_lane(lane).with_snapshot(snapshot), permit))
    }
}

/// The tenant of the request. `None` without tenancy.
pub(super) fn tenant(extensions: &Extensions) -> Option<&TenantName> {
    extensions.get()
}

/// The tenant's storage, opened if necessary.
pub(super) async fn storage(
    stores: &dyn Stores,
    tenant: Option<&TenantName>,
) -> Result<Arc<dyn Storage>, larder_model::storage::Error> {
    match stores.get(tenant) {
        Some(storage) => Ok(storage),
        None => stores.open(tenant).await,
    }
}
