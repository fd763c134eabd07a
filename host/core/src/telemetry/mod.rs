//! Metrics and logs: what an operator sees of a running server.
//!
//! Architecture invariant: nothing here knows tonic, wasmtime or a kv driver; the callers say what happened, in methods of
//! [`Metrics`], and the names that leave are decided here alone.

mod chain;
mod described;
mod kv;
mod levels;
pub mod logs;
mod metrics;
mod process;

pub use chain::Chain;
pub use described::{Described, Kind, METRICS};
pub use kv::KvStatistics;
pub use levels::Levels;
pub use metrics::{Metrics, Whose};
