//! The plain list that a plugin is compared with.

use std::collections::BTreeSet;

use crate::{Batch, Fragment, Operation, Search, TraceId};

/// What a plugin holds, as a list of fragments in the order written.
#[derive(Clone, Debug, Default)]
pub struct Stored {
    fragments: Vec<(Fragment, Vec<Operation>)>,
}

// === impl Stored ===

impl Stored {
    /// Takes up one fragment of a batch.
    pub fn push(&mut self, fragment: &Fragment, batch: &Batch) {
        let operations = fragment.operations.iter().filter_map(|index| {
            let operation = batch.operations.get(usize::try_from(*index).ok()?)?;
            Some(operation.clone())
        });
        let operations = operations.collect();
        self.fragments.push((fragment.clone(), operations));
    }

    /// Forgets the trace that was first written before all others; tells how many spans it had.
    pub fn evict_oldest(&mut self) -> u64 {
        let Some(oldest) = self.fragments().next().map(|fragment| fragment.trace_id) else {
            return 0;
        };
        let spans = self.of_trace(oldest).map(|it| u64::from(it.span_count));
        let spans = spans.sum();
        self.fragments.retain(|(it, _)| it.trace_id != oldest);
        spans
    }

    /// All fragments, in the order written.
    pub fn fragments(&self) -> impl Iterator<Item = &Fragment> {
        self.fragments.iter().map(|(fragment, _)| fragment)
    }

    /// The fragments of one trace, in the order written.
    pub fn of_trace(&self, id: TraceId) -> impl Iterator<Item = &Fragment> {
        self.fragments().filter(move |it| it.trace_id == id)
    }

    /// The fragments that a search must find.
    pub fn matching(&self, search: &Search) -> impl Iterator<Item = &Fragment> {
        self.fragments().filter(|it| search.admits(it))
    }

    /// The ids of all traces.
    pub fn traces(&self) -> BTreeSet<TraceId> {
        self.fragments().map(|it| it.trace_id).collect()
    }

    /// How many spans there are.
    pub fn spans(&self) -> u64 {
        self.fragments().map(|it| u64::from(it.span_count)).sum()
    }

    /// The operations of all fragments, sorted, each once.
    pub fn operations(&self) -> BTreeSet<Operation> {
        self.fragments
            .iter()
            .flat_map(|(_, operations)| operations)
            .cloned()
            .collect()
    }
}
