//! The first spans of an order among all that a search meets.

use std::collections::BTreeMap;

use super::order::{SortKey, SpanOrder};
use crate::paging::SpanPosition;

/// Keeps the first spans behind a position. A span that is met again changes nothing, as the order tells all spans apart.
pub(crate) struct Best {
    order: SpanOrder,
    /// Only spans behind this one count.
    after: Option<SortKey>,
    /// The most spans that are kept.
    size: usize,
    kept: BTreeMap<SortKey, SpanPosition>,
}

/// The bounds of the spans that may be kept, as they were at one moment: they only become narrower.
pub(crate) struct Bound {
    order: SpanOrder,
    after: Option<SortKey>,
    /// Only spans before this one, once no more are kept.
    before: Option<SortKey>,
}

impl Best {
    /// Keeps at most `size` spans behind `after`.
    pub(crate) fn new(order: SpanOrder, after: Option<&SpanPosition>, size: usize) -> Self {
        let after = after.map(|after| order.key(after));
        Self {
            order,
            after,
            size,
            kept: BTreeMap::new(),
        }
    }

    /// The order.
    pub(crate) fn order(&self) -> &SpanOrder {
        &self.order
    }

    /// The key of a span that would be kept; `None` for one that is behind all that are, or not behind the position.
    pub(crate) fn key_if_kept(&self, span: &SpanPosition) -> Option<SortKey> {
        let key = self.order.key(span);
        let is_behind = self.after.is_none_or(|after| after < key);
        let is_before =
            !self.is_full() || self.kept.last_key_value().is_some_and(|last| key < *last.0);
        (is_behind && is_before).then_some(key)
    }

    /// Keeps a span by the key that [`Best::key_if_kept`] gave, and drops the last one if they are too many. Returns `false` if it was kept
    /// already.
    pub(crate) fn keep(&mut self, key: SortKey, span: SpanPosition) -> bool {
        let is_new = self.kept.insert(key, span).is_none();
        if self.kept.len() > self.size {
            self.kept.pop_last();
        }
        is_new
    }

    /// The last span that is kept, once no more are than may be: a span behind it does not count.
    pub(crate) fn last_if_full(&self) -> Option<&SpanPosition> {
        let last = self.kept.last_key_value().filter(|_| self.is_full());
        last.map(|(_, span)| span)
    }

    /// The bounds of the spans that would be kept now.
    pub(crate) fn bound(&self) -> Bound {
        let last = self.kept.last_key_value().filter(|_| self.is_full());
        Bound {
            order: self.order.clone(),
            after: self.after,
            before: last.map(|(key, _)| *key),
        }
    }

    /// The spans, in their order.
    pub(crate) fn into_spans(self) -> Vec<SpanPosition> {
        self.kept.into_values().collect()
    }

    fn is_full(&self) -> bool {
        self.kept.len() >= self.size
    }
}

impl Bound {
    /// Returns `true` if the span would be kept.
    pub(crate) fn is_within(&self, span: &SpanPosition) -> bool {
        let key = self.order.key(span);
        self.after.is_none_or(|after| after < key) && self.before.is_none_or(|before| key < before)
    }
}
