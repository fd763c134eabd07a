//! The SDK for storage plugins: the types of `wit/storage.wit`, one trait, and one line that exports it.
//!
//! A plugin stores *fragments* (the spans of one trace in a batch), indexes their *terms* as it likes, and answers a search with
//! *sightings*: at least every trace that may match. The host judges each sighting, so a plugin can be slow or coarse and the
//! answers are still exact. `wit/storage.wit` is the contract, function by function; the trait's methods summarize it.
//!
//! The same code compiles natively, where `cargo test` runs it: [`kv`] and [`log`] then use the models in `testing`, whose `Harness`
//! checks a plugin against the contract.
//!
//! ```
//! use larder_plugin::{
//!     Batch, Environment, Error, Instancing, Operation, Part, Pieces, Plugin, Search, Sightings, Timestamp, Wanted,
//! };
//!
//! /// Forgets everything at once.
//! struct Forgetful;
//!
//! impl Plugin for Forgetful {
//!     const NAME: &'static str = "forgetful";
//!     const VERSION: &'static str = "1.0.0";
//!     const INSTANCING: Instancing = Instancing::Exclusive;
//!
//!     fn open(environment: Environment) -> Result<Self, Error> {
//!         larder_plugin::settings::none(&environment)?;
//!         Ok(Self)
//!     }
//!     fn write(&mut self, _now: Timestamp, _batches: Vec<Batch>) -> Result<(), Error> {
//!         Ok(())
//!     }
//!     fn find(&mut self, _search: &Search, _resume: Option<&[u8]>, _limit: u32) -> Result<Sightings, Error> {
//!         Ok(Sightings { found: Vec::new(), floor: 0, resume: None })
//!     }
//!     fn read(&mut self, _wanted: &Wanted, _part: Part, _resume: Option<&[u8]>, _max_bytes: u32) -> Result<Pieces, Error> {
//!         Ok(Pieces { pieces: Vec::new(), resume: None })
//!     }
//!     fn services(&mut self) -> Result<Vec<String>, Error> {
//!         Ok(Vec::new())
//!     }
//!     fn operations(&mut self, _service: &str) -> Result<Vec<Operation>, Error> {
//!         Ok(Vec::new())
//!     }
//! }
//!
//! larder_plugin::export!(Forgetful);
//! ```
//!
//! The crate of a plugin has `crate-type = ["cdylib", "rlib"]`, depends on this one, and is built with
//! `cargo build --release --target wasm32-wasip2`. `plugins/minimal` is the smallest plugin that stores traces.

// Lets the generated `export_world!` name this crate as other crates do.
extern crate self as larder_plugin;

pub mod kv;
pub mod log;
pub mod names;
pub mod pages;
pub mod resume;
pub mod settings;
pub mod terms;
#[cfg(not(target_family = "wasm"))]
pub mod testing;

mod batch;
#[doc(hidden)]
pub mod bindings;
#[doc(hidden)]
pub mod glue;
mod model;
mod plugin;

pub use batch::{BatchOperation, Fragment};
pub use bindings::exports::larder::storage::integrity::{
    Checked, Remade, RemadeOperation, Repaired,
};
pub use bindings::exports::larder::storage::lifecycle::{
    Environment, Identity, Instancing, Role, Setting,
};
pub use bindings::exports::larder::storage::reader::{
    Part, Piece, Pieces, Search, Sighting, Sightings, Wanted,
};
pub use bindings::exports::larder::storage::upkeep::{Counts, Sizes};
pub use bindings::exports::larder::storage::writer::Batch;
pub use bindings::larder::storage::types::{
    Duration, DurationRange, Error, Operation, SpanKind, Term, TimeRange, Timestamp, TraceId,
};
pub use plugin::Plugin;

#[doc(hidden)]
pub use wit_bindgen::rt as wit_bindgen_rt;
