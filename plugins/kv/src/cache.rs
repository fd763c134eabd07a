//! A bounded cache of immutable values.
//!
//! It has two maps. Values that are read move to the young map. When that is full it becomes the old map, and the previous old map
//! is dropped. This keeps recently used values without an ordered list.

#![expect(
    clippy::disallowed_types,
    reason = "the keys are numbers that the plugin makes"
)]

use std::cell::OnceCell;
use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasherDefault, Hasher};
use std::rc::Rc;

use crate::codec::Damaged;
use crate::frame::{Area, Kind};
use crate::table::Layout;

/// Identifies a value: the writer's number, the partition's number, the kind and the value's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct CacheKey {
    pub(crate) writer: u16,
    pub(crate) area: u64,
    pub(crate) kind: Kind,
    pub(crate) number: u64,
}

/// A stored value with its frame. Its checksum has been verified.
#[derive(Clone, Debug)]
pub(crate) struct Value(Rc<Inner>);

#[derive(Debug)]
struct Inner {
    bytes: Vec<u8>,
    /// The parsed layout of a table, kept because a table is read fragment by fragment.
    layout: OnceCell<Rc<Layout>>,
}

type Map = HashMap<CacheKey, Value, BuildHasherDefault<Mixer>>;

/// Values by key.
#[derive(Debug)]
pub(crate) struct Cache {
    young: Map,
    old: Map,
    young_bytes: usize,
    /// The most bytes of either map.
    half: usize,
}

/// A hasher without a random seed: keys consist of numbers that this plugin generates, so clients cannot choose colliding ones.
#[derive(Debug, Default)]
pub(crate) struct Mixer(u64);

/// Estimated overhead of an entry besides its bytes.
const ENTRY: usize = 96;

// === impl CacheKey ===

impl CacheKey {
    /// Makes the key of a value of the writer with this number.
    pub(crate) fn new(writer: u16, (area, kind, number): (Area, Kind, u64)) -> Self {
        Self {
            writer,
            area: area.number(),
            kind,
            number,
        }
    }
}

// === impl Cache ===

impl Cache {
    /// Creates a cache of at most `bytes` bytes.
    pub(crate) fn new(bytes: usize) -> Self {
        Self {
            young: Map::default(),
            old: Map::default(),
            young_bytes: 0,
            half: bytes / 2,
        }
    }

    /// Returns the value if it is cached.
    pub(crate) fn get(&mut self, key: &CacheKey) -> Option<Value> {
        if let Some(value) = self.young.get(key) {
            return Some(value.clone());
        }
        let value = self.old.remove(key)?;
        self.insert(*key, value.clone());
        Some(value)
    }

    /// Returns the value if it is cached, and does not count that as use.
    pub(crate) fn peek(&self, key: &CacheKey) -> Option<Value> {
        let value = self.young.get(key).or_else(|| self.old.get(key));
        value.cloned()
    }

    /// Returns the most bytes that it holds.
    pub(crate) fn bytes(&self) -> usize {
        2 * self.half
    }

    /// Caches a value, unless it is larger than a map.
    pub(crate) fn insert(&mut self, key: CacheKey, value: Value) {
        let bytes = value.weight();
        if bytes > self.half {
            return;
        }
        if self.young_bytes + bytes > self.half {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        self.young_bytes += bytes;
        if let Some(before) = self.young.insert(key, value) {
            self.young_bytes -= before.weight();
        }
    }

    /// Evicts a value.
    pub(crate) fn remove(&mut self, key: &CacheKey) {
        self.old.remove(key);
        if let Some(value) = self.young.remove(key) {
            self.young_bytes -= value.weight();
        }
    }

    /// Evicts the values of a writer's removed partitions.
    pub(crate) fn forget(&mut self, writer: u16, areas: &BTreeSet<u64>) {
        let of_area = |key: &CacheKey| key.writer == writer && areas.contains(&key.area);
        self.old.retain(|key, _| !of_area(key));
        let mut freed = 0;
        self.young.retain(|key, value| {
            let goes = of_area(key);
            if goes {
                freed += value.weight();
            }
            !goes
        });
        self.young_bytes -= freed;
    }

    #[cfg(test)]
    pub(crate) fn areas(&self) -> impl Iterator<Item = u64> {
        self.young.keys().chain(self.old.keys()).map(|it| it.area)
    }
}

// === impl Value ===

impl Value {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self(Rc::new(Inner {
            bytes,
            layout: OnceCell::new(),
        }))
    }

    /// Returns the whole value, with its frame.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0.bytes
    }

    /// Returns the layout of this table; `parse` runs only the first time.
    pub(crate) fn layout(
        &self,
        parse: impl FnOnce() -> Result<Layout, Damaged>,
    ) -> Result<Rc<Layout>, Damaged> {
        if let Some(layout) = self.0.layout.get() {
            return Ok(Rc::clone(layout));
        }
        let layout = Rc::new(parse()?);
        Ok(Rc::clone(self.0.layout.get_or_init(|| layout)))
    }

    /// Estimates the memory that the value takes. A table's layout is at most a sixteenth of it.
    fn weight(&self) -> usize {
        let bytes = self.0.bytes.capacity();
        bytes + bytes / 16 + ENTRY
    }
}

// === impl Mixer ===

impl Hasher for Mixer {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u16(&mut self, number: u16) {
        self.write_u64(u64::from(number));
    }

    fn write_u64(&mut self, number: u64) {
        let mixed = (self.0 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ (mixed >> 32);
    }

    fn write_isize(&mut self, number: isize) {
        self.write_u64(number.cast_unsigned() as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u64) -> CacheKey {
        CacheKey {
            writer: 1,
            area: number / 10,
            kind: Kind::Terms,
            number,
        }
    }

    fn value() -> Value {
        Value::new(vec![0; 1000])
    }

    #[test]
    fn used_values_stay_and_others_are_evicted() {
        let mut cache = Cache::new(20 << 10);
        for number in 0..100 {
            cache.insert(key(number), value());
            assert!(cache.get(&key(0)).is_some());
            assert!(cache.young.len() + cache.old.len() <= 20);
        }
        assert!(cache.get(&key(50)).is_none());
        assert!(cache.peek(&key(50)).is_none() && cache.peek(&key(98)).is_some());
        assert!(cache.get(&key(99)).is_some());
        cache.forget(1, &BTreeSet::from([9]));
        assert!(cache.get(&key(99)).is_none());
        assert!(cache.get(&key(0)).is_some());
    }

    #[test]
    fn a_value_that_is_too_large_is_not_kept() {
        let mut cache = Cache::new(1500);
        cache.insert(key(1), value());
        assert!(cache.get(&key(1)).is_none());
    }
}
