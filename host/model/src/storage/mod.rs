//! The one trait between the protocol and the sandbox, and the types that cross it.
//!
//! `ingest` makes [`Batch`]es, `search` asks with [`Search`] and [`Wanted`], `plugin` answers from a wasm guest. Tests answer
//! from native code. Nothing here knows tonic, wasmtime or a kv driver.

mod batch;
mod error;
mod model;

pub use batch::{Batch, BatchBuilder, BatchOperation, Ends, Fragment, FragmentFacts, Lists};
pub use error::{Error, ErrorKind};
pub use model::{
    Checked, Dropped, DurationRange, Operation, Part, Piece, Pieces, Search, Sighting, Sightings,
    SpanKind, Statistics, StatusCode, Term, TimeRange, TraceId, Wanted,
};

/// What stores one tenant's fragments. Mirrors the `writer` and `reader` interfaces of `wit/storage.wit`.
///
/// Implementations have already checked what a guest returned against the rules that one call can show (see
/// `wit/storage.wit`); what only a series of pages shows is checked by the caller, who reports it with [`Storage::report`].
#[async_trait::async_trait]
pub trait Storage: Send + Sync + 'static {
    /// Stores a batch. On return it is durable as the plugin promises, and visible to every later call.
    async fn write(&self, batch: Batch) -> Result<(), Error>;

    /// One page of sightings, newest first. `limit` is the most sightings that the caller wants on the page.
    async fn find(
        &self,
        search: &Search,
        resume: Option<&[u8]>,
        limit: u32,
    ) -> Result<Sightings, Error>;

    /// One page of pieces, about `max_bytes` of them and at least one.
    async fn read(
        &self,
        wanted: &Wanted,
        part: Part,
        resume: Option<&[u8]>,
        max_bytes: u32,
    ) -> Result<Pieces, Error>;

    /// Every service of what is stored, in any order, each once.
    async fn services(&self) -> Result<Vec<String>, Error>;

    /// The operations of a service, in any order, each once; none for an unknown service.
    async fn operations(&self, service: &str) -> Result<Vec<Operation>, Error>;

    /// Says that the plugin broke the contract in a way that only its caller could see. Counts as a strike.
    fn report(&self, breach: &Error);
}
