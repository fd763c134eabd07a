//! Reads ahead: what a call is about to need is read by one call of `kv`, instead of value by value.
//!
//! A caller first *tries*: a value that is not in memory is missed, instead of being read. If one was missed, the caller *plans*: it goes
//! through all that it needs next and notes what is not in memory. [`Store::fetch`] reads what was noted, and the plan is made again, as
//! these values tell which others are needed. Then the caller does what it tried, and what is still missing is read value by value.
//! So a value that cannot be read raises an error only where it is needed.

use std::collections::BTreeSet;

use larder_plugin::Error;
use larder_plugin::kv;

use super::{Store, Writer};
use crate::cache::{Cache, CacheKey, Value};
use crate::frame::{self, Area, Kind};

/// The place of a value: its partition, its kind and its number.
pub(crate) type At = (Area, Kind, u64);

/// The most bytes that values may have that are read ahead together, and the least.
const MOST_BYTES: usize = 16 << 20;
const LEAST_BYTES: usize = 1 << 20;
/// The most keys of a call of `get`, and the most bytes that its values are estimated to have. The host refuses more than 32 MiB.
const CALL_KEYS: usize = 16_384;
const CALL_BYTES: usize = 20 << 20;
/// A plan is made at most this many times: values that tell which others are needed form shorter chains.
const ROUNDS: usize = 12;

/// What a store has read ahead, and what it is about to.
#[derive(Debug)]
pub(super) struct Ahead {
    /// Values that were read ahead and not used yet, and those that were used during this call.
    values: Cache,
    used: BTreeSet<CacheKey>,
    mode: Mode,
    /// A value was not in memory since the caller began to try.
    has_missed: bool,
    noted: Vec<Noted>,
    noted_keys: BTreeSet<CacheKey>,
    /// What cannot be read ahead: it is missing, damaged or too large. Whoever needs it reads it.
    refused: BTreeSet<CacheKey>,
    /// Bytes that a plan may still note, by [`class_of`].
    rooms: [usize; 3],
    /// Something was not noted because there was no room for it.
    is_full: bool,
    rounds: usize,
}

/// What happens to a value that is not in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// It is read.
    Read,
    /// It is missed.
    Try,
    /// It is noted.
    Plan,
}

/// A value to read ahead.
#[derive(Clone, Debug)]
struct Noted {
    key: CacheKey,
    writer: Writer,
    at: At,
    /// Its approximate size.
    bytes: usize,
}

/// Returns the class of values that share a part of the room of a plan, so that those that are found last have some left.
fn class_of(kind: Kind) -> usize {
    match kind {
        Kind::Table => 1,
        Kind::Otlp | Kind::Digests => 2,
        _ => 0,
    }
}

/// Estimates the size of a value of which nothing but its kind is known.
fn bytes_of(kind: Kind) -> usize {
    match kind {
        Kind::Terms | Kind::Runs => 17 << 10,
        Kind::Table => 40 << 10,
        Kind::Traces => 400 << 10,
        Kind::Filter => 130 << 10,
        _ => 64 << 10,
    }
}

// === impl Ahead ===

impl Ahead {
    /// Creates the part of a store whose caches hold this many bytes.
    pub(super) fn new(cache_bytes: usize) -> Self {
        let half = (cache_bytes / 4).clamp(LEAST_BYTES, MOST_BYTES);
        Self {
            values: Cache::new(2 * half),
            used: BTreeSet::new(),
            mode: Mode::Read,
            has_missed: false,
            noted: Vec::new(),
            noted_keys: BTreeSet::new(),
            refused: BTreeSet::new(),
            rooms: [0; 3],
            is_full: false,
            rounds: 0,
        }
    }

    /// Returns true if values are only looked at, to plan what to read.
    pub(super) fn is_planning(&self) -> bool {
        self.mode == Mode::Plan
    }

    pub(super) fn get(&mut self, key: &CacheKey) -> Option<Value> {
        let value = self.values.peek(key)?;
        if !self.is_planning() {
            self.used.insert(*key);
        }
        Some(value)
    }

