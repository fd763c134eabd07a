//! Services, span names and operations of one request, each known by a number, so that what repeats is compared once a span and
//! written once a fragment or a batch.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};
use larder_model::digest::Encoder;
use larder_model::storage::{BatchBuilder, SpanKind, Term};
use larder_model::terms;

use super::{number, recycle};

/// The operations of a request.
#[derive(Debug, Default)]
pub(super) struct Operations<'a> {
    texts: Vec<Text<'a>>,
    text_numbers: HashTable<u32>,
    known: Vec<Operation<'a>>,
    numbers: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

/// A service, a span name and a kind.
#[derive(Debug)]
pub(super) struct Operation<'a> {
    /// The number of the service's text.
    pub(super) service: u32,
    /// The number of the name's text.
    pub(super) name: u32,
    pub(super) kind: SpanKind,
    pub(super) terms: [Term; 2],
    name_bytes: &'a [u8],
    /// The last fragment that has its terms.
    pub(super) fragment: u32,
    /// The last batch that lists it, and its place there.
    batch: u32,
    place: u32,
}

/// The name of a service, of spans, or of both.
#[derive(Debug)]
struct Text<'a> {
    string: &'a str,
    /// The last fragment whose digest has it, and its number there.
    fragment: u32,
    in_digest: u32,
    /// The last batch that lists it as a service, and its place there.
    batch: u32,
    in_batch: u32,
}

// === impl Operations ===

impl<'a> Operations<'a> {
    /// The number of a text.
    pub(super) fn text(&mut self, text: &'a str) -> u32 {
        let (texts, hasher) = (&mut self.texts, &self.hasher);
        let hash = hasher.hash_one(text);
        let is_it = |number: &u32| {
            let known = texts.get(*number as usize);
            known.is_some_and(|known| known.string == text)
        };
        if let Some(number) = self.text_numbers.find(hash, is_it) {
            return *number;
        }
        let number = number(texts.len());
        texts.push(Text {
            string: text,
            fragment: 0,
            in_digest: 0,
            batch: 0,
            in_batch: 0,
        });
        self.text_numbers.insert_unique(hash, number, |number| {
            let known = texts.get(*number as usize);
            known.map_or(0, |known| hasher.hash_one(known.string))
        });
        number
    }

    /// The number of an operation of the service with this text; none if the name is not UTF-8.
    pub(super) fn operation(
        &mut self,
        service: u32,
        name: &'a [u8],
        kind: SpanKind,
    ) -> Option<u32> {
        let hash = self.hasher.hash_one((service, kind, name));
        let is_it = |number: &u32| {
            self.known.get(*number as usize).is_some_and(|known| {
                known.service == service && known.kind == kind && known.name_bytes == name
            })
        };
        if let Some(number) = self.numbers.find(hash, is_it) {
            return Some(*number);
        }
        let text = str::from_utf8(name).ok()?;
        let number = number(self.known.len());
        let terms = [
            terms::span_name(name),
            terms::service_and_span_name(self.text_of(service).as_bytes(), name),
        ];
        let operation = Operation {
            service,
            name: self.text(text),
            kind,
            terms,
            name_bytes: name,
            fragment: 0,
            batch: 0,
            place: 0,
        };
        self.known.push(operation);
        let (operations, hasher) = (&self.known, &self.hasher);
        self.numbers.insert_unique(hash, number, |number| {
            let known = operations.get(*number as usize);
            known.map_or(0, |known| {
                hasher.hash_one((known.service, known.kind, known.name_bytes))
            })
        });
        Some(number)
    }

    /// The operation with this number.
    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut Operation<'a>> {
        self.known.get_mut(number as usize)
    }

    /// The number that a text has in the digest of a fragment.
    pub(super) fn in_digest(&mut self, text: u32, fragment: u32, digest: &mut Encoder) -> u32 {
        let Some(text) = self.texts.get_mut(text as usize) else {
            return 0;
        };
        if text.fragment != fragment {
            text.fragment = fragment;
            text.in_digest = digest.string(text.string);
        }
        text.in_digest
    }

    /// The place of an operation in a batch; none for one without a service.
    pub(super) fn in_batch(
        &mut self,
        number: u32,
        batch: u32,
        builder: &mut BatchBuilder,
    ) -> Option<u32> {
        let operation = self.known.get_mut(number as usize)?;
        if operation.batch == batch {
            return Some(operation.place);
        }
        let name = self.texts.get(operation.name as usize)?.string;
        let service = self.texts.get_mut(operation.service as usize)?;
        if service.string.is_empty() {
            return None;
        }
        if service.batch != batch {
            service.batch = batch;
            service.in_batch = builder.push_service(service.string);
        }
        operation.batch = batch;
        operation.place = builder.push_operation(service.in_batch, name, operation.kind);
        Some(operation.place)
    }

    /// Forgets everything, and gives its buffers to the operations of another request.
    pub(super) fn recycle<'b>(mut self, most: usize) -> Operations<'b> {
        for numbers in [&mut self.text_numbers, &mut self.numbers] {
            numbers.clear();
            numbers.shrink_to(most, |_| 0);
        }
        Operations {
            texts: recycle(self.texts, most),
            text_numbers: self.text_numbers,
            known: recycle(self.known, most),
            numbers: self.numbers,
            hasher: self.hasher,
        }
    }

    fn text_of(&self, number: u32) -> &'a str {
        let text = self.texts.get(number as usize);
        text.map_or("", |text| text.string)
    }
}
