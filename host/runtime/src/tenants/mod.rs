//! All tenants: the plugin of each, opened by its first call and evicted when idle; their configuration, quotas, reload and purge.
//!
//! [`Tenants`] is the registry. Architecture invariant: it knows neither tonic nor wasmtime, and a call gets the storage of the tenant
//! that it names and no other; a request without a name gets the default tenant's only while tenancy is off.

mod config;
mod current;
mod error;
mod eviction;
mod health;
mod others;
mod purge;
mod registry;
mod reload;
mod room;
mod slot;
mod snapshot;
mod status;
mod store;

pub use config::{
    ComponentFiles, Config, LoadError, LoadedConfig, LoadedTenantConfig, TenantConfig,
};
pub use error::Error;
pub use registry::{Options, Tenants};
pub use reload::{NotReplaced, Reloaded};
pub use status::{Presence, TenantLimits, TenantStatus};
pub use store::StoreStatus;