    pub(super) fn forget(&mut self, writer: u16, areas: &BTreeSet<u64>) {
        self.values.forget(writer, areas);
    }

    /// Returns the rooms of a plan of which nothing has been noted.
    fn rooms(&self) -> [usize; 3] {
        let half = self.values.bytes() / 2;
        [half / 4 * 3, half / 4, half / 2]
    }

    /// Called for a value that is not in memory. Returns the error for the caller, unless the value is to be read.
    pub(super) fn miss(&mut self, writer: &Writer, at: At) -> Option<Error> {
        if self.mode == Mode::Read {
            return None;
        }
        self.has_missed = true;
        self.note(writer, at, bytes_of(at.1));
        Some(Error::Other("a value has not been read yet".to_owned()))
    }

    fn note(&mut self, writer: &Writer, at: At, bytes: usize) {
        let key = CacheKey::new(writer.number, at);
        let is_known = self.noted_keys.contains(&key) || self.refused.contains(&key);
        if self.mode != Mode::Plan || is_known || bytes > self.values.bytes() / 2 {
            return;
        }
        let class = class_of(at.1);
        let all = self.rooms();
        let (Some(room), Some(all)) = (self.rooms.get_mut(class), all.get(class)) else {
            return;
        };
        // The first one of each class is noted in any case, or nothing would be read ahead.
        if bytes > *room && *room < *all {
            self.is_full = true;
            return;
        }
        *room = room.saturating_sub(bytes);
        self.noted_keys.insert(key);
        self.noted.push(Noted {
            key,
            writer: writer.clone(),
            at,
            bytes,
        });
    }

    /// Reads noted values in as few calls as their sizes allow. Returns how many were read.
    fn fetch(&mut self) -> Result<usize, Error> {
        let noted = std::mem::take(&mut self.noted);
        self.noted_keys.clear();
        let (mut rest, mut count) = (noted.as_slice(), 0);
        while !rest.is_empty() {
            let mut bytes = 0;
            let fits = rest.iter().take(CALL_KEYS).take_while(|it| {
                bytes += it.bytes;
                bytes <= CALL_BYTES
            });
            let (call, later) = rest.split_at(fits.count().max(1));
            count += self.fetch_at_once(call)?;
            rest = later;
        }
        Ok(count)
    }

    fn fetch_at_once(&mut self, noted: &[Noted]) -> Result<usize, Error> {
        let key = |it: &Noted| {
            let (area, kind, number) = it.at;
            frame::key(&it.writer.id, area, kind, number)
        };
        let keys: Vec<kv::Key> = noted.iter().map(key).collect();
        match kv::get(&keys) {
            // One of the values is damaged, or all of them are larger than expected.
            Err(kv::Error::DataLoss(_) | kv::Error::TooLarge(_)) => {
                if let [one] = noted {
                    self.refused.insert(one.key);
                    return Ok(0);
                }
                let (some, others) = noted.split_at(noted.len() / 2);
                Ok(self.fetch_at_once(some)? + self.fetch_at_once(others)?)
            }
            values => {
                let values = noted.iter().zip(values?);
                let kept = values.map(|(it, value)| self.keep(it, value.unwrap_or_default()));
                Ok(kept.filter(|kept| *kept).count())
            }
        }
    }

    /// Keeps a value that was read ahead. Returns false if it is not what was stored, or stands for pieces.
    fn keep(&mut self, noted: &Noted, value: Vec<u8>) -> bool {
        let (area, kind, number) = noted.at;
        let is_sound = frame::open(kind, area, number, &value).is_ok();
        if is_sound {
            self.values.insert(noted.key, Value::new(value));
        }
        let is_kept = is_sound && self.values.peek(&noted.key).is_some();
        if !is_kept {
            self.refused.insert(noted.key);
        }
        is_kept
    }
}

// === impl Store ===

