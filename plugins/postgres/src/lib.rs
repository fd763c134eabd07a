//! Stores traces in PostgreSQL, which several hosts may share. `README.md` has the settings, the tables, and what is guaranteed.
//!
//! | module | contents |
//! |---|---|
//! | `settings` | what an operator can set |
//! | `connection` | PostgreSQL's protocol over `std::net`, which is `wasi:sockets` in the sandbox |
//! | `engine` | one instance: its connection, and what it knows of the tables |
//! | `schema` | the tables, and how they came to be |
//! | `partition` | partitions by time of writing, retention |
//! | `write` | a write: one transaction |
//! | `find` | a page of sightings |
//! | `read` | a page of pieces |
//! | `names` | services and operations |
//! | `number` | `u64` in columns of `bigint` |

#![deny(unsafe_code)]

mod connection;
mod engine;
mod find;
mod names;
mod number;
mod partition;
mod read;
mod schema;
mod settings;
mod write;

use larder_plugin::{
    Batch, Environment, Error, Instancing, Operation, Part, Pieces, Plugin, Search, Sightings,
    Sizes, Timestamp, Wanted,
};

use engine::Engine;

larder_plugin::export!(Postgres);

/// The postgres plugin.
#[derive(Debug)]
pub struct Postgres {
    engine: Engine,
}

impl Plugin for Postgres {
    const NAME: &'static str = "postgres";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const INSTANCING: Instancing = Instancing::Replicated;

    fn open(environment: Environment) -> Result<Self, Error> {
        let engine = Engine::open(&environment)?;
        Ok(Self { engine })
    }

    fn write(&mut self, now: Timestamp, batches: Vec<Batch>) -> Result<(), Error> {
        write::write(&mut self.engine, now, &batches)
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
        names::services(&mut self.engine)
    }

    fn operations(&mut self, service: &str) -> Result<Vec<Operation>, Error> {
        names::operations(&mut self.engine, service)
    }

    fn maintain(&mut self, now: Timestamp, _sizes: Sizes) -> Result<bool, Error> {
        self.engine.maintain(now)
    }

    /// Nothing that is stored is a writer's own: any host reads and drops it.
    fn retire(&mut self) -> Result<bool, Error> {
        Ok(true)
    }

    fn purge(&mut self) -> Result<(), Error> {
        self.engine.purge()
    }
}
