//! Larder keeps traces for Jaeger: a fixed host speaks the wire, and a sandboxed wasm plugin stores.
//!
//! This crate is the binary: its command line, its configuration, the admin port, and the one place that puts the other crates
//! together.

#![forbid(unsafe_code)]

pub mod admin;
pub mod cli;
pub mod config;
pub mod reload;
pub mod server;
