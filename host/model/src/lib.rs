//! Types that the other crates of the host share: ids, the [`storage`] trait and its types, [`terms`], [`digest`]s, string forms of
//! attribute values, [`words`] of texts, the [`dictionary`] of values, and names of tenants.
//!
//! Architecture invariant: depends on no other crate of the host.

#![forbid(unsafe_code)]

pub mod dictionary;
pub mod digest;
mod hex;
pub mod storage;
pub mod string_form;
mod tenant;
pub mod terms;
pub mod words;

pub use hex::Hex;
pub use tenant::{DEFAULT_TENANT, InvalidTenantName, TenantName};
