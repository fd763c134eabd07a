//! Shared by gRPC and admin HTTP: [`listeners`] with TLS, bearer tokens ([`access`]), the [`tenant`] of a request, connections of commands to
//! a running server ([`dial`]), and values loaded from
//! [`files`] that are reloaded when the files change.
//!
//! Architecture invariant: knows headers and bytes, but neither gRPC nor HTTP status codes.

#![forbid(unsafe_code)]

pub mod access;
pub mod dial;
pub mod files;
pub mod listeners;
pub mod tenant;
