//! What a dictionary holds at a moment. It is never changed, but for the days of its values; a change makes another one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use super::bounds::Size;
use super::source::Source;
use super::texts::{self, Texts};

/// Values that are kept apart from the others of their attribute until there are more, so that adding one does not copy all.
const MIN_RECENT: usize = 64;

/// The share of an attribute's values that may be apart from the others.
const RECENT_SHARE: usize = 16;

/// The attributes of a tenant, with their values.
#[derive(Clone, Debug, Default)]
pub(super) struct State {
    /// The number of the dictionary's beginning since which nothing of it was lost.
    pub(super) epoch: u64,
    /// False if stored fragments may call values listed that are not here.
    pub(super) is_complete: bool,
    /// By the numbers of the sources.
    sources: [Attributes; Source::ALL.len()],
    /// The values of all attributes, and the bytes of values and keys.
    pub(super) size: Size,
    /// Number of attributes.
    pub(super) attributes: usize,
}

/// The attributes of one source.
#[derive(Clone, Debug, Default)]
struct Attributes {
    keys: Arc<Texts>,
    /// In the order of the keys.
    columns: Vec<Arc<Column>>,
}

/// The distinct values of an attribute.
#[derive(Debug, Default)]
pub(super) struct Column {
    older: Arc<Days>,
    recent: Arc<Days>,
    /// True once a value was not taken because there are too many.
    is_full: AtomicBool,
}

/// Values, each with the last day on which it was written.
#[derive(Debug, Default)]
struct Days {
    texts: Texts,
    days: Vec<AtomicU32>,
}

/// Values to be added to a state, each with its day. The greatest day of a value counts.
#[derive(Debug, Default)]
pub struct Contents(BTreeMap<(Source, Vec<u8>), BTreeMap<Vec<u8>, u32>>);

// === impl Contents ===

impl Contents {
    /// Adds a value, which was written on this day.
    pub fn add(&mut self, source: impl Into<Source>, key: &[u8], form: &[u8], day: u32) {
        let column = self.0.entry((source.into(), key.to_owned())).or_default();
        let known = column.entry(form.to_owned()).or_insert(day);
        *known = day.max(*known);
    }

    /// The day of a value; `None` if it is not among these.
    pub fn day_of(&self, source: impl Into<Source>, key: &[u8], form: &[u8]) -> Option<u32> {
        let column = self.0.get(&(source.into(), key.to_owned()))?;
        column.get(form).copied()
    }

    /// The latest day of a value; 0 without values.
    pub(super) fn last_day(&self) -> u32 {
        let days = self.0.values().flat_map(BTreeMap::values);
        days.copied().max().unwrap_or(0)
    }
}

// === impl State ===

impl State {
    /// A state without values.
    pub(super) fn new(epoch: u64, is_complete: bool) -> Self {
        Self {
            epoch,
            is_complete,
            ..Self::default()
        }
    }

    /// This state with some values more.
    pub(super) fn with(&self, contents: Contents) -> Self {
        let mut state = self.clone();
        let mut new_keys: [Vec<Vec<u8>>; Source::ALL.len()] = Default::default();
        for ((source, key), values) in contents.0 {
            let at = usize::from(source.number());
            let Some(attributes) = state.sources.get_mut(at) else {
                continue;
            };
            let number = attributes.keys.find(texts::hash(&key), &key);
            if let Some(column) = number.and_then(|number| attributes.columns.get_mut(number)) {
                if let Some(grown) = column.with(values) {
                    state.size = state.size - column.size() + grown.size();
                    *column = Arc::new(grown);
                }
            } else if let Some(column) = Column::default().with(values) {
                state.size = state.size + column.size() + Size::of_key(key.len());
                state.attributes += 1;
                attributes.columns.push(Arc::new(column));
                if let Some(keys) = new_keys.get_mut(at) {
                    keys.push(key);
                }
            }
        }
        for (attributes, new) in state.sources.iter_mut().zip(&new_keys) {
            if !new.is_empty() {
                let known = (0..attributes.keys.len()).filter_map(|at| attributes.keys.get(at));
                let keys = Texts::of(known.chain(new.iter().map(Vec::as_slice)));
                attributes.keys = Arc::new(keys);
            }
        }
        state
    }

    /// Returns `true` if a value was last written before this day.
    pub(super) fn has_older(&self, before: u32) -> bool {
        let mut columns = self.columns();
        columns.any(|(_, _, column)| column.values().any(|(_, day)| day < before))
    }

