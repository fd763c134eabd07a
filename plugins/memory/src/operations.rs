//! Reference-counted operations, each kept while a fragment refers to it.

#![expect(
    clippy::indexing_slicing,
    reason = "slots are found by the numbers that this module gave out"
)]

use std::cmp::Reverse;
use std::collections::BTreeMap;

use larder_plugin::{Batch, BatchOperation, Operation, SpanKind};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::limits::heap;
use crate::table::Table;

/// Operations by number, with reference counts.
#[derive(Debug)]
pub(crate) struct Operations {
    seed: u64,
    slots: Vec<Slot>,
    free: Vec<u32>,
    table: Table,
    /// The head of the linked list of each service's operations.
    services: BTreeMap<String, u32>,
    text_bytes: usize,
    /// The number of calls of [`Operations::acquire`].
    acquired: u64,
}

#[derive(Debug)]
struct Slot {
    /// The service followed by the name; they are compared together.
    text: Box<str>,
    service_len: u32,
    kind: SpanKind,
    references: u32,
    /// The number of the call that last acquired it: the greater, the more recently it was written.
    written: u64,
    /// The previous and next operation of its service; `NONE` at the ends.
    before: u32,
    after: u32,
}

/// An operation of a batch, and its hash.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HashedOperation<'a> {
    operation: BatchOperation<'a>,
    hash: u64,
}

/// The absence of a slot.
const NONE: u32 = u32::MAX;

/// The most memory of an entry of a B-tree, besides its key's text.
const TREE_ENTRY: usize = 64;

// === impl Operations ===

impl Operations {
    /// Creates an empty set. The seed keeps clients from choosing names that collide.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            seed,
            slots: Vec::new(),
            free: Vec::new(),
            table: Table::default(),
            services: BTreeMap::new(),
            text_bytes: 0,
            acquired: 0,
        }
    }

    /// Returns the memory in use, bytes. Texts count twice, because a request for them copies them.
    pub(crate) fn bytes(&self) -> usize {
        heap(self.slots.capacity() * size_of::<Slot>())
            + heap(self.free.capacity() * size_of::<u32>())
            + self.table.bytes()
            + self.text_bytes
    }

    /// Hashes the operations of a batch, for [`Operations::acquire`].
    pub(crate) fn hashed<'a>(&self, batch: &'a Batch) -> impl Iterator<Item = HashedOperation<'a>> {
        let services = batch.services.iter();
        let services: Vec<u64> = services.map(|it| hash_service(self.seed, it)).collect();
        batch.operations().map(move |operation| {
            let service = services.get(operation.service_index as usize);
            let service = service.copied().unwrap_or_default();
            HashedOperation {
                operation,
                hash: hash(service, operation.name, operation.kind),
            }
        })
    }

    /// Returns the memory that [`Operations::acquire`] of all of these may take in addition, bytes.
    pub(crate) fn growth<'a>(&self, more: impl Iterator<Item = &'a HashedOperation<'a>>) -> usize {
        let mut count = 0;
        let mut texts = 0;
        for HashedOperation { operation, .. } in more {
            count += 1;
            texts += text_bytes(operation.service.len() + operation.name.len());
            texts += service_bytes(operation.service);
        }
        let slots = if count > self.free.len() + self.slots.capacity() - self.slots.len() {
            let slot = size_of::<Slot>() + size_of::<u32>();
            heap(2 * (self.slots.capacity() + count) * slot)
        } else {
            0
        };
        slots + texts + self.table.growth(count)
    }

    /// Returns the number of an operation, which is added if it is new. Each call adds one reference.
    pub(crate) fn acquire(&mut self, hashed: &HashedOperation<'_>) -> u32 {
        let HashedOperation { operation, hash } = hashed;
        self.acquired += 1;
        let slots = &self.slots;
        let known = self
            .table
            .find(*hash, |number| slots[index(number)].is(operation));
        if let Some(number) = known {
            let slot = &mut self.slots[index(number)];
            slot.references += 1;
            slot.written = self.acquired;
            return low(number);
        }
        let slot = Slot::new(operation, self.acquired);
        self.text_bytes += text_bytes(operation.service.len() + operation.name.len());
        let number = if let Some(number) = self.free.pop() {
            self.slots[number as usize] = slot;
            number
        } else {
            self.slots.push(slot);
            // So that `release` never allocates.
            self.free.reserve(self.slots.capacity() - self.free.len());
            low(self.slots.len() as u64 - 1)
        };
        let (seed, slots) = (self.seed, &self.slots);
        self.table.insert(*hash, number.into(), |number| {
            slots[index(number)].hash(seed)
        });
        self.link(number, operation.service);
        number
    }

    /// Adds a reference to a known operation.
    pub(crate) fn refer(&mut self, number: u32) {
        self.slots[number as usize].references += 1;
    }

    /// Drops one reference; the operation is removed with its last one.
    pub(crate) fn release(&mut self, number: u32) {
        let slot = &mut self.slots[number as usize];
        slot.references -= 1;
        if slot.references > 0 {
            return;
        }
        let (seed, slots) = (self.seed, &self.slots);
        let hash_of = |number| slots[index(number)].hash(seed);
        let this = u64::from(number);
        self.table.remove(hash_of(this), |it| it == this, hash_of);
        self.unlink(number);
        let text = std::mem::take(&mut self.slots[number as usize].text);
        self.free.push(number);
        self.text_bytes -= text_bytes(text.len());
    }

    /// Inserts a slot at the head of its service's list.
    fn link(&mut self, number: u32, service: &str) {
        let Some(first) = self.services.get_mut(service) else {
            self.text_bytes += service_bytes(service);
            self.services.insert(service.to_owned(), number);
            return;
        };
        let after = std::mem::replace(first, number);
        self.slots[number as usize].after = after;
        self.slots[after as usize].before = number;
    }

    /// Removes a slot from its service's list, and the service with its last slot.
    fn unlink(&mut self, number: u32) {
        let Slot { before, after, .. } = self.slots[number as usize];
        if after != NONE {
            self.slots[after as usize].before = before;
        }
        if before != NONE {
            self.slots[before as usize].after = after;
            return;
        }
        let (service, _) = self.slots[number as usize].texts();
        if after == NONE {
            self.text_bytes -= service_bytes(service);
            self.services.remove(service);
        } else if let Some(first) = self.services.get_mut(service) {
            *first = after;
        }
    }

    /// Returns all services, the most recently written first.
    pub(crate) fn services(&self) -> Vec<String> {
        let newest = |first: u32| self.list(Some(first)).map(|it| it.written).max();
        let services = self.services.iter();
        let mut services: Vec<_> = services.map(|(name, it)| (newest(*it), name)).collect();
        services.sort_unstable_by(|one, other| other.cmp(one));
        services.into_iter().map(|(_, name)| name.clone()).collect()
    }

    /// Returns the operations of one service, the most recently written first.
    pub(crate) fn of_service(&self, service: &str) -> Vec<Operation> {
        let mut slots: Vec<&Slot> = self.list(self.services.get(service).copied()).collect();
        slots.sort_unstable_by_key(|it| Reverse(it.written));
        let operations = slots.into_iter().map(|it| Operation {
            service: service.to_owned(),
            name: it.texts().1.to_owned(),
            kind: it.kind,
        });
        operations.collect()
    }

    /// Iterates over a service's list from a slot on.
    fn list(&self, first: Option<u32>) -> impl Iterator<Item = &Slot> {
        let slot = |number: u32| self.slots.get(number as usize);
        std::iter::successors(first.and_then(slot), move |it| slot(it.after))
    }
}

