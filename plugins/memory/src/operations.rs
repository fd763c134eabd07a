//! The operations of what is stored, each kept as long as a fragment refers to it.

#![expect(
    clippy::indexing_slicing,
    reason = "slots are found by the numbers that this module gave out"
)]

use std::collections::BTreeMap;

use larder_plugin::Operation;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::limits::heap;
use crate::table::Table;

/// Operations by number, with their references counted.
#[derive(Debug)]
pub(crate) struct Operations {
    seed: u64,
    slots: Vec<Slot>,
    free: Vec<u32>,
    table: Table,
    /// How many operations each service has.
    services: BTreeMap<String, u32>,
    text_bytes: usize,
}

#[derive(Debug)]
struct Slot {
    operation: Operation,
    references: u32,
}

/// What an entry of a B-tree takes up at the most, beside its key's text.
const TREE_ENTRY: usize = 64;

// === impl Operations ===

impl Operations {
    /// None. The seed keeps clients from choosing names that collide.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            seed,
            slots: Vec::new(),
            free: Vec::new(),
            table: Table::default(),
            services: BTreeMap::new(),
            text_bytes: 0,
        }
    }

    /// Bytes of memory taken up. Texts count twice, as they are copied when they are asked for.
    pub(crate) fn bytes(&self) -> usize {
        heap(self.slots.capacity() * size_of::<Slot>())
            + heap(self.free.capacity() * size_of::<u32>())
            + self.table.bytes()
            + self.text_bytes
    }

    /// Bytes that [`Operations::acquire`] of all of these may take beside those that are taken up now.
    pub(crate) fn growth<'a>(&self, more: impl Iterator<Item = &'a Operation>) -> usize {
        let mut count = 0;
        let mut texts = 0;
        for operation in more {
            count += 1;
            texts += text_bytes(operation) + service_bytes(&operation.service);
        }
        let slots = if count > self.free.len() + self.slots.capacity() - self.slots.len() {
            let slot = size_of::<Slot>() + size_of::<u32>();
            heap(2 * (self.slots.capacity() + count) * slot)
        } else {
            0
        };
        slots + texts + self.table.growth(count)
    }

    /// The number of an operation, which is taken up if it is new. Each call is one reference.
    pub(crate) fn acquire(&mut self, operation: &Operation) -> u32 {
        let hash = hash(self.seed, operation);
        let slots = &self.slots;
        let known = self
            .table
            .find(hash, |number| slots[index(number)].operation == *operation);
        if let Some(number) = known {
            self.slots[index(number)].references += 1;
            return low(number);
        }
        let slot = Slot {
            operation: operation.clone(),
            references: 1,
        };
        self.text_bytes += text_bytes(operation);
        let number = if let Some(number) = self.free.pop() {
            self.slots[number as usize] = slot;
            number
        } else {
            self.slots.push(slot);
            // So that giving numbers back needs no memory.
            self.free.reserve(self.slots.capacity() - self.free.len());
            low(self.slots.len() as u64 - 1)
        };
        let (seed, slots) = (self.seed, &self.slots);
        self.table.insert(hash, number.into(), |number| {
            self::hash(seed, &slots[index(number)].operation)
        });
        if let Some(count) = self.services.get_mut(&operation.service) {
            *count += 1;
        } else {
            self.text_bytes += service_bytes(&operation.service);
            self.services.insert(operation.service.clone(), 1);
        }
        number
    }

    /// One more reference to an operation that has one.
    pub(crate) fn refer(&mut self, number: u32) {
        self.slots[number as usize].references += 1;
    }

    /// Gives one reference up; with the last one the operation goes.
    pub(crate) fn release(&mut self, number: u32) {
        let slot = &mut self.slots[number as usize];
        slot.references -= 1;
        if slot.references > 0 {
            return;
        }
        let (seed, slots) = (self.seed, &self.slots);
        let hash_of = |number| hash(seed, &slots[index(number)].operation);
        let this = u64::from(number);
        self.table.remove(hash_of(this), |it| it == this, hash_of);
        let gone = std::mem::replace(
            &mut self.slots[number as usize].operation,
            Operation {
                service: String::new(),
                name: String::new(),
                kind: larder_plugin::SpanKind::Unspecified,
            },
        );
        self.free.push(number);
        self.text_bytes -= text_bytes(&gone);
        if let Some(count) = self.services.get_mut(&gone.service) {
            *count -= 1;
            if *count == 0 {
                self.services.remove(&gone.service);
                self.text_bytes -= service_bytes(&gone.service);
            }
        }
    }

    /// All services, sorted.
    pub(crate) fn services(&self) -> Vec<String> {
        self.services.keys().cloned().collect()
    }

    /// The operations of one service.
    pub(crate) fn of_service(&self, service: &str) -> Vec<Operation> {
        if !self.services.contains_key(service) {
            return Vec::new();
        }
        self.slots
            .iter()
            .filter(|slot| slot.references > 0 && slot.operation.service == service)
            .map(|slot| slot.operation.clone())
            .collect()
    }
}

fn hash(seed: u64, operation: &Operation) -> u64 {
    let kind = seed ^ operation.kind as u64;
    let service = xxh3_64_with_seed(operation.service.as_bytes(), kind);
    xxh3_64_with_seed(operation.name.as_bytes(), service)
}

fn text_bytes(operation: &Operation) -> usize {
    let texts = heap(operation.service.len()) + heap(operation.name.len());
    2 * texts + size_of::<Operation>()
}

fn service_bytes(service: &str) -> usize {
    2 * heap(service.len()) + TREE_ENTRY
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "numbers of slots, of which memory holds fewer than 2^32"
)]
fn index(number: u64) -> usize {
    number as usize
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "numbers of slots, of which memory holds fewer than 2^32"
)]
fn low(number: u64) -> u32 {
    number as u32
}
