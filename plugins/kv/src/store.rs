//! Access to `kv`: values are verified as they are read, and written in calls of bounded size.

mod ahead;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::rc::Rc;

use larder_plugin::kv::{self, Object};
use larder_plugin::{Error, log};

use crate::cache::{Cache, CacheKey, Value};
use crate::codec::{Damaged, Input, put_varint};
use crate::frame::{self, AFTER, Area, BEFORE, Fault, Kind};
use ahead::Ahead;

pub(crate) use ahead::At;

/// Approximate bytes per call of `put`.
const PUT_BYTES: usize = 2 << 20;
/// The largest object of `kv`. A larger value is stored in pieces.
const MAX_OBJECT: usize = 5 << 20;
/// Size of a piece, bytes.
const PIECE: usize = 4 << 20;
/// The most pieces of a value: none is much larger than a call of `write`.
pub(crate) const MAX_PIECES: u64 = 64;

/// The identity of a writer in stored names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Writer {
    /// Its id, which is a part of its partitions' names.
    pub(crate) id: Rc<str>,
    /// Its number, which is a part of its fragments' handles.
    pub(crate) number: u16,
}

/// Cached reads of values.
#[derive(Debug)]
pub(crate) struct Store {
    /// Pages, tables and filters.
    cache: Cache,
    /// Blocks have their own cache, so that reading many spans does not evict the values that every search needs.
    blocks: Cache,
    ahead: Ahead,
    /// The number of values that were not cached when they were read.
    pub(crate) loads: usize,
}

/// The cache that keeps a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    /// The cache of what every search needs.
    ForSearches,
    /// The cache of blocks. What searches need stays cached as it is, and is read from there.
    WithBlocks,
}

/// Objects that are buffered for `put`.
#[derive(Debug, Default)]
pub(crate) struct Objects {
    objects: Vec<Object>,
    bytes: usize,
}

// === impl Store ===

impl Store {
    /// Creates a store with a cache of at most this many bytes.
    pub(crate) fn new(cache_bytes: usize) -> Self {
        Self {
            cache: Cache::new(cache_bytes / 4 * 3),
            blocks: Cache::new(cache_bytes / 4),
            ahead: Ahead::new(cache_bytes),
            loads: 0,
        }
    }

    /// Returns true if a pass over the whole store may keep this many bytes beside what searches need.
    pub(crate) fn has_room_for(&self, bytes: u64) -> bool {
        bytes <= self.cache.bytes() as u64 / 4
    }

    /// Reads an immutable value. Raises and logs `data-loss` if it is missing or damaged.
    pub(crate) fn read(
        &mut self,
        writer: &Writer,
        area: Area,
        kind: Kind,
        number: u64,
    ) -> Result<Value, Error> {
        let keep = match kind {
            Kind::Otlp | Kind::Digests => Keep::WithBlocks,
            _ => Keep::ForSearches,
        };
        self.read_to(keep, writer, (area, kind, number))
    }

    /// Like [`Store::read`], and keeps the value in this cache.
    pub(crate) fn read_to(&mut self, keep: Keep, writer: &Writer, at: At) -> Result<Value, Error> {
        let key = CacheKey::new(writer.number, at);
        let cached = match keep {
            Keep::ForSearches => self.cache.get(&key),
            Keep::WithBlocks => self.cache.peek(&key).or_else(|| self.blocks.get(&key)),
        };
        if let Some(value) = cached {
            return Ok(value);
        }
        let value = self.read_once(writer, at)?;
        if self.ahead.is_planning() {
            return Ok(value);
        }
        self.loads += 1;
        let cache = match keep {
            Keep::ForSearches => &mut self.cache,
            Keep::WithBlocks => &mut self.blocks,
        };
        cache.insert(key, value.clone());
        Ok(value)
    }

    /// Like [`Store::read`], for a value of which the caller keeps what it needs: it is in no cache.
    pub(crate) fn read_once(&mut self, writer: &Writer, at: At) -> Result<Value, Error> {
        if let Some(value) = self.ahead.get(&CacheKey::new(writer.number, at)) {
            return Ok(value);
        }
        if let Some(missed) = self.ahead.miss(writer, at) {
            return Err(missed);
        }
        let (area, kind, number) = at;
        Self::load(writer, area, kind, number)
    }

    /// Like [`Store::read`], but does not cache the value.
    pub(crate) fn load(
        writer: &Writer,
        area: Area,
        kind: Kind,
        number: u64,
    ) -> Result<Value, Error> {
        let mut value = load_object(&frame::key(&writer.id, area, kind, number))?;
        if value.first() == Some(&(Kind::Pieces as u8)) {
            let pieces = frame::open(Kind::Pieces, area, number, &value)
                .and_then(|payload| decode_pieces(payload).map_err(|Damaged| Fault::Damaged))
                .map_err(|fault| lost(writer, area, kind, number, fault))?;
            value = load_pieces(writer, area, kind, number, pieces)?;
        }
        check(writer, area, kind, number, value)
    }

