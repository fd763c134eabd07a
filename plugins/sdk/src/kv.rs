//! Ordered storage that outlives the instance, for a plugin with `Instancing::Replicated`. `wit/storage.wit` has the rules.
//!
//! Native builds forward the calls to the model in [`testing`](crate::testing).

#[cfg(target_family = "wasm")]
use crate::bindings::larder::storage::kv as host;
#[cfg(not(target_family = "wasm"))]
use crate::testing::backend as host;

pub use crate::bindings::larder::storage::kv::{
    Change, Direction, Entry, Error, Key, Object, Page, Range,
};

/// Stores immutable objects of up to 5 MiB each. Not atomic; safe to repeat.
pub fn put(objects: &[Object]) -> Result<(), Error> {
    host::put(objects)
}

/// Makes all changes or none, in one partition, at most 256 KiB; every later get and scan sees them. Writer only, and no other writer
/// may have written to the partition.
pub fn commit(partition: &str, changes: &[Change]) -> Result<(), Error> {
    host::commit(partition, changes)
}

/// Returns the values of these keys, in their order; `None` for a key without a value.
pub fn get(keys: &[Key]) -> Result<Vec<Option<Vec<u8>>>, Error> {
    host::get(keys)
}

/// Returns one page of a partition's entries in the range. Pages are no snapshot: a later one may show a later state.
pub fn scan(
    partition: &str,
    range: &Range,
    direction: Direction,
    max_entries: u32,
    max_bytes: u32,
) -> Result<Page, Error> {
    host::scan(partition, range, direction, max_entries, max_bytes)
}

/// Deletes a whole partition, lazily; its name must never be used again.
pub fn reclaim(partition: &str) -> Result<(), Error> {
    host::reclaim(partition)
}

/// Returns every writer id that has ever committed for this tenant and was not retired since.
pub fn writers() -> Result<Vec<String>, Error> {
    host::writers()
}

/// Returns every partition that has been written to and not reclaimed.
pub fn partitions() -> Result<Vec<String>, Error> {
    host::partitions()
}
