//! Larder keeps traces for Jaeger: a fixed host speaks the wire, and a sandboxed wasm plugin stores.
//!
//! Architecture invariants: only `grpc` knows tonic, only `plugin` knows wasmtime, only `kv` knows its drivers. They meet in
//! `storage`, which knows none of them.

#![forbid(unsafe_code)]

pub mod access;
pub mod admin;
pub mod cli;
pub mod config;
pub mod digest;
pub mod doors;
pub mod fair;
pub mod grpc;
pub mod ingest;
pub mod kv;
pub mod plugin;
pub mod reload;
pub mod search;
pub mod server;
pub mod storage;
pub mod string_form;
pub mod telemetry;
pub mod tenancy;
pub mod terms;
