//! Services, span names and operations of one request, each known by a number: a name is compared once per span, and written once per
//! fragment or batch.

use std::hash::BuildHasher;

use hashbrown::DefaultHashBuilder;
use larder_model::digest::Encoder;
use larder_model::storage::{BatchBuilder, SpanKind, Term};
use larder_model::terms;

use super::table::Table;

/// The operations of a request.
#[derive(Debug, Default)]
pub(super) struct Operations<'a> {
    names: Table<Name<'a>>,
    table: Table<Operation<'a>>,
    hasher: DefaultHashBuilder,
}

/// A service, a span name and a kind.
#[derive(Debug)]
pub(super) struct Operation<'a> {
    /// Number of the service's name.
    pub(super) service: u32,
    /// Number of the span name.
    pub(super) name: u32,
    pub(super) kind: SpanKind,
    pub(super) terms: [Term; 2],
    /// False if its name is not listed though there is a dictionary.
    pub(super) is_listed: bool,
    name_bytes: &'a [u8],
    /// The last fragment that its terms were added to.
    pub(super) fragment: u32,
    /// The last batch that lists it, and its index there.
    batch: u32,
    in_batch: u32,
}

/// The name of a service, of spans, or of both.
#[derive(Debug)]
struct Name<'a> {
    text: &'a str,
    /// The last fragment whose digest has it, and its number there.
    fragment: u32,
    in_digest: u32,
    /// The last batch that lists it as a service, and its index there.
    batch: u32,
    in_batch: u32,
}

// === impl Operations ===

impl<'a> Operations<'a> {
    /// The number of a name.
    pub(super) fn name(&mut self, text: &'a str) -> u32 {
        let hasher = &self.hasher;
        let hash = hasher.hash_one(text);
        if let Some(number) = self.names.find(hash, |name| name.text == text) {
            return number;
        }
        let name = Name {
            text,
            fragment: 0,
            in_digest: 0,
            batch: 0,
            in_batch: 0,
        };
        self.names
            .insert(hash, name, |name| hasher.hash_one(name.text))
    }

    /// The number of an operation. `service` is the number of the service's name; `list` tells whether the span name of a new operation is
    /// listed. Returns `None` if the span name is not UTF-8.
    pub(super) fn operation(
        &mut self,
        service: u32,
        name: &'a [u8],
        kind: SpanKind,
        list: impl FnOnce(&[u8]) -> bool,
    ) -> Option<u32> {
        let hash = self.hasher.hash_one((service, kind, name));
        let is_same = |known: &Operation<'_>| {
            known.service == service && known.kind == kind && known.name_bytes == name
        };
        if let Some(number) = self.table.find(hash, is_same) {
            return Some(number);
        }
        let text = str::from_utf8(name).ok()?;
        let service_text = self.names.get(service).map_or("", |name| name.text);
        let terms = [
            terms::span_name(name),
            terms::service_and_span_name(service_text.as_bytes(), name),
        ];
        let operation = Operation {
            service,
            name: self.name(text),
            kind,
            terms,
            is_listed: list(name),
            name_bytes: name,
            fragment: 0,
            batch: 0,
            in_batch: 0,
        };
        let hasher = &self.hasher;
        let number = self.table.insert(hash, operation, |known| {
            hasher.hash_one((known.service, known.kind, known.name_bytes))
        });
        Some(number)
    }

    /// The operation with this number.
    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut Operation<'a>> {
        self.table.get_mut(number)
    }

    /// The number that a name has in the digest of a fragment. Adds the name to the digest if it is not there yet.
    pub(super) fn in_digest(&mut self, name: u32, fragment: u32, digest: &mut Encoder) -> u32 {
        let Some(name) = self.names.get_mut(name) else {
            return 0;
        };
        if name.fragment != fragment {
            name.fragment = fragment;
            name.in_digest = digest.string(name.text);
        }
        name.in_digest
    }

    /// The index of an operation in a batch. Adds the operation to the batch if it is not there yet. Returns `None` for an operation
    /// without a service, and for one whose names take more than `max_bytes`.
    pub(super) fn in_batch(
        &mut self,
        number: u32,
        batch: u32,
        max_bytes: usize,
        builder: &mut BatchBuilder,
    ) -> Option<u32> {
        let operation = self.table.get_mut(number)?;
        if operation.batch == batch {
            return Some(operation.in_batch);
        }
        let name = self.names.get(operation.name)?.text;
        let service = self.names.get_mut(operation.service)?;
        if service.text.is_empty() || service.text.len() + name.len() > max_bytes {
            return None;
        }
        if service.batch != batch {
            service.batch = batch;
            service.in_batch = builder.push_service(service.text);
        }
        operation.batch = batch;
        operation.in_batch = builder.push_operation(service.in_batch, name, operation.kind);
        Some(operation.in_batch)
    }

    /// Empty operations for another request, with the buffers of these.
    pub(super) fn recycle<'b>(self, max: usize) -> Operations<'b> {
        Operations {
            names: self.names.recycle(max),
            table: self.table.recycle(max),
            hasher: self.hasher,
        }
    }
}
