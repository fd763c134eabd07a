//! The edge that gRPC and admin HTTP share: listeners and TLS ([`doors`]), bearer tokens ([`access`]), the [`tenant`] of a request,
//! and [`files`] that are read again when they change.
//!
//! Architecture invariant: knows headers and bytes, but neither gRPC nor HTTP's codes.

#![forbid(unsafe_code)]

pub mod access;
pub mod doors;
pub mod files;
pub mod tenant;