impl Store {
    /// Begins a call of the plugin. What was read ahead and used is from now on only in the caches, and what could not be read ahead
    /// earlier may be read ahead now.
    pub(crate) fn begin_call(&mut self) {
        self.ahead.mode = Mode::Read;
        self.ahead.refused.clear();
        for key in std::mem::take(&mut self.ahead.used) {
            self.ahead.values.remove(&key);
        }
    }

    /// From now on a value that is not in memory is missed, and raises an error that the caller must not pass on.
    pub(crate) fn begin_try(&mut self) {
        (self.ahead.mode, self.ahead.has_missed) = (Mode::Try, false);
    }

    /// From now on values that are not in memory are read. Returns true if one was missed since [`Store::begin_try`].
    pub(crate) fn end_try(&mut self) -> bool {
        self.ahead.mode = Mode::Read;
        std::mem::take(&mut self.ahead.has_missed)
    }

    /// Returns true if a value was missed. A call that raised an error may then succeed later.
    pub(crate) fn has_missed(&self) -> bool {
        self.ahead.has_missed
    }

    /// From now on [`Store::has_missed`] tells of values that are missed after this call.
    pub(crate) fn forget_misses(&mut self) {
        self.ahead.has_missed = false;
    }

    /// Begins a plan: values that are not in memory are noted until [`Store::fetch`] returns false.
    pub(crate) fn begin_plan(&mut self) {
        self.ahead.mode = Mode::Plan;
        self.ahead.rooms = self.ahead.rooms();
        (self.ahead.is_full, self.ahead.rounds) = (false, ROUNDS);
    }

    /// Goes on with a plan after [`Store::begin_try`].
    pub(crate) fn resume_plan(&mut self) {
        self.ahead.mode = Mode::Plan;
    }

    /// Returns true if the plan has no room for what else it needs.
    pub(crate) fn is_full(&self) -> bool {
        self.ahead.is_full
    }

    /// Returns the number of values that the plan has noted and that have not been read.
    pub(crate) fn noted(&self) -> usize {
        self.ahead.noted.len()
    }

    /// Notes a value of about this many bytes, if it is not in memory and a plan is being made.
    pub(crate) fn expect(&mut self, writer: &Writer, at: At, bytes: usize) {
        if self.ahead.is_planning() && !self.has(&CacheKey::new(writer.number, at)) {
            self.ahead.note(writer, at, bytes);
        }
    }

    /// Reads what was noted. Returns true if the plan is to be made again, as some of it was read, and else ends the plan. Raises nothing
    /// for values that are missing or damaged.
    pub(crate) fn fetch(&mut self) -> Result<bool, Error> {
        self.ahead.rounds = self.ahead.rounds.saturating_sub(1);
        let fetched = self.ahead.fetch();
        self.ahead.is_full = false;
        let goes_on = self.ahead.rounds > 0 && fetched.as_ref().is_ok_and(|count| *count > 0);
        self.ahead.has_missed = false;
        if !goes_on {
            self.ahead.mode = Mode::Read;
        }
        fetched.map(|_| goes_on)
    }

    /// Reads the first of these values. If it is not in memory, those after it are read ahead with it, as far as there is room.
    pub(crate) fn read_first(&mut self, values: &[(&Writer, At)]) -> Result<Value, Error> {
        let Some((writer, (area, kind, number))) = values.first().copied() else {
            return Err(Error::Other("no value was asked for".to_owned()));
        };
        if !self.has(&CacheKey::new(writer.number, (area, kind, number))) {
            self.begin_plan();
            for (writer, at) in values {
                self.expect(writer, *at, bytes_of(at.1));
                if self.is_full() {
                    break;
                }
            }
            self.ahead.rounds = 1;
            self.fetch()?;
        }
        self.read(writer, area, kind, number)
    }

    /// Returns true if a value is in memory.
    fn has(&self, key: &CacheKey) -> bool {
        let caches = [&self.cache, &self.blocks, &self.ahead.values];
        caches.iter().any(|it| it.peek(key).is_some())
    }
}
