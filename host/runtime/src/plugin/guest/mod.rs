//! One guest: a Store, what it may do, and the calls on it.

mod budget;
mod instance;
mod kv_import;
mod limiter;
mod output;
mod state;

pub(super) use instance::{Called, Cause, Failure, Instance, Opening, Role};
pub(super) use limiter::Gauge;
pub(super) use state::{KvAccess, State, link};
