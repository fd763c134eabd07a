//! Encoding of services and operations. The first write of an operation to a bucket stores it, so it is dropped with the bucket.

#![expect(
    clippy::disallowed_types,
    reason = "the keys are fingerprints with a random seed of the instance"
)]

use std::collections::HashSet;
use std::hash::BuildHasherDefault;

use larder_plugin::{BatchOperation, SpanKind};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::cache::Mixer;
use crate::codec::{Damaged, Input, put_bytes};

/// Fingerprints of the operations that a bucket has.
#[derive(Debug)]
pub(crate) struct SeenOperations {
    seed: u64,
    fingerprints: HashSet<u64, BuildHasherDefault<Mixer>>,
    /// Fingerprints of the services of the current batch.
    services: Vec<u64>,
}

/// Further ones are not remembered; storing an operation again only costs space.
const MOST_SEEN: usize = 1 << 18;

/// Appends one operation.
pub(crate) fn encode(operation: &BatchOperation<'_>, out: &mut Vec<u8>) {
    put_bytes(out, operation.service.as_bytes());
    put_bytes(out, operation.name.as_bytes());
    out.push(number_of(operation.kind));
}

/// Decodes all operations that [`encode`] wrote, as service, name and kind.
pub(crate) fn decode(
    bytes: &[u8],
) -> impl Iterator<Item = Result<(&str, &str, SpanKind), Damaged>> {
    let mut input = Input::new(bytes);
    std::iter::from_fn(move || {
        if input.is_empty() {
            return None;
        }
        let decoded = one(&mut input);
        if decoded.is_err() {
            input = Input::new(&[]);
        }
        Some(decoded)
    })
}

fn one<'a>(input: &mut Input<'a>) -> Result<(&'a str, &'a str, SpanKind), Damaged> {
    let mut text = || std::str::from_utf8(input.prefixed()?).map_err(|_| Damaged);
    let (service, name) = (text()?, text()?);
    Ok((service, name, kind_of(input.byte()?)?))
}

/// Splits bytes that [`encode`] wrote into single encoded operations.
pub(crate) fn encoded(bytes: &[u8]) -> impl Iterator<Item = Result<&[u8], Damaged>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let mut input = Input::new(rest);
        let read = one(&mut input);
        let (first, others) = rest.split_at(rest.len() - input.len());
        rest = if read.is_ok() { others } else { &[] };
        Some(read.map(|_| first))
    })
}

fn number_of(kind: SpanKind) -> u8 {
    match kind {
        SpanKind::Unspecified => 0,
        SpanKind::Internal => 1,
        SpanKind::Server => 2,
        SpanKind::Client => 3,
        SpanKind::Producer => 4,
        SpanKind::Consumer => 5,
    }
}

fn kind_of(number: u8) -> Result<SpanKind, Damaged> {
    Ok(match number {
        0 => SpanKind::Unspecified,
        1 => SpanKind::Internal,
        2 => SpanKind::Server,
        3 => SpanKind::Client,
        4 => SpanKind::Producer,
        5 => SpanKind::Consumer,
        _ => return Err(Damaged),
    })
}

// === impl SeenOperations ===

impl SeenOperations {
    /// Creates an empty set. The seed keeps clients from choosing names that collide.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            seed,
            fingerprints: HashSet::default(),
            services: Vec::new(),
        }
    }

    /// Clears the set: for a new bucket, or if it is unknown whether the operations were stored.
    pub(crate) fn clear(&mut self) {
        self.fingerprints.clear();
    }

    /// Starts with the operations of a batch, which has these services.
    pub(crate) fn begin(&mut self, services: &[String]) {
        let seed = self.seed;
        let services = services.iter();
        self.services.clear();
        self.services
            .extend(services.map(|it| xxh3_64_with_seed(it.as_bytes(), seed)));
    }

    /// Adds an operation of the batch, and returns true if it was not in the set.
    pub(crate) fn is_new(&mut self, operation: &BatchOperation<'_>) -> bool {
        let service = self.services.get(operation.service_index as usize);
        let seed = service.copied().unwrap_or(self.seed);
        let kind = u64::from(number_of(operation.kind));
        let fingerprint = xxh3_64_with_seed(operation.name.as_bytes(), seed ^ kind);
        if self.fingerprints.len() >= MOST_SEEN {
            self.fingerprints.clear();
        }
        self.fingerprints.insert(fingerprint)
    }
}
