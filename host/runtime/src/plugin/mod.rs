//! Storage plugins: wasm components that are loaded, limited, checked against the contract of `wit/`, and replaced when they fail.
//!
//! A [`Runtime`] compiles; a [`Component`] is one that was compiled and asked what it is; a [`Tenant`] is one tenant's plugin at work, and the only [`Storage`](larder_model::storage::Storage) of the
//! server; a [`Checkup`] reads what a stopped one has stored. Inside: `component` loads, once `compiler` has compiled within bounds;
//! `guest` is one instance and its limits; `slot` holds the writer, `worker` calls it, fed by `queue`; `pool` holds the readers of
//! `replicated` plugins; `exchange` puts another component in the place of one that runs; `check` holds answers against the
//! contract; `backoff` and `suspects` decide what
//! follows a failure. Architecture invariant: nothing of wasmtime leaves this module.

mod acks;
mod backoff;
mod bindings;
mod bundled;
mod check;
mod checkup;
mod clock;
mod compiler;
mod component;
mod convert;
mod described;
mod error;
mod exchange;
mod factory;
mod guest;
mod lend;
mod pool;
mod pools;
mod question;
mod queue;
mod reads;
mod refusal;
mod runtime;
mod settings;
mod shared;
mod slot;
mod source;
mod status;
mod suspects;
mod tenant;
#[cfg(test)]
mod test_support;
mod unbroken;
mod worker;

pub(crate) use backoff::Backoff;
pub use checkup::Checkup;
pub use compiler::{CompileJob, Compiler};
pub use described::{Component, Host, LoadChecks};
pub use error::Error;
pub use exchange::Exchanged;
pub use runtime::{Runtime, RuntimeConfig};
pub use settings::{Limits, Settings};
pub use source::Source;
pub use status::{Instancing, State, Status};
pub use tenant::Tenant;
#[cfg(test)]
pub(crate) use test_support::{GuestFile, batch, guest as test_guest, runtime as test_runtime};

pub use larder_model::DEFAULT_TENANT;
