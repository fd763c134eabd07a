//! The one trait through which requests reach the storage of their tenant.

use std::sync::Arc;

use larder_model::TenantName;
use larder_model::storage::{self, Storage};

use crate::Quotas;

/// The storage of each tenant. `None` is the one tenant of a server without tenancy.
#[async_trait::async_trait]
pub trait Stores: Send + Sync + 'static {
    /// The tenant's storage, if it is open: cheap, asked for every call.
    fn get(&self, tenant: Option<&TenantName>) -> Option<Arc<dyn Storage>>;

    /// What the tenant may use, and uses now: asked for before its storage is.
    ///
    /// # Errors
    /// [`ResourceExhausted`](storage::ErrorKind::ResourceExhausted) where there are too many tenants.
    fn quotas(&self, tenant: Option<&TenantName>) -> Result<Arc<Quotas>, storage::Error>;

    /// The tenant's storage, opened if it is not.
    ///
    /// # Errors
    /// [`Unavailable`](storage::ErrorKind::Unavailable) where it cannot be opened now,
    /// [`ResourceExhausted`](storage::ErrorKind::ResourceExhausted) where there are too many tenants.
    async fn open(&self, tenant: Option<&TenantName>) -> Result<Arc<dyn Storage>, storage::Error>;
}
