//! A request's storage: its tenant's, as `rpc.rs` has resolved it.

use std::sync::Arc;

use tonic::{Extensions, Status};

use super::status;
use crate::reload::Live;
use crate::search::{self, Searcher};
use crate::storage::Storage;
use crate::telemetry::Metrics;
use crate::tenancy::{Stores, TenantName};

/// What answers a tenant's reads. Cheap to clone.
#[derive(Clone)]
pub(super) struct Searchers {
    stores: Arc<dyn Stores>,
    limits: Live<search::Limits>,
    metrics: Arc<Metrics>,
}

impl Searchers {
    pub(super) fn new(
        stores: Arc<dyn Stores>,
        limits: Live<search::Limits>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            stores,
            limits,
            metrics,
        }
    }

    /// Of the request that has these extensions.
    pub(super) async fn of(&self, extensions: &Extensions) -> Result<Searcher, Status> {
        let storage = storage(&*self.stores, tenant(extensions)).await;
        let storage = storage.map_err(|error| status::read_storage(&error))?;
        Ok(Searcher::new(
            storage,
            *self.limits.get(),
            Arc::clone(&self.metrics),
        ))
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
) -> Result<Arc<dyn Storage>, crate::storage::Error> {
    match stores.get(tenant) {
        Some(storage) => Ok(storage),
        None => stores.open(tenant).await,
    }
}
