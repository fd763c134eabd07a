//! One guest: a Store with its limits and imports, and the calls on its instance.

mod ahead;
mod budget;
mod instance;
mod kv_import;
mod limiter;
mod output;
mod state;

pub(crate) use ahead::Ahead;
pub(crate) use instance::{Called, Cause, Failure, Instance, InstanceConfig};
pub(crate) use limiter::Gauge;
pub(crate) use state::{BeforeUpkeep, Granted, GuestState, KvAccess};
