//! Stores traces in the instance's own memory: as many as fit, evicting the oldest written trace first.
//!
//! | setting | default | meaning |
//! |---|---|---|
//! | `max_traces` | 100,000 | The most traces that are kept |
//! | `max_bytes` | 60 % of the memory limit | The most memory for them, such as `64MiB`. All memory counts, so the plugin evicts and never runs out |
//! | `unpacked_bytes` | all of them | The bytes of spans, newest first, that stay uncompressed; older ones are packed with LZ4. A full store packs everything before it evicts, and so holds two to three times as much |
//!
//! One trace may take up a quarter of `max_bytes`, with everything packed. One that would take up more is cut, and so is one that grows when
//! it is the oldest of a full store: its beginning stays, later spans of it are dropped, and others are not evicted for it. The number of
//! spans dropped is in [`Piece::dropped_spans`](larder_plugin::Piece) of its first fragment and in the count of evicted spans; a line of
//! the log names the trace. Once it is evicted itself, what comes of it is a new trace.
//!
//! | module | contents |
//! |---|---|
//! | `store` | everything that is stored, eviction, and traces that are cut |
//! | `segment`, `payload`, `index` | some thousand fragments: records, bytes, terms |
//! | `table`, `operations` | traces by id; services and operations by reference count |
//! | `find`, `read` | a page of sightings, a page of pieces |
//! | `limits` | settings, and the sizes of the parts |

#![deny(unsafe_code)]

mod find;
mod handle;
mod index;
mod limits;
mod operations;
mod payload;
mod read;
mod seek;
mod segment;
mod store;
mod table;

use larder_plugin::names::{operations_within_call, services_within_call};
use larder_plugin::{
    Batch, Counts, Environment, Error, Instancing, Operation, Part, Pieces, Plugin, Search,
    Sightings, Timestamp, Wanted, resume,
};

use limits::Limits;
use store::Store;

larder_plugin::export!(Memory);

/// The lists that come with each call are taken from it and given back in a third of the time that the target's own takes, which walks
/// a tree of all holes for each.
#[cfg(target_family = "wasm")]
#[global_allocator]
static ALLOCATOR: talc::wasm::WasmDynamicTalc = talc::wasm::new_wasm_dynamic_allocator();

/// The memory plugin.
#[derive(Debug)]
pub struct Memory {
    store: Store,
}

impl Plugin for Memory {
    const NAME: &'static str = "memory";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const INSTANCING: Instancing = Instancing::Exclusive;

    fn open(environment: Environment) -> Result<Self, Error> {
        let limits = Limits::new(&environment)?;
        Ok(Self {
            store: Store::new(limits, environment.seed),
        })
    }

    fn write(&mut self, now: Timestamp, batches: Vec<Batch>) -> Result<(), Error> {
        self.store.write(now, &batches)
    }

    fn find(
        &mut self,
        search: &Search,
        resume: Option<&[u8]>,
        limit: u32,
    ) -> Result<Sightings, Error> {
        let from = resume::decode(resume)?.map(find::from_resume);
        Ok(find::page(&self.store, search, from, limit))
    }

    fn read(
        &mut self,
        wanted: &Wanted,
        part: Part,
        resume: Option<&[u8]>,
        max_bytes: u32,
    ) -> Result<Pieces, Error> {
        let from = resume::decode(resume)?;
        read::page(&self.store, wanted, part, from, max_bytes)
    }

    fn services(&mut self) -> Result<Vec<String>, Error> {
        Ok(services_within_call(self.store.operations().services()))
    }

    fn operations(&mut self, service: &str) -> Result<Vec<Operation>, Error> {
        let operations = self.store.operations().of_service(service);
        Ok(operations_within_call(operations))
    }

    fn statistics(&self) -> Counts {
        self.store.counts()
    }
}
