//! Several batches as one guest write: their buffers are lent as they are, only the lists of operations are merged.

use hashbrown::HashMap;

use super::bindings::exports::larder::storage::writer;
use super::bindings::larder::storage::types;
use super::convert;
use crate::storage::{Batch, Operation};

/// The operations of all batches, each once, and every fragment's operations as indices into them.
pub(super) struct Operations<'a> {
    merged: Vec<types::OperationParam<'a>>,
    /// The fragments' indices one after the other, where they differ from the batches' own.
    indices: Option<Vec<u32>>,
}

impl<'a> Operations<'a> {
    pub(super) fn merge(batches: &[&'a Batch]) -> Self {
        if let [only] = batches {
            return Self {
                merged: only.operations().iter().map(convert::operation).collect(),
                indices: None,
            };
        }
        let mut places = HashMap::<&Operation, u32>::new();
        let mut merged = Vec::new();
        let mut indices = Vec::new();
        let mut of_batch = Vec::new();
        for batch in batches {
            of_batch.clear();
            of_batch.extend(batch.operations().iter().map(|operation| {
                *places.entry(operation).or_insert_with(|| {
                    merged.push(convert::operation(operation));
                    // A joined write has far fewer operations than bytes, and fewer bytes than 4 GiB.
                    u32::try_from(merged.len() - 1).unwrap_or(u32::MAX)
                })
            }));
            for fragment in batch.fragments() {
                indices.extend(fragment.operations.iter().map(|index| {
                    // An index beyond its batch's list stays beyond the merged one.
                    of_batch.get(*index as usize).copied().unwrap_or(u32::MAX)
                }));
            }
        }
        Self {
            merged,
            indices: Some(indices),
        }
    }

    pub(super) fn merged(&self) -> &[types::OperationParam<'a>] {
        &self.merged
    }

    /// All fragments of the batches that were merged, in order.
    pub(super) fn fragments<'b>(&'b self, batches: &[&'b Batch]) -> Vec<writer::Fragment<'b>> {
        let count = batches.iter().map(|batch| batch.len()).sum();
        let mut fragments = Vec::with_capacity(count);
        let mut rest = self.indices.as_deref();
        for fragment in batches.iter().flat_map(|batch| batch.fragments()) {
            let operations = match &mut rest {
                None => fragment.operations,
                Some(rest) => {
                    let (own, later) = rest.split_at(fragment.operations.len().min(rest.len()));
                    *rest = later;
                    own
                }
            };
            let facts = fragment.facts;
            fragments.push(writer::Fragment {
                trace_id: convert::trace_id(facts.trace_id),
                span_count: facts.span_count,
                starts: convert::starts(facts.starts),
                durations: convert::durations(facts.durations),
                terms: fragment.terms,
                operations,
                digest: fragment.digest,
                otlp: fragment.otlp,
            });
        }
        fragments
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing, reason = "tests")]

    use super::*;
    use crate::plugin::test_support::{batch, batch_with};

    #[test]
    fn one_batch_is_lent_as_it_is() {
        let batch = batch(7, b"spans");
        let batches = [&batch];
        let operations = Operations::merge(&batches);
        let fragments = operations.fragments(&batches);
        assert_eq!(fragments.len(), 1);
        assert_eq!(fragments[0].trace_id.low, 7);
        let lent = batch
            .fragments()
            .next()
            .map(|fragment| fragment.otlp.as_ptr());
        assert_eq!(Some(fragments[0].otlp.as_ptr()), lent);
        assert_eq!(operations.merged().len(), 1);
    }

    #[test]
    fn joined_batches_share_one_list_of_operations() {
        let (a, b, c) = (
            batch_with(1, b"a", "x"),
            batch_with(2, b"b", "y"),
            batch_with(3, b"c", "x"),
        );
        let batches = [&a, &b, &c];
        let operations = Operations::merge(&batches);
        let services: Vec<_> = operations
            .merged()
            .iter()
            .map(|each| each.service)
            .collect();
        assert_eq!(services, ["x", "y"]);
        let fragments = operations.fragments(&batches);
        let indices: Vec<_> = fragments
            .iter()
            .map(|fragment| fragment.operations)
            .collect();
        assert_eq!(indices, [&[0], &[1], &[0]]);
        let ids: Vec<_> = fragments
            .iter()
            .map(|fragment| fragment.trace_id.low)
            .collect();
        assert_eq!(ids, [1, 2, 3]);
    }
}
