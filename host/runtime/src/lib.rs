//! The sandbox: wasm components, the instances of them that serve a tenant, and all tenants.
//!
//! Architecture invariant: the only crate that knows wasmtime, and nothing of wasmtime leaves it.

#![forbid(unsafe_code)]

pub mod plugin;
pub mod tenancy;
