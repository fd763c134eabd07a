//! A dictionary at a moment, as a query or a walk sees it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::shared::Shared;
use super::source::Source;
use super::state::{Column, State};
use super::texts;
use crate::terms::Level;

/// What a dictionary has at a moment. Clones are cheap.
///
/// It has every value that was listed in a fragment written before that moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub(super) state: Arc<State>,
    pub(super) shared: Arc<Shared>,
    pub(super) day: u32,
}

/// The distinct string forms of an attribute's listed values, in no order: an iterator. Values of different types may have one form.
#[derive(Clone, Debug)]
pub struct Values<'a> {
    column: Option<&'a Column>,
    next: usize,
}

/// An attribute that has listed values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attribute<'a> {
    /// The level of the attribute.
    pub level: Level,
    /// Its key, which is UTF-8 if all that was written is.
    pub key: &'a [u8],
    /// Number of its listed values.
    pub values: usize,
    /// Bytes of their string forms.
    pub bytes: usize,
    /// True if values are known not to be listed, because there are too many.
    pub is_full: bool,
}

// === impl Snapshot ===

impl Snapshot {
    /// The listed values of an attribute, or those of a text, whose key is empty. What has none, or is unknown, has none here.
    pub fn values(&self, source: impl Into<Source>, key: &[u8]) -> Values<'_> {
        Values {
            column: self.state.column(source.into(), key),
            next: 0,
        }
    }

    /// Every attribute that has listed values, ordered by level.
    pub fn keys(&self) -> impl Iterator<Item = Attribute<'_>> {
        self.state.columns().filter_map(|(source, key, column)| {
            let Source::Attribute(level) = source else {
                return None;
            };
            let size = column.size();
            Some(Attribute {
                level,
                key,
                values: size.values,
                bytes: size.bytes,
                is_full: column.is_full(),
            })
        })
    }

    /// The last day on which a value was recorded; `None` if it is not listed.
    pub fn day_of(&self, source: impl Into<Source>, key: &[u8], form: &[u8]) -> Option<u32> {
        let column = self.state.column(source.into(), key)?;
        let day = column.find(texts::hash(form), form)?;
        Some(day.load(Ordering::Relaxed))
    }

    /// Returns `true` if the value is listed.
    pub fn contains(&self, source: impl Into<Source>, key: &[u8], form: &[u8]) -> bool {
        self.day_of(source, key, form).is_some()
    }

    /// Bytes of the values and keys of all attributes.
    pub fn bytes(&self) -> usize {
        self.state.size.bytes
    }

    /// Number of the values of all attributes.
    pub fn len(&self) -> usize {
        self.state.size.values
    }

    /// Returns `true` if nothing is listed.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Every value, with the last day on which it was recorded.
    pub fn all(&self) -> impl Iterator<Item = (Source, &[u8], &[u8], u32)> {
        self.state.columns().flat_map(|(source, key, column)| {
            let values = column.values();
            values.map(move |(form, day)| (source, key, form, day))
        })
    }
}

// === impl Values ===

impl Values<'_> {
    /// Returns `false` if values are known not to be listed, because there are too many. `true` does not mean that all are: a long value is
    /// not listed, nor is one that was written without the dictionary. No answer may depend on it.
    pub fn is_complete(&self) -> bool {
        self.column.is_none_or(|column| !column.is_full())
    }
}

impl<'a> Iterator for Values<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let form = self.column?.get(self.next)?;
        self.next += 1;
        Some(form)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let all = self.column.map_or(0, Column::len);
        let left = all.saturating_sub(self.next);
        (left, Some(left))
    }
}

impl ExactSizeIterator for Values<'_> {}
