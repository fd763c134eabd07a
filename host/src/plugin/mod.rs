//! Storage plugins: wasm components that are loaded, limited, checked against the contract of `wit/`, and replaced when they fail.
//!
//! A [`Runtime`] compiles; a [`Tenant`] is one tenant's plugin at work, and the only [`Storage`](crate::storage::Storage) of the
//! server. Architecture invariant: nothing of wasmtime leaves this module.

mod bindings;
mod budget;
mod bundled;
mod error;
mod limiter;
mod runtime;
mod settings;
mod source;
mod status;
mod tenant;

pub use error::Error;
pub use runtime::{Runtime, RuntimeConfig};
pub use settings::{Limits, Settings};
pub use source::Source;
pub use status::{Instancing, State, Status};
pub use tenant::Tenant;
