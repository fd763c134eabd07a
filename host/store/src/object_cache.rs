//! A cache of immutable objects, for drivers whose store is not on this machine.
//!
//! It may hold objects only: an object never changes, so what the cache has of it is never stale. Entries of commits are not for it.

use std::collections::HashSet;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, Equivalent, OptionsBuilder, Weighter};

use crate::{Key, MAX_OBJECT_BYTES};

/// Memory of an entry beside its key and value, in bytes: the fields of entry and key (88), the counts of the `Arc` (16), the links and the
/// place in the table (about 50), and what the allocator adds to three allocations (about 16 each).
const OVERHEAD: u64 = 200;
/// Size of an ordinary object, for the size of the tables of the cache.
const EXPECTED_BYTES: u64 = 16 * 1024;
const MAX_SHARDS: u64 = 16;

/// Values by namespace and key, bounded in bytes. One that is read once only does not displace those that are read again (the policy is
/// that of `quick_cache`: S3-FIFO with CLOCK).
pub struct ObjectCache {
    /// `None` if the cache is off.
    values: Option<Cache<Place, Arc<[u8]>, Bytes>>,
    /// Grows by 8 bytes with each purge while the process runs.
    forgotten: RwLock<HashSet<u64>>,
    hits: AtomicU64,
    misses: AtomicU64,
}

#[derive(Clone, PartialEq, Eq)]
struct Place {
    namespace: u64,
    key: Key,
}

/// A [`Place`] whose key is borrowed.
struct Sought<'a> {
    namespace: u64,
    key: &'a Key,
}

#[derive(Clone)]
struct Bytes;

// === impl ObjectCache ===

impl ObjectCache {
    /// Creates an empty cache that takes at most this many bytes of memory, keys and overhead included. 0 turns it off.
    pub fn new(max_bytes: u64) -> Self {
        // The largest object has to fit into a shard several times.
        let shards = (max_bytes / (8 * MAX_OBJECT_BYTES as u64)).clamp(1, MAX_SHARDS);
        // The number of shards is rounded up to a power of two, so this is the largest one that is not above.
        let shards = 1_usize << shards.ilog2();
        let expected = usize::try_from(max_bytes / EXPECTED_BYTES).unwrap_or(usize::MAX);
        let options = OptionsBuilder::new()
            .shards(shards)
            .estimated_items_capacity(expected)
            .weight_capacity(max_bytes)
            .build();
        let values = options.ok().filter(|_| max_bytes > 0).map(|options| {
            Cache::with_options(
                options,
                Bytes,
                DefaultHashBuilder::default(),
                DefaultLifecycle::default(),
            )
        });
        Self {
            values,
            forgotten: RwLock::default(),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        }
    }

    /// The value of an object.
    pub fn get(&self, namespace: u64, key: &Key) -> Option<Arc<[u8]>> {
        let values = self.values.as_ref()?;
        let found = values
            .get(&Sought { namespace, key })
            .filter(|_| !self.is_forgotten(namespace));
        let counter = match found {
            Some(_) => &self.hits,
            None => &self.misses,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        found
    }

    /// Keeps the value of an object, if it is not too large for that.
    pub fn insert(&self, namespace: u64, key: Key, value: Arc<[u8]>) {
        if let Some(values) = &self.values
            && !self.is_forgotten(namespace)
        {
            values.insert(Place { namespace, key }, value);
        }
    }

    /// Drops the values of a namespace, after a purge. Nothing is kept for this number from then on, whatever a read that began before
    /// inserts: no other namespace may ever have it.
    pub fn forget(&self, namespace: u64) {
        if let Some(values) = &self.values {
            self.forgotten.write().insert(namespace);
            values.retain(|place, _| place.namespace != namespace);
        }
    }

    fn is_forgotten(&self, namespace: u64) -> bool {
        self.forgotten.read().contains(&namespace)
    }

    /// Number of calls of [`ObjectCache::get`] that found their value.
    pub fn hits(&self) -> u64 {
        self.hits.load(Ordering::Relaxed)
    }

    /// Number of calls of [`ObjectCache::get`] that did not. Stays 0 if the cache is off.
    pub fn misses(&self) -> u64 {
        self.misses.load(Ordering::Relaxed)
    }

    /// Memory of all entries, in bytes.
    pub fn bytes(&self) -> u64 {
        self.values.as_ref().map_or(0, Cache::weight)
    }
}

impl fmt::Debug for ObjectCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObjectCache")
            .field("bytes", &self.bytes())
            .field("hits", &self.hits())
            .field("misses", &self.misses())
            .finish_non_exhaustive()
    }
}

// === impl Place ===

impl Hash for Place {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Self { namespace, key } = self;
        let namespace = *namespace;
        Sought { namespace, key }.hash(state);
    }
}

// === impl Sought ===

impl Hash for Sought<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.namespace.hash(state);
        self.key.partition.hash(state);
        self.key.sort.hash(state);
    }
}

impl Equivalent<Place> for Sought<'_> {
    fn equivalent(&self, place: &Place) -> bool {
        self.namespace == place.namespace && *self.key == place.key
    }
}

// === impl Bytes ===

impl Weighter<Place, Arc<[u8]>> for Bytes {
    fn weight(&self, place: &Place, value: &Arc<[u8]>) -> u64 {
        let Key { partition, sort } = &place.key;
        // Capacity beyond the length is not used by keys that a driver makes.
        OVERHEAD + (partition.len() + sort.len() + value.len()) as u64
    }
}

#[cfg(test)]
mod tests;
