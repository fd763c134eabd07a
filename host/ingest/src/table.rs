//! Lists without duplicates: each distinct item of a request is stored once and known by its number.

use hashbrown::HashTable;

use super::{number, recycle};

/// Items by number, found by hash.
#[derive(Debug)]
pub(super) struct Table<T> {
    items: Vec<T>,
    numbers: HashTable<u32>,
}

// === impl Table ===

impl<T> Table<T> {
    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    #[inline]
    pub(super) fn get(&self, number: u32) -> Option<&T> {
        self.items.get(number as usize)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        self.items.get_mut(number as usize)
    }

    /// The number of the item with this hash for which `is_same` returns `true`.
    #[inline]
    pub(super) fn find(&self, hash: u64, is_same: impl Fn(&T) -> bool) -> Option<u32> {
        let is_same = |number: &u32| self.get(*number).is_some_and(&is_same);
        self.numbers.find(hash, is_same).copied()
    }

    /// Adds an item that is not in the table, and returns its number. `hash_of` computes the hash of any item again when the table
    /// grows.
    pub(super) fn insert(&mut self, hash: u64, item: T, hash_of: impl Fn(&T) -> u64) -> u32 {
        let new = number(self.items.len());
        self.items.push(item);
        let items = &self.items;
        self.numbers.insert_unique(hash, new, |number| {
            items.get(*number as usize).map_or(0, &hash_of)
        });
        new
    }

    /// An empty table with the buffers of this one. At most `max` elements of capacity are kept.
    pub(super) fn recycle<U>(mut self, max: usize) -> Table<U> {
        self.numbers.clear();
        self.numbers.shrink_to(max, |_| 0);
        Table {
            items: recycle(self.items, max),
            numbers: self.numbers,
        }
    }
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self {
            items: Vec::new(),
            numbers: HashTable::new(),
        }
    }
}