    /// Evicts what was read from removed partitions.
    pub(crate) fn forget(&mut self, writer: &Writer, areas: &[Area]) {
        let numbers: BTreeSet<u64> = areas.iter().map(|it| it.number()).collect();
        self.cache.forget(writer.number, &numbers);
        self.blocks.forget(writer.number, &numbers);
        self.ahead.forget(writer.number, &numbers);
    }

    /// Returns the numbers of the partitions with cached values.
    #[cfg(test)]
    pub(crate) fn areas(&self) -> BTreeSet<u64> {
        self.cache.areas().chain(self.blocks.areas()).collect()
    }
}

/// Reads an object; empty if it is missing or damaged.
fn load_object(key: &kv::Key) -> Result<Vec<u8>, Error> {
    let got = match kv::get(std::slice::from_ref(key)) {
        // The host has logged the cause; the caller's error names the value like any other damaged one.
        Err(kv::Error::DataLoss(_)) => Vec::new(),
        got => got?,
    };
    Ok(got.into_iter().next().flatten().unwrap_or_default())
}

/// Reads and joins the pieces of a value, one in each call, so that no call of `get` carries all of it. A missing piece is empty.
pub(crate) fn load_pieces(
    writer: &Writer,
    area: Area,
    kind: Kind,
    number: u64,
    pieces: u64,
) -> Result<Vec<u8>, Error> {
    let mut value = Vec::new();
    for piece in 0..pieces {
        let mut next = load_object(&frame::piece_key(&writer.id, area, kind, number, piece))?;
        if piece == 0 {
            let all = usize::try_from(pieces.min(MAX_PIECES)).unwrap_or_default();
            value.reserve_exact(next.len().saturating_mul(all));
        }
        value.append(&mut next);
    }
    Ok(value)
}

/// Puts the pieces of a value, one in each call. Returns their number.
pub(crate) fn put_pieces(
    writer: &str,
    (area, kind, number): (Area, Kind, u64),
    value: &[u8],
) -> Result<u64, Error> {
    let mut count = 0;
    for piece in value.chunks(PIECE) {
        kv::put(&[Object {
            key: frame::piece_key(writer, area, kind, number, count),
            value: piece.to_vec(),
        }])?;
        count += 1;
    }
    Ok(count)
}

fn decode_pieces(payload: &[u8]) -> Result<u64, Damaged> {
    let mut input = Input::new(payload);
    let pieces = input.varint()?;
    if pieces > MAX_PIECES || !input.is_empty() {
        return Err(Damaged);
    }
    Ok(pieces)
}

/// Verifies a value that was read from `kv`.
pub(crate) fn check(
    writer: &Writer,
    area: Area,
    kind: Kind,
    number: u64,
    value: Vec<u8>,
) -> Result<Value, Error> {
    match frame::open(kind, area, number, &value) {
        Ok(_) => Ok(Value::new(value)),
        Err(fault) => Err(lost(writer, area, kind, number, fault)),
    }
}

/// Logs and returns the error for a value that cannot be read.
pub(crate) fn lost(writer: &Writer, area: Area, kind: Kind, number: u64, fault: Fault) -> Error {
    let error = frame::lost(&writer.id, area, kind, number, fault);
    if let Error::DataLoss(text) = &error {
        log::error(text);
    }
    error
}

// === impl Value ===

impl Value {
    /// Returns the payload.
    pub(crate) fn payload(&self) -> &[u8] {
        let bytes = self.bytes();
        let end = bytes.len().saturating_sub(AFTER);
        bytes.get(BEFORE..end).unwrap_or_default()
    }
}

// === impl Objects ===

impl Objects {
    /// Adds a value, and puts the buffered ones if they are many bytes. One that is larger than an object is put at once, in pieces, and
    /// a value that tells their number is added.
    pub(crate) fn push(
        &mut self,
        writer: &Writer,
        area: Area,
        kind: Kind,
        number: u64,
        mut value: Vec<u8>,
    ) -> Result<(), Error> {
        if value.len() > MAX_OBJECT {
            let pieces = put_pieces(&writer.id, (area, kind, number), &value)?;
            let mut payload = Vec::new();
            put_varint(&mut payload, pieces);
            value = frame::value(Kind::Pieces, area, number, &payload);
        }
        if self.bytes + value.len() > PUT_BYTES {
            self.flush()?;
        }
        self.bytes += value.len();
        self.objects.push(Object {
            key: frame::key(&writer.id, area, kind, number),
            value,
        });
        Ok(())
    }

    /// Puts the buffered values.
    pub(crate) fn flush(&mut self) -> Result<(), Error> {
        if !self.objects.is_empty() {
            kv::put(&self.objects)?;
        }
        self.objects.clear();
        self.bytes = 0;
        Ok(())
    }
}
