//! The trait through which requests reach their tenant's storage.

use std::sync::Arc;

use larder_model::TenantName;
use larder_model::storage::{self, Storage};

use crate::Quotas;

/// The storage of each tenant. The tenant `None` is the only one of a server without tenancy.
#[async_trait::async_trait]
pub trait Stores: Send + Sync + 'static {
    /// The tenant's storage if it is open. Cheap enough for every call.
    fn get(&self, tenant: Option<&TenantName>) -> Option<Arc<dyn Storage>>;

    /// The tenant's quotas and their current usage. Checked before the storage is opened.
    ///
    /// # Errors
    /// [`ResourceExhausted`](storage::ErrorKind::ResourceExhausted) if there are too many tenants.
    fn quotas(&self, tenant: Option<&TenantName>) -> Result<Arc<Quotas>, storage::Error>;

    /// The tenant's storage, opened if necessary.
    ///
    /// # Errors
    /// [`Unavailable`](storage::ErrorKind::Unavailable) if it cannot be opened now,
    /// [`ResourceExhausted`](storage::ErrorKind::ResourceExhausted) if there are too many tenants.
    async fn open(&self, tenant: Option<&TenantName>) -> Result<Arc<dyn Storage>, storage::Error>;
}