// === impl Slot ===

impl Slot {
    /// Creates a slot with one reference.
    fn new(operation: &BatchOperation<'_>, written: u64) -> Self {
        let text = [operation.service, operation.name].concat();
        Self {
            text: text.into_boxed_str(),
            service_len: low(operation.service.len() as u64),
            kind: operation.kind,
            references: 1,
            written,
            before: NONE,
            after: NONE,
        }
    }

    /// Returns the service and the name.
    fn texts(&self) -> (&str, &str) {
        self.text.split_at(self.service_len as usize)
    }

    fn is(&self, operation: &BatchOperation<'_>) -> bool {
        let (service, name) = self.text.as_bytes().split_at(self.service_len as usize);
        self.kind == operation.kind
            && same(service, operation.service.as_bytes())
            && same(name, operation.name.as_bytes())
    }

    fn hash(&self, seed: u64) -> u64 {
        let (service, name) = self.texts();
        hash(hash_service(seed, service), name, self.kind)
    }
}

fn hash_service(seed: u64, service: &str) -> u64 {
    xxh3_64_with_seed(service.as_bytes(), seed)
}

fn hash(service: u64, name: &str, kind: SpanKind) -> u64 {
    xxh3_64_with_seed(name.as_bytes(), service ^ kind as u64)
}

/// Compares two texts word by word; wasm's `memcmp` compares byte by byte.
fn same(a: &[u8], b: &[u8]) -> bool {
    let (a_words, a_rest) = a.as_chunks::<8>();
    let (b_words, b_rest) = b.as_chunks::<8>();
    a.len() == b.len()
        && a_words
            .iter()
            .zip(b_words)
            .all(|(a, b)| u64::from_ne_bytes(*a) == u64::from_ne_bytes(*b))
        && a_rest.iter().zip(b_rest).all(|(a, b)| a == b)
}

/// Returns the memory of an operation with a text of this length: once here, and once in an answer as two texts.
fn text_bytes(len: usize) -> usize {
    let answer = heap(len) + heap(1) + size_of::<Operation>() + size_of::<&Slot>();
    heap(len) + answer
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
