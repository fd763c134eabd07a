//! Shared by all parts of a running server: the [`clock`] of retention, [`fair`] scheduling of tenants, values and limits that a reload
//! changes, values that a start opens, [`observers`] beside each other, [`quotas`] of tenants, [`telemetry`], and [`text`] for people.
//!
//! Architecture invariant: knows no wire protocol, no sandbox and no kv driver.

#![forbid(unsafe_code)]

pub mod clock;
pub mod fair;
mod live;
pub mod observers;
mod opening;
mod permits;
pub mod quotas;
mod serving;
mod stores;
pub mod telemetry;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod text;

pub use live::Live;
pub use opening::{NotOpen, Opening};
pub use permits::{Permit, Permits};
pub use quotas::Quotas;
pub use serving::Serving;
pub use stores::Stores;
