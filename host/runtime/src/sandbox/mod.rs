//! The sandbox: the wasm engine, one guest with its limits, and the contract of `wit/` that its answers are checked against.
//!
//! Architecture invariant: nothing outside this crate sees wasmtime.

pub(crate) mod bindings;
pub(crate) mod check;
pub(crate) mod clock;
pub(crate) mod convert;
pub(crate) mod guest;
pub(crate) mod lend;
pub(crate) mod refusal;
pub(crate) mod runtime;

pub use runtime::{Runtime, RuntimeConfig};
