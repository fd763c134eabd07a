//! Who a request is of, and the storage of each: names, the headers that carry them, and the plugins that are open.
//!
//! A [`Resolver`] makes a [`TenantName`] of headers; [`Tenants`] has a storage for each name, opened on the first call and put away
//! when nobody calls; [`Blueprints`] say what each gets, and [`Quotas`] what it may use beside its plugin. Architecture invariant: this knows neither tonic nor wasmtime, and gives nobody the storage of another name
//! than asked for; a request without a name gets the default tenant's only while tenancy is off.

mod blueprints;
mod bucket;
mod by_resource;
mod error;
mod exchange;
mod gate;
mod name;
mod purge;
pub mod quotas;
mod reload;
mod resolver;
mod slot;
mod status;
mod sweep;
mod tenants;

use std::sync::Arc;

pub use blueprints::{Blueprint, Blueprints, Components, Plan, Unusable, Wanted, Workshop};
pub use by_resource::{ByResource, Unassigned};
pub use error::Error;
pub use name::{TenantName, Unsafe};
pub use quotas::Quotas;
pub use reload::{NotTaken, Taken};
pub use resolver::{Named, Refusal, Resolver, Rules};
pub use status::{Limits, Presence, TenantStatus};
pub use tenants::{Options, Tenants};

use crate::storage::{self, Storage};

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
