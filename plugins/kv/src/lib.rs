//! Stores traces durably in `kv`, with an index for search, and drops the oldest by age or by size.
//!
//! | setting | default | meaning |
//! |---|---|---|
//! | `retention` | 168h | How long data is kept after its write, such as `72h`; at least 24s |
//! | `max_bytes` | no limit | The most bytes that a tenant may store in `kv`, such as `50GiB`; the oldest writes are dropped first |
//!
//! | module | contents |
//! |---|---|
//! | `engine`, `view` | one instance; its view of each writer |
//! | `write`, `entry`, `blocks` | a write: blocks, entries, one commit |
//! | `maintenance`, `seal`, `merge` | retention and the index, a step at a time |
//! | `find`, `names` | a page of sightings, services and operations |
//! | `read`, `locate`, `rows` | a page of pieces, the fragments of traces by id, the rows of their tables |
//! | `index`, `traces`, `table`, `column`, `bounds`, `operations` | encoding of the values that are searched |
//! | `manifest`, `segment` | encoding of the values that refer to them |
//! | `frame`, `codec` | the frame and the primitives of all values |
//! | `store`, `cache` | values verified as they are read, in a bounded cache |
//! | `check`, `repair` | checks a whole store for damage, and repairs it |
//! | `seek` | searches in sorted slices |
//! | `limits`, `handle` | settings and sizes; handles of fragments |
//!
//! `README.md` has the format byte by byte.

#![deny(unsafe_code)]

mod blocks;
mod bounds;
mod cache;
mod check;
mod codec;
mod column;
mod engine;
mod entry;
mod find;
mod frame;
mod handle;
mod index;
mod limits;
mod locate;
mod maintenance;
mod manifest;
mod merge;
mod names;
mod operations;
mod read;
mod repair;
mod rows;
mod seal;
mod seek;
mod segment;
mod store;
mod table;
#[cfg(test)]
mod testing;
mod traces;
mod view;
mod write;

use larder_plugin::names::{operations_within_call, services_within_call};
use larder_plugin::{
    Batch, Checked, Counts, Environment, Error, Instancing, Operation, Part, Pieces, Plugin,
    Remade, Repaired, Search, Sightings, Sizes, Timestamp, Wanted,
};

use engine::Engine;
#[doc(hidden)]
pub use limits::Shape;
use repair::Repair;

#[cfg(feature = "component")]
larder_plugin::export!(Kv);

/// The lists that come with each call are taken from it and given back in a third of the time that the target's own takes, which walks
/// a tree of all holes for each.
#[cfg(all(target_family = "wasm", feature = "component"))]
#[global_allocator]
static ALLOCATOR: talc::wasm::WasmDynamicTalc = talc::wasm::new_wasm_dynamic_allocator();

/// The kv plugin.
#[derive(Debug)]
pub struct Kv {
    engine: Engine,
    repair: Repair,
}

impl Kv {
    /// Opens an instance with other part sizes, for tests.
    #[doc(hidden)]
    pub fn open_with(environment: &Environment, shape: Shape) -> Result<Self, Error> {
        let engine = Engine::open(environment, shape)?;
        let repair = Repair::default();
        Ok(Self { engine, repair })
    }
}

impl Plugin for Kv {
    const NAME: &'static str = "kv";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const INSTANCING: Instancing = Instancing::Replicated;

    fn open(environment: Environment) -> Result<Self, Error> {
        Self::open_with(&environment, Shape::default())
    }

    fn write(&mut self, now: Timestamp, batches: Vec<Batch>) -> Result<(), Error> {
        self.engine.write(now, &batches)
    }

    fn refresh(&mut self) -> Result<(), Error> {
        self.engine.follow()
    }

    fn find(
        &mut self,
        search: &Search,
        resume: Option<&[u8]>,
        limit: u32,
    ) -> Result<Sightings, Error> {
        find::page(&mut self.engine, search, resume, limit)
    }

    fn read(
        &mut self,
        wanted: &Wanted,
        part: Part,
        resume: Option<&[u8]>,
        max_bytes: u32,
    ) -> Result<Pieces, Error> {
        read::page(&mut self.engine, wanted, part, resume, max_bytes)
    }

    fn services(&mut self) -> Result<Vec<String>, Error> {
        names::services(&mut self.engine).map(services_within_call)
    }

    fn operations(&mut self, service: &str) -> Result<Vec<Operation>, Error> {
        names::operations(&mut self.engine, service).map(operations_within_call)
    }

    fn maintain(&mut self, now: Timestamp, sizes: Sizes) -> Result<bool, Error> {
        self.engine.maintain(now, sizes)
    }

    fn retire(&mut self) -> Result<bool, Error> {
        self.engine.retire()
    }

    fn statistics(&self) -> Counts {
        self.engine.counts()
    }

    /// Over all steps, every value is read that existed at the first step, except those merged or dropped since.
    fn check(&mut self, resume: Option<&[u8]>) -> Result<Checked, Error> {
        check::step(&mut self.engine, resume)
    }

    fn repair(&mut self, now: Timestamp, remade: &[Remade]) -> Result<Repaired, Error> {
        self.repair.step(&mut self.engine, now, remade)
    }
}
