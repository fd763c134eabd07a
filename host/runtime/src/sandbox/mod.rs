//! The sandbox: the wasm engine, one guest with its limits, and the contract of `wit/` that its answers are checked against.
//!
//! Architecture invariant: nothing outside this crate sees wasmtime.

pub(crate) mod check;
pub(crate) mod clock;
pub(crate) mod contract;
pub(crate) mod guest;
pub(crate) mod refusal;
pub(crate) mod runtime;

pub use contract::ContractVersion;
pub use runtime::{Runtime, RuntimeConfig};
