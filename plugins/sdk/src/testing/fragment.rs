//! Fragments for tests, by a few words each.

use std::fmt;

use crate::{
    Batch, DurationRange, Fragment, Operation, SpanKind, Term, TimeRange, Timestamp, TraceId,
};

/// A fragment in the making, with its operations by name instead of by index.
#[derive(Clone, PartialEq, Eq)]
pub struct FragmentBuilder {
    fragment: Fragment,
    operations: Vec<Operation>,
}

/// A fragment of this trace with one span, which starts at 0 and takes no time; to be changed by the methods.
pub fn fragment(trace_id: u128) -> FragmentBuilder {
    FragmentBuilder {
        fragment: Fragment {
            trace_id: TraceId::from(trace_id),
            span_count: 1,
            starts: TimeRange { start: 0, end: 0 },
            durations: DurationRange {
                shortest: 0,
                longest: 0,
            },
            terms: Vec::new(),
            operations: Vec::new(),
            digest: Vec::new(),
            otlp: Vec::new(),
        },
        operations: Vec::new(),
    }
}

/// A batch of these fragments, written at `now`.
pub fn batch(now: Timestamp, fragments: impl IntoIterator<Item = FragmentBuilder>) -> Batch {
    let mut batch = Batch {
        now,
        operations: Vec::new(),
        fragments: Vec::new(),
    };
    for mut builder in fragments {
        for operation in builder.operations {
            let known = batch.operations.iter().position(|it| *it == operation);
            let index = known.unwrap_or_else(|| {
                batch.operations.push(operation);
                batch.operations.len() - 1
            });
            let index = u32::try_from(index).unwrap_or(u32::MAX);
            if !builder.fragment.operations.contains(&index) {
                builder.fragment.operations.push(index);
            }
        }
        batch.fragments.push(builder.fragment);
    }
    batch
}

// === impl FragmentBuilder ===

impl FragmentBuilder {
    /// Its trace, where it shall be another.
    #[must_use]
    pub fn trace(mut self, trace_id: u128) -> Self {
        self.fragment.trace_id = TraceId::from(trace_id);
        self
    }

    /// The earliest and the latest start of its spans.
    #[must_use]
    pub fn starts(mut self, start: Timestamp, end: Timestamp) -> Self {
        self.fragment.starts = TimeRange { start, end };
        self
    }

    /// The shortest and the longest of its spans.
    #[must_use]
    pub fn durations(mut self, shortest: u64, longest: u64) -> Self {
        self.fragment.durations = DurationRange { shortest, longest };
        self
    }

    /// How many spans it has.
    #[must_use]
    pub fn spans(mut self, count: u32) -> Self {
        self.fragment.span_count = count;
        self
    }

    /// Its terms, in any order.
    #[must_use]
    pub fn terms(mut self, terms: impl IntoIterator<Item = Term>) -> Self {
        self.fragment.terms.extend(terms);
        self.fragment.terms.sort_unstable();
        self.fragment.terms.dedup();
        self
    }

    /// One more operation of its spans.
    #[must_use]
    pub fn operation(mut self, service: &str, name: &str, kind: SpanKind) -> Self {
        self.operations.push(Operation {
            service: service.to_owned(),
            name: name.to_owned(),
            kind,
        });
        self
    }

    /// Its digest.
    #[must_use]
    pub fn digest(mut self, digest: impl Into<Vec<u8>>) -> Self {
        self.fragment.digest = digest.into();
        self
    }

    /// Its `TracesData`, or bytes that stand for it.
    #[must_use]
    pub fn otlp(mut self, otlp: impl Into<Vec<u8>>) -> Self {
        self.fragment.otlp = otlp.into();
        self
    }

    pub(super) fn number(&mut self, number: u64) {
        let number = number.to_be_bytes();
        self.fragment.digest.splice(0..0, number);
        self.fragment.otlp.splice(0..0, number);
    }
}

/// The bytes of its digest and its `otlp` by their number, as a failing property test prints many of them.
impl fmt::Debug for FragmentBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let it = &self.fragment;
        write!(
            f,
            "fragment({}).starts({}, {}).durations({}, {}).spans({}).terms({:?}).digest({} bytes).otlp({} bytes)",
            u128::from(it.trace_id),
            it.starts.start,
            it.starts.end,
            it.durations.shortest,
            it.durations.longest,
            it.span_count,
            it.terms,
            it.digest.len(),
            it.otlp.len()
        )?;
        for Operation {
            service,
            name,
            kind,
        } in &self.operations
        {
            write!(f, ".operation({service:?}, {name:?}, {kind:?})")?;
        }
        Ok(())
    }
}
