//! A hash table of numbers whose keys are stored elsewhere.
//!
//! It has no tombstones, so it grows only when it holds more than ever before, and [`Table::growth`] can predict the memory that
//! insertions take. A store with a fixed budget needs that.

#![expect(
    clippy::indexing_slicing,
    reason = "slots are found by a mask of the number of slots"
)]

use crate::limits::heap;

/// Numbers below 2^48 in open addressing with linear probing. A slot holds the number plus one, so that 0 marks an empty slot, and above
/// it 16 bits of the hash, so that few other keys are compared.
#[derive(Debug, Default)]
pub(crate) struct Table {
    slots: Vec<u64>,
    len: usize,
}

const FIRST_SLOTS: usize = 64;
const NUMBER_BITS: u32 = 48;

// === impl Table ===

impl Table {
    /// Returns the memory in use, bytes.
    pub(crate) fn bytes(&self) -> usize {
        heap(self.slots.capacity() * size_of::<u64>())
    }

    /// Returns the memory that this many more insertions may take in addition, bytes.
    pub(crate) fn growth(&self, more: usize) -> usize {
        let mut slots = self.slots.len();
        while self.len + more > slots / 4 * 3 {
            slots = (slots * 2).max(FIRST_SLOTS);
        }
        if slots == self.slots.len() {
            return 0;
        }
        // While the table is copied, the old one exists beside the new one.
        heap(slots * size_of::<u64>()) + heap(slots / 2 * size_of::<u64>())
    }

    /// Returns the number with this hash that satisfies `is`.
    pub(crate) fn find(&self, hash: u64, is: impl Fn(u64) -> bool) -> Option<u64> {
        let slot = self.slot_of(hash, is)?;
        Some(number_of(self.slots[slot]))
    }

    /// Adds a number that is not there yet. `hash_of` gives the hash of any number in the table.
    pub(crate) fn insert(&mut self, hash: u64, number: u64, hash_of: impl Fn(u64) -> u64) {
        if self.is_full() {
            let grown = vec![0; self.grown()];
            for slot in std::mem::replace(&mut self.slots, grown) {
                if slot != 0 {
                    self.place(hash_of(number_of(slot)), slot);
                }
            }
        }
        self.place(hash, tag_of(hash) | (number + 1));
        self.len += 1;
    }

    /// Removes the number with this hash that satisfies `is`.
    pub(crate) fn remove(
        &mut self,
        hash: u64,
        is: impl Fn(u64) -> bool,
        hash_of: impl Fn(u64) -> u64,
    ) {
        let Some(mut hole) = self.slot_of(hash, is) else {
            return;
        };
        self.len -= 1;
        // Backward shift: later slots whose probe sequence covers the hole move into it.
        let mut slot = hole;
        loop {
            slot = (slot + 1) & self.mask();
            if self.slots[slot] == 0 {
                break;
            }
            let home = self.home(hash_of(number_of(self.slots[slot])));
            let from_home = slot.wrapping_sub(home) & self.mask();
            let from_hole = slot.wrapping_sub(hole) & self.mask();
            if from_home >= from_hole {
                self.slots[hole] = self.slots[slot];
                hole = slot;
            }
        }
        self.slots[hole] = 0;
    }

    fn is_full(&self) -> bool {
        self.len >= self.slots.len() / 4 * 3
    }

    fn grown(&self) -> usize {
        (self.slots.len() * 2).max(FIRST_SLOTS)
    }

    fn mask(&self) -> usize {
        self.slots.len() - 1
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "only the low bits of a hash are used"
    )]
    fn home(&self, hash: u64) -> usize {
        hash as usize & self.mask()
    }

    fn slot_of(&self, hash: u64, is: impl Fn(u64) -> bool) -> Option<usize> {
        if self.slots.is_empty() {
            return None;
        }
        let mut slot = self.home(hash);
        let tag = tag_of(hash);
        while self.slots[slot] != 0 {
            let same = (self.slots[slot] ^ tag) >> NUMBER_BITS == 0;
            if same && is(number_of(self.slots[slot])) {
                return Some(slot);
            }
            slot = (slot + 1) & self.mask();
        }
        None
    }

    fn place(&mut self, hash: u64, value: u64) {
        let mut slot = self.home(hash);
        while self.slots[slot] != 0 {
            slot = (slot + 1) & self.mask();
        }
        self.slots[slot] = value;
    }
}

fn tag_of(hash: u64) -> u64 {
    hash >> NUMBER_BITS << NUMBER_BITS
}

fn number_of(slot: u64) -> u64 {
    (slot & ((1 << NUMBER_BITS) - 1)) - 1
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// A bad hash, so that all numbers collide with their neighbours.
    fn hash_of(number: u64) -> u64 {
        (number / 3 * 7) | ((number / 5) << 60)
    }

    proptest! {
        #[test]
        fn it_equals_a_set_after_random_steps(steps in prop::collection::vec((any::<bool>(), 0..300_u64), 0..2000)) {
            let mut table = Table::default();
            let mut set = BTreeSet::new();
            for (insert, number) in steps {
                let growth = table.growth(1);
                let before = table.bytes();
                if !insert {
                    table.remove(hash_of(number), |it| it == number, hash_of);
                    set.remove(&number);
                } else if set.insert(number) {
                    table.insert(hash_of(number), number, hash_of);
                    prop_assert!(table.bytes() <= before + growth);
                }
                prop_assert_eq!(table.len, set.len());
            }
            for number in 0..300 {
                let found = table.find(hash_of(number), |it| it == number);
                prop_assert_eq!(found, set.get(&number).copied());
            }
        }
    }
}