    /// This state without the values that were last written before this day, and their number.
    pub(super) fn without(&self, before: u32) -> (Self, usize) {
        let mut kept = Contents::default();
        let mut dropped = 0;
        for (source, key, column) in self.columns() {
            for (form, day) in column.values() {
                if day < before {
                    dropped += 1;
                } else {
                    kept.add(source, key, form, day);
                }
            }
        }
        let state = Self::new(self.epoch, self.is_complete).with(kept);
        for (source, key, column) in self.columns().filter(|(_, _, column)| column.is_full()) {
            // What has lost values has room again.
            let same = state.column(source, key);
            if let Some(same) = same.filter(|same| same.len() == column.len()) {
                same.set_full();
            }
        }
        (state, dropped)
    }

    pub(super) fn column(&self, source: Source, key: &[u8]) -> Option<&Column> {
        let attributes = self.sources.get(usize::from(source.number()))?;
        let number = attributes.keys.find(texts::hash(key), key)?;
        attributes.columns.get(number).map(|column| &**column)
    }

    /// Every attribute, ordered by source.
    pub(super) fn columns(&self) -> impl Iterator<Item = (Source, &[u8], &Column)> {
        let sources = Source::ALL.into_iter().zip(&self.sources);
        sources.flat_map(|(source, attributes)| {
            let columns = attributes.columns.iter().enumerate();
            columns.filter_map(move |(number, column)| {
                Some((source, attributes.keys.get(number)?, &**column))
            })
        })
    }
}

// === impl Column ===

impl Column {
    /// This column with some values more; `None` if it has them all. The days of known values are changed at once.
    fn with(&self, values: BTreeMap<Vec<u8>, u32>) -> Option<Self> {
        let mut new = values;
        new.retain(|form, day| match self.find(texts::hash(form), form) {
            Some(known) => {
                known.fetch_max(*day, Ordering::Relaxed);
                false
            }
            None => true,
        });
        if new.is_empty() {
            return None;
        }
        let new = new.iter().map(|(form, day)| (form.as_slice(), *day));
        let room = MIN_RECENT.max(self.older.days.len() / RECENT_SHARE);
        let is_small = self.recent.days.len() + new.len() <= room;
        let (older, recent) = if is_small {
            let recent = Days::of(self.recent.values().chain(new));
            (Arc::clone(&self.older), Arc::new(recent))
        } else {
            (Arc::new(Days::of(self.values().chain(new))), Arc::default())
        };
        Some(Self {
            older,
            recent,
            is_full: AtomicBool::new(self.is_full()),
        })
    }

    pub(super) fn len(&self) -> usize {
        self.older.days.len() + self.recent.days.len()
    }

    pub(super) fn size(&self) -> Size {
        Size {
            values: self.len(),
            bytes: self.older.texts.bytes() + self.recent.texts.bytes(),
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.is_full.load(Ordering::Relaxed)
    }

    pub(super) fn set_full(&self) {
        if !self.is_full() {
            self.is_full.store(true, Ordering::Relaxed);
        }
    }

    /// The day of a value with this hash.
    #[inline]
    pub(super) fn find(&self, hash: u64, form: &[u8]) -> Option<&AtomicU32> {
        let parts = [&self.older, &self.recent];
        parts.into_iter().find_map(|part| {
            let number = part.texts.find(hash, form)?;
            part.days.get(number)
        })
    }

    /// Returns `true` if a value with this hash would be found too slowly.
    pub(super) fn is_crowded(&self, hash: u64) -> bool {
        self.older.texts.is_crowded(hash) || self.recent.texts.is_crowded(hash)
    }

    /// A value by number, which is below [`Column::len`].
    pub(super) fn get(&self, number: usize) -> Option<&[u8]> {
        match number.checked_sub(self.older.days.len()) {
            None => self.older.texts.get(number),
            Some(number) => self.recent.texts.get(number),
        }
    }

    pub(super) fn values(&self) -> impl Iterator<Item = (&[u8], u32)> {
        self.older.values().chain(self.recent.values())
    }
}

// === impl Days ===

impl Days {
    fn of<'a>(values: impl Iterator<Item = (&'a [u8], u32)>) -> Self {
        let (texts, days): (Vec<_>, Vec<_>) = values.unzip();
        Self {
            texts: Texts::of(texts.into_iter()),
            days: days.into_iter().map(AtomicU32::new).collect(),
        }
    }

    fn values(&self) -> impl Iterator<Item = (&[u8], u32)> {
        let days = self.days.iter().enumerate();
        days.filter_map(|(number, day)| {
            Some((self.texts.get(number)?, day.load(Ordering::Relaxed)))
        })
    }
}
