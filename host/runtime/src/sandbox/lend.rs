//! Batches as the guest's `write` takes them: the large lists are lent as they are, only the short ones are made anew.

use larder_model::storage::Batch;

use super::bindings::exports::larder::storage::writer;
use super::convert;

/// The lists of one batch that have another form in the contract.
pub(crate) struct Lent<'a> {
    batch: &'a Batch,
    services: Vec<&'a str>,
    operations: Vec<writer::BatchOperation>,
    fragments: Vec<writer::Fragment>,
}

// === impl Lent ===

impl<'a> Lent<'a> {
    pub(crate) fn new(batch: &'a Batch) -> Self {
        let operations = batch.batch_operations().iter();
        let operations = operations.map(|operation| writer::BatchOperation {
            service: operation.service,
            name_end: operation.name_end,
            kind: convert::kind(operation.kind),
        });
        let fragments = batch.facts().map(|(facts, ends)| writer::Fragment {
            trace_id: convert::trace_id(facts.trace_id),
            span_count: facts.span_count,
            starts: convert::starts(facts.starts),
            durations: convert::durations(facts.durations),
            terms_end: ends.terms,
            operations_end: ends.operations,
            digest_end: ends.digest,
            otlp_end: ends.otlp,
        });
        Self {
            batch,
            services: batch.services().iter().map(String::as_str).collect(),
            operations: operations.collect(),
            fragments: fragments.collect(),
        }
    }

    pub(crate) fn batch(&self) -> writer::Batch<'_> {
        writer::Batch {
            services: &self.services,
            operations: &self.operations,
            names: self.batch.names(),
            fragments: &self.fragments,
            terms: self.batch.terms(),
            fragment_operations: self.batch.fragment_operations(),
            digests: self.batch.digests(),
            otlp: self.batch.otlp(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing, reason = "tests")]

    use super::*;
    use crate::test_support::batch;

    #[test]
    fn large_lists_are_lent_as_they_are() {
        let batch = batch(7, b"spans");
        let lent = Lent::new(&batch);
        let lent = lent.batch();
        assert_eq!(lent.otlp.as_ptr(), batch.otlp().as_ptr());
        assert_eq!(lent.terms.as_ptr(), batch.terms().as_ptr());
        assert_eq!(lent.services, ["service"]);
        assert_eq!(lent.names, "name");
        assert_eq!(lent.operations[0].name_end, 4);
        assert_eq!(lent.fragments[0].trace_id.low, 7);
        assert_eq!(lent.fragments[0].otlp_end, 5);
    }
}
