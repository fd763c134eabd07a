//! The sandbox: wasm components, the instances of them that serve a tenant, and all tenants.
//!
//! One life cycle: a `component` is compiled and asked what it is; `instance` runs one tenant's plugin from it, in a `sandbox`;
//! [`tenants`] has the plugins of all tenants. Architecture invariant: the only crate that knows wasmtime, and nothing of wasmtime
//! leaves it.

#![forbid(unsafe_code)]

mod component;
mod instance;
mod sandbox;
pub mod tenants;
#[cfg(test)]
mod test_support;

pub mod plugin {
    //! One storage plugin: loaded, opened for a tenant, and called.

    pub use larder_model::DEFAULT_TENANT;

    pub use crate::component::{
        Checkup, CompileJob, Compiler, Component, Direct, DirectResult, Error, GrantStatus, Host,
        Instancing, Limits, LoadChecks, NoAnswer, Place, PluginConfig, Repair, Source, State,
        Status, forget_derived,
    };
    pub use crate::instance::{Exchanged, Plugin};
    pub use crate::sandbox::{
        Authority, ContractVersion, Grants, GuestError, Runtime, RuntimeConfig, Variable,
    };
}
