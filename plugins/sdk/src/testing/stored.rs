//! The plain list with which a plugin is compared.

use std::collections::BTreeSet;

use super::fragment::FragmentBuilder;
use crate::{DurationRange, Fragment, Operation, Part, Search, Term, TimeRange, TraceId};

/// A plugin's expected contents: a list of fragments in the order written.
#[derive(Clone, Debug, Default)]
pub struct Stored {
    fragments: Vec<StoredFragment>,
}

/// A fragment with its lists and its resolved operations.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are those of `Fragment`")]
pub struct StoredFragment {
    pub trace_id: TraceId,
    pub span_count: u32,
    pub starts: TimeRange,
    pub durations: DurationRange,
    pub terms: Vec<Term>,
    pub operations: Vec<Operation>,
    pub digest: Vec<u8>,
    pub otlp: Vec<u8>,
}

// === impl Stored ===

impl Stored {
    /// Appends a fragment.
    pub fn push(&mut self, fragment: FragmentBuilder) {
        self.fragments.push(fragment.build());
    }

    /// Removes the trace that was first written before all others; returns its number of spans.
    pub fn evict_oldest(&mut self) -> u64 {
        let Some(oldest) = self.fragments().next().map(|fragment| fragment.trace_id) else {
            return 0;
        };
        let spans = self.of_trace(oldest).map(|it| u64::from(it.span_count));
        let spans = spans.sum();
        self.retain(|it| it.trace_id != oldest);
        spans
    }

    /// Removes all fragments of a trace but the first `kept`; returns the number of spans in those removed.
    pub fn truncate(&mut self, id: TraceId, kept: usize) -> u64 {
        let (mut seen, mut spans) = (0, 0);
        self.retain(|it| {
            seen += usize::from(it.trace_id == id);
            let is_kept = it.trace_id != id || seen <= kept;
            spans += if is_kept { 0 } else { u64::from(it.span_count) };
            is_kept
        });
        spans
    }

    /// Retains only the fragments for which `keep` returns true.
    pub fn retain(&mut self, keep: impl FnMut(&StoredFragment) -> bool) {
        self.fragments.retain(keep);
    }

    /// Returns all fragments, in the order written.
    pub fn fragments(&self) -> impl Iterator<Item = &StoredFragment> {
        self.fragments.iter()
    }

    /// Returns the fragments of one trace, in the order written.
    pub fn of_trace(&self, id: TraceId) -> impl Iterator<Item = &StoredFragment> {
        self.fragments().filter(move |it| it.trace_id == id)
    }

    /// Returns the fragments that a search must find.
    pub fn matching(&self, search: &Search) -> impl Iterator<Item = &StoredFragment> {
        self.fragments().filter(|it| search.admits(&it.view()))
    }

    /// Returns the ids of all traces.
    pub fn traces(&self) -> BTreeSet<TraceId> {
        self.fragments().map(|it| it.trace_id).collect()
    }

    /// Counts the spans.
    pub fn spans(&self) -> u64 {
        self.fragments().map(|it| u64::from(it.span_count)).sum()
    }

    /// Returns the operations of all fragments, sorted, without duplicates.
    pub fn operations(&self) -> BTreeSet<Operation> {
        let operations = self.fragments().flat_map(|it| &it.operations);
        operations.cloned().collect()
    }
}

// === impl StoredFragment ===

impl StoredFragment {
    /// Returns one part of it.
    pub fn part(&self, part: Part) -> &[u8] {
        match part {
            Part::Otlp => &self.otlp,
            Part::Digest => &self.digest,
        }
    }

    /// Returns it as a plugin sees it, without its operations.
    pub fn view(&self) -> Fragment<'_> {
        Fragment {
            trace_id: self.trace_id,
            span_count: self.span_count,
            starts: self.starts,
            durations: self.durations,
            terms: &self.terms,
            operations: &[],
            digest: &self.digest,
            otlp: &self.otlp,
        }
    }
}
