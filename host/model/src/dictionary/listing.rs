//! Lists the values of one request.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::shared::{Place, Shared};
use super::snapshot::Snapshot;
use super::source::Source;
use super::state::Column;
use super::texts;

/// Lists the values of one request. A value that is known allocates nothing.
#[derive(Debug)]
pub struct Listing {
    snapshot: Snapshot,
    listed: ListedValues,
    /// The values of `listed` by the hash of attribute and form.
    pending: HashMap<u64, usize>,
    is_used: bool,
}

/// The values that were listed in a request and have to be recorded before its fragments are written.
#[derive(Debug)]
pub struct ListedValues {
    epoch: u64,
    day: u32,
    /// Keys and forms, joined.
    bytes: Vec<u8>,
    values: Vec<Noted>,
    shared: Arc<Shared>,
}

/// A value to be recorded, as ranges of the bytes.
#[derive(Clone, Debug)]
struct Noted {
    source: Source,
    key: Range<usize>,
    form: Range<usize>,
    /// True if a place is reserved for it.
    is_new: bool,
}

// === impl Listing ===

impl Listing {
    /// Begins with a request.
    pub fn new(snapshot: Snapshot) -> Self {
        let listed = ListedValues {
            epoch: snapshot.state.epoch,
            day: snapshot.day,
            bytes: Vec::new(),
            values: Vec::new(),
            shared: Arc::clone(&snapshot.shared),
        };
        Self {
            snapshot,
            listed,
            pending: HashMap::new(),
            is_used: false,
        }
    }

    /// Returns `true` if a value, given as its string form, is listed: it is known, or there is room for it. It is then among the values to be
    /// recorded, unless it was recorded today. The same value gets the same answer in the whole request, or is listed from some moment on.
    #[inline]
    pub fn list(&mut self, source: impl Into<Source>, key: &[u8], form: &[u8]) -> bool {
        let source = source.into();
        let column = self.snapshot.state.column(source, key);
        let hash = texts::hash(form);
        let known = column.and_then(|column| column.find(hash, form));
        let is_listed = match known.map(|day| day.load(Ordering::Relaxed)) {
            Some(day) if day >= self.listed.day => true,
            Some(_) => self.note((source, key), (hash, form), false),
            // Mostly the value of an attribute that has too many.
            None if !self.may_fit(column, key, form) => false,
            None => self.note((source, key), (hash, form), true),
        };
        self.is_used |= is_listed;
        is_listed
    }

    /// As [`Listing::list`], for a number.
    pub fn list_number(&mut self, source: impl Into<Source>, key: &[u8], form: &[u8]) -> bool {
        let source = source.into();
        if let Some(column) = self.snapshot.state.column(source, key)
            && column.len() >= self.listed.shared.bounds.numbers
            && column.find(texts::hash(form), form).is_none()
        {
            column.set_full();
            return false;
        }
        self.list(source, key, form)
    }

    /// What has to be recorded before the request's fragments are written; `None` if no value was listed.
    pub fn finish(self) -> Option<Arc<ListedValues>> {
        self.is_used.then(|| Arc::new(self.listed))
    }

    /// Returns `false` if there is no room for a new value even if all requests on their way are left out.
    fn may_fit(&self, column: Option<&Column>, key: &[u8], form: &[u8]) -> bool {
        let (state, bounds) = (&self.snapshot.state, &self.listed.shared.bounds);
        if key.len().max(form.len()) > bounds.value_bytes {
            return false;
        }
        let own = column.map(Column::size).unwrap_or_default();
        let fits = bounds.fit(own, state.size, form.len());
        match column {
            Some(column) if !fits => column.set_full(),
            None if state.attributes >= bounds.attributes => return false,
            Some(_) | None => {}
        }
        fits
    }

    /// Adds a value to those to be recorded, if it is known or there is room for it.
    #[cold]
    fn note(
        &mut self,
        (source, key): (Source, &[u8]),
        (hash, form): (u64, &[u8]),
        new: bool,
    ) -> bool {
        let together = hash ^ texts::hash(key).rotate_left(u32::from(source.number()) + 1);
        if let Some(known) = self.pending.get(&together) {
            // Of two values with one hash, the second is not listed unless it was before.
            let known = self.listed.get(*known);
            if known == Some((source, key, form)) {
                return true;
            }
            if new {
                return false;
            }
        }
        let mut is_new = false;
        if new {
            match self
                .listed
                .shared
                .reserve(self.listed.epoch, (source, key), form)
            {
                Place::None => return false,
                Place::Known => {}
                Place::Reserved => is_new = true,
            }
        }
        self.pending.insert(together, self.listed.values.len());
        self.listed.push((source, key), form, is_new);
        true
    }
}

// === impl ListedValues ===

impl ListedValues {
    /// The beginning of the dictionary in which the values are listed.
    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The day on which the values were listed.
    pub fn day(&self) -> u32 {
        self.day
    }

    /// The values to be recorded: source, key and string form.
    pub fn values(&self) -> impl Iterator<Item = (Source, &[u8], &[u8])> {
        (0..self.values.len()).filter_map(|number| self.get(number))
    }

    /// Returns `true` if every listed value is recorded already.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    fn get(&self, number: usize) -> Option<(Source, &[u8], &[u8])> {
        let noted = self.values.get(number)?;
        let key = self.bytes.get(noted.key.clone())?;
        Some((noted.source, key, self.bytes.get(noted.form.clone())?))
    }

    fn push(&mut self, (source, key): (Source, &[u8]), form: &[u8], is_new: bool) {
        let last = self.values.last().map(|last| last.key.clone());
        let same = last.filter(|last| self.bytes.get(last.clone()) == Some(key));
        let key = same.unwrap_or_else(|| self.append(key));
        let form = self.append(form);
        self.values.push(Noted {
            source,
            key,
            form,
            is_new,
        });
    }

    fn append(&mut self, part: &[u8]) -> Range<usize> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(part);
        start..self.bytes.len()
    }
}

impl Drop for ListedValues {
    fn drop(&mut self) {
        for (number, noted) in self.values.iter().enumerate() {
            if noted.is_new
                && let Some((source, key, form)) = self.get(number)
            {
                self.shared.release((source, key), form);
            }
        }
    }
}
