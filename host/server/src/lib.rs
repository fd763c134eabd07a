//! Larder stores traces for Jaeger: a fixed host serves the protocols, and a sandboxed wasm plugin stores.
//!
//! This crate is the binary: command line, configuration, admin port, and the server that puts the other crates together.

#![forbid(unsafe_code)]

pub mod admin;
pub mod cli;
pub mod config;
pub mod reload;
pub mod server;
