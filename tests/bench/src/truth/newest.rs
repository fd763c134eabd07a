//! The newest traces of a selection, and no more of them than are asked for.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::summary::Facts;
use super::{Seen, Selection, TraceId};

/// By the start of their newest matching span, of two as new the smaller id first.
pub(super) struct Newest {
    selection: Selection,
    kept: BTreeMap<(Reverse<u64>, TraceId), Arc<Facts>>,
}

impl Newest {
    pub(super) fn new(selection: Selection) -> Self {
        Self {
            selection,
            kept: BTreeMap::new(),
        }
    }

    /// Keeps the trace if a span of it is selected and it is among the newest so far.
    pub(super) fn add(
        &mut self,
        id: &[u8],
        spans: &[Seen<'_>],
        facts: impl FnOnce() -> Arc<Facts>,
    ) {
        let Selection {
            matches, from, to, ..
        } = self.selection;
        let starts = spans.iter().filter_map(|seen| {
            let start = seen.span.start_time_unix_nano;
            ((from..=to).contains(&start) && matches(seen)).then_some(start)
        });
        let Some(start) = starts.max() else { return };
        self.kept.insert((Reverse(start), id.to_vec()), facts());
        if self.kept.len() > self.selection.depth {
            self.kept.pop_last();
        }
    }

    /// The traces, newest first.
    pub(super) fn facts(&self) -> impl Iterator<Item = &Facts> {
        self.kept.values().map(Arc::as_ref)
    }
}
