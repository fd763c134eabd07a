//! Who a request is of, and the storage of each: names, the headers that carry them, and the plugins that are open.
//!
//! A [`Resolver`] makes a [`TenantName`] of headers; [`Tenants`] has a storage for each name, opened on the first call and put away
//! when nobody calls; [`Blueprints`] say what each gets, and [`Quotas`] what it may use beside its plugin. Architecture invariant: this knows neither tonic nor wasmtime, and gives nobody the storage of another name
//! than asked for; a request without a name gets the default tenant's only while tenancy is off.

mod blueprints;
mod error;
mod exchange;
mod purge;
mod reload;
mod slot;
mod status;
mod sweep;
mod tenants;

pub use blueprints::{Blueprint, Blueprints, Components, Plan, Unusable, Wanted, Workshop};
pub use error::Error;
pub use reload::{NotTaken, Taken};
pub use status::{Limits, Presence, TenantStatus};
pub use tenants::{Options, Tenants};
