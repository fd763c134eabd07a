//! What the rest of the host is built from: ids, the [`storage`] trait and the types that cross it, [`terms`] and their fingerprints,
//! [`digest`]s, string forms of values, and names of tenants.
//!
//! Architecture invariant: depends on no other crate of the host.

#![forbid(unsafe_code)]

pub mod digest;
pub mod storage;
pub mod string_form;
mod tenant;
pub mod terms;

pub use tenant::{DEFAULT_TENANT, TenantName, Unsafe};
