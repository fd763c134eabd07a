//! The sandbox: the wasm engine, one guest with its limits, the versions of the contract, and the rules that
//! answers are checked against.
//!
//! Architecture invariant: nothing outside this crate sees wasmtime.

pub(crate) mod check;
pub(crate) mod clock;
pub(crate) mod contract;
pub(crate) mod grants;
pub(crate) mod guest;
pub(crate) mod instances;
pub(crate) mod network;
pub(crate) mod refusal;
pub(crate) mod runtime;

pub use contract::{ContractVersion, GuestError};
pub use grants::{Authority, Grants, Variable};
pub use runtime::{Runtime, RuntimeConfig};
