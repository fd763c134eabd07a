//! The trait between the protocol and the plugins, and the types of its calls.
//!
//! `ingest` builds [`Batch`]es, `search` calls with [`Search`] and [`Wanted`], and `runtime` implements the trait with a plugin. Tests
//! implement it in native code. Nothing here depends on tonic, wasmtime or a kv driver.

mod batch;
mod error;
mod keep;
mod model;
mod observe;

pub use batch::{Batch, BatchBuilder, BatchOperation, Ends, Fragment, FragmentFacts, Lists};
pub use error::{Error, ErrorKind};
pub use keep::{Common, HostState, Keep, KeepChange};
pub use model::{
    Checked, Dropped, DurationRange, Operation, Part, Piece, Pieces, Remade, Repaired, Search,
    Sighting, Sightings, SpanKind, Statistics, StatusCode, Term, TimeRange, TraceId, Wanted,
};
pub use observe::{Observer, Observers, StorageSource, Upkept};

/// Storage of one tenant's fragments, for one request or one piece of work. Mirrors the `writer` and `reader` interfaces of
/// `wit/storage.wit`.
///
/// Its reads see all that any host acknowledged before it was made. They need not see what is acknowledged later, but for its own writes.
///
/// Implementations check each page that a plugin returns against the rules of `wit/storage.wit`. Rules about a series of pages are
/// checked by the caller, which reports a breach with [`Storage::report`].
#[async_trait::async_trait]
pub trait Storage: Send + Sync + 'static {
    /// Stores a batch. On return it is as durable as the plugin promises, and visible to every later call of this storage and of those that
    /// are made later.
    async fn write(&self, batch: Batch) -> Result<(), Error>;

    /// Returns one page of sightings, newest first. `limit` is the maximum number of sightings on the page.
    async fn find(
        &self,
        search: &Search,
        resume: Option<&[u8]>,
        limit: u32,
    ) -> Result<Sightings, Error>;

    /// Returns one page of pieces: about `max_bytes`, and at least one piece.
    async fn read(
        &self,
        wanted: &Wanted,
        part: Part,
        resume: Option<&[u8]>,
        max_bytes: u32,
    ) -> Result<Pieces, Error>;

    /// Returns the services of the stored spans, in any order, without duplicates.
    async fn services(&self) -> Result<Vec<String>, Error>;

    /// Returns the operations of a service, in any order, without duplicates. An unknown service has none.
    async fn operations(&self, service: &str) -> Result<Vec<Operation>, Error>;

    /// Reports that the plugin broke a rule that only its caller can check. Counts as a strike.
    fn report(&self, breach: &Error);

    /// Tells that so many fragments, this one of this trace among them, were sighted in this query and not read back. Retention may have
    /// dropped them in between.
    fn not_read_back(&self, _fragments: usize, _example: (u64, TraceId)) {}

    /// Reads what the first read of a query will need to know of other hosts. A query may do that while it waits for something else. Without
    /// it, reads take longer and answer the same.
    async fn look_ahead(&self) {}

    /// Has the reads that follow see all that was acknowledged before this call, and not only what was when the query began.
    fn renew(&self) {}

    /// True if other hosts can purge the tenant. An answer must not leave then before [`Storage::still_current`] has said so.
    fn is_shared(&self) -> bool {
        false
    }

    /// Whether all that was read since the storage was given out, or since the last `false`, is the tenant's still. `false` after a purge
    /// by any host: what was read is void, and later reads are of what is there now.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] if that cannot be found out.
    async fn still_current(&self) -> Result<bool, Error> {
        Ok(true)
    }
}
