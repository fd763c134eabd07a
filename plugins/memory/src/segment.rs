//! Segments of some thousand consecutively written fragments: records, bytes, and the index of their terms.

#![expect(
    clippy::indexing_slicing,
    reason = "ordinals are those that the segment gave out"
)]

use larder_plugin::{DurationRange, Error, Fragment, Part, TimeRange, TraceId};

use crate::handle::{Handle, Key};
use crate::index::{OpenIndex, Scratch, SealedIndex};
use crate::limits::{Shape, heap};
use crate::payload::{Packer, Payload, Place, UnpackedBlock};

/// A fragment without its terms and bytes.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) trace_id: TraceId,
    /// The first fragment of its trace; itself, if it is the first.
    pub(crate) first: Handle,
    /// The trace's next fragment; itself, if it is the last.
    pub(crate) next: Handle,
    /// In a trace's first fragment: the trace's last.
    pub(crate) last: Handle,
    pub(crate) starts: TimeRange,
    pub(crate) durations: DurationRange,
    pub(crate) span_count: u32,
    /// In a trace's first fragment: the trace's extent.
    pub(crate) extent: Extent,
    /// The end of its operations in the segment's list.
    operations_end: u32,
    digest: Place,
    otlp: Place,
}

/// The extent of a trace. The second of its first write stands beside the tag, where it takes no memory of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// All of it is stored, and it may grow.
    Whole {
        /// The time of its first write, in seconds since the Unix epoch.
        written: u32,
        /// The bytes of its digests and spans, unpacked.
        bytes: u64,
    },
    /// Only its beginning is stored, and it does not grow any more.
    Cut {
        /// As for a whole one.
        written: u32,
        /// The number of spans that were dropped.
        dropped: u64,
    },
}

/// Consecutively written fragments.
#[derive(Debug)]
pub(crate) struct Segment {
    number: u64,
    records: Vec<Record>,
    operations: Vec<u32>,
    digests: Payload,
    otlp: Payload,
    index: Index,
    /// The keys of its newest and oldest fragment, and its earliest start.
    bounds: Option<(Key, Key, u64)>,
}

/// Memory in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sizes {
    /// All memory, bytes.
    pub(crate) all: usize,
    /// Bytes that could be packed.
    pub(crate) unpacked: usize,
}

/// The index of a segment's terms.
#[derive(Debug)]
pub(crate) enum Index {
    /// The segment is open.
    Open(OpenIndex),
    /// The segment is closed.
    Sealed(SealedIndex),
}

// === impl Record ===

impl Record {
    /// Returns the bytes of its digest and its spans, unpacked.
    pub(crate) fn bytes(&self) -> u64 {
        self.digest.len() + self.otlp.len()
    }

    /// Returns the number of spans that were dropped, if this is the first fragment of a trace that was cut.
    pub(crate) fn dropped_spans(&self) -> u64 {
        match self.extent {
            Extent::Whole { .. } => 0,
            Extent::Cut { dropped, .. } => dropped,
        }
    }

    /// Returns the time at which this fragment was written, in seconds, if it is the first of its trace.
    pub(crate) fn written(&self) -> u32 {
        match self.extent {
            Extent::Whole { written, .. } | Extent::Cut { written, .. } => written,
        }
    }
}

// === impl Segment ===

impl Segment {
    /// Creates an empty segment.
    pub(crate) fn new(number: u64, shape: &Shape) -> Self {
        Self {
            number,
            records: Vec::with_capacity(shape.fragments),
            operations: Vec::new(),
            digests: Payload::default(),
            otlp: Payload::default(),
            index: Index::Open(OpenIndex::with_capacity(shape.fragments, shape.terms)),
            bounds: None,
        }
    }

    /// Returns the memory of a new segment, bytes.
    pub(crate) fn empty_bytes(shape: &Shape) -> usize {
        let record = size_of::<Record>() + size_of::<u32>();
        heap(shape.fragments * record) + heap(shape.terms * size_of::<u32>())
    }

    /// Returns the memory in use.
    pub(crate) fn sizes(&self) -> Sizes {
        let index = match &self.index {
            Index::Open(open) => open.bytes(),
            Index::Sealed(sealed) => sealed.bytes(),
        };
        let all = heap(self.records.capacity() * size_of::<Record>())
            + heap(self.operations.capacity() * size_of::<u32>())
            + self.digests.bytes()
            + self.otlp.bytes()
            + index;
        let unpacked = self.otlp.unpacked();
        Sizes { all, unpacked }
    }

    /// Returns the memory that this fragment may take in addition, bytes.
    pub(crate) fn growth(&self, fragment: &Fragment<'_>, shape: &Shape) -> usize {
        let operations = self.operations.len() + fragment.operations.len();
        let operations = if operations > self.operations.capacity() {
            heap(2 * operations * size_of::<u32>())
        } else {
            0
        };
        // A fragment with more terms than a segment may have gets a segment of its own.
        let terms = if fragment.terms.len() > shape.terms {
            2 * heap(fragment.terms.len() * size_of::<u32>())
        } else {
            0
        };
        self.digests.growth(fragment.digest.len(), shape.block)
            + self.otlp.growth(fragment.otlp.len(), shape.block)
            + operations
            + terms
    }

    /// Returns true if this fragment needs a new segment.
    pub(crate) fn is_full(&self, fragment: &Fragment<'_>, shape: &Shape) -> bool {
        match &self.index {
            Index::Sealed(_) => true,
            Index::Open(open) => {
                let terms = open.len() + fragment.terms.len();
                self.records.len() == shape.fragments
                    || (terms > shape.terms && !self.records.is_empty())
            }
        }
    }

    /// Appends a fragment, written at this second: as the last one of the trace whose first fragment is `first`, or as the first of a new trace.
    pub(crate) fn push(
        &mut self,
        (written, fragment): (u32, &Fragment<'_>),
        first: Option<Handle>,
        operations: impl Iterator<Item = u32>,
        shape: &Shape,
    ) -> Handle {
        let ordinal = self.len();
        let handle = Handle::new(self.number, ordinal);
        self.operations.extend(operations);
        if let Index::Open(open) = &mut self.index {
            open.push(fragment.terms);
        }
        let key = Key {
            end: fragment.starts.end,
            handle,
        };
        let start = fragment.starts.start;
        self.bounds = Some(self.bounds.map_or((key, key, start), |bounds| {
            let (newest, oldest, earliest) = bounds;
            (newest.max(key), oldest.min(key), earliest.min(start))
        }));
        #[expect(clippy::cast_possible_truncation, reason = "memory holds fewer")]
        let operations_end = self.operations.len() as u32;
        let bytes = fragment.digest.len() + fragment.otlp.len();
        self.records.push(Record {
            trace_id: fragment.trace_id,
            first: first.unwrap_or(handle),
            next: handle,
            last: handle,
            starts: fragment.starts,
            durations: fragment.durations,
            span_count: fragment.span_count,
            extent: Extent::Whole {
                written,
                bytes: bytes as u64,
            },
            operations_end,
            digest: self.digests.push(fragment.digest, ordinal, shape.block),
            otlp: self.otlp.push(fragment.otlp, ordinal, shape.block),
        });
        handle
    }

    /// Returns the memory that [`Segment::seal`] may take in addition, bytes.
    pub(crate) fn sealing_growth(&self, scratch: &Scratch) -> usize {
        match &self.index {
            Index::Open(open) => SealedIndex::growth(open) + scratch.growth(open.len()),
            Index::Sealed(_) => 0,
        }
    }

    /// Closes the segment and sorts its terms.
    pub(crate) fn seal(&mut self, scratch: &mut Scratch) {
        let Index::Open(open) = &self.index else {
            return;
        };
        let mut order: Vec<u16> = (0..self.len()).collect();
        order.sort_unstable_by(|a, b| self.key(*a).newest_first(&self.key(*b)));
        self.index = Index::Sealed(SealedIndex::new(open, order, scratch));
        self.records.shrink_to_fit();
        self.operations.shrink_to_fit();
        self.digests.close();
        self.otlp.close();
    }

    /// Frees the bytes of a fragment of an evicted trace. All traces whose first fragment precedes `alive` are evicted.
    pub(crate) fn release(&mut self, ordinal: u16, alive: Handle, packer: &mut Packer) {
        let fragments = self.len();
        let record = &self.records[usize::from(ordinal)];
        let (digest, otlp) = (record.digest, record.otlp);
        if let Some(block) = self.digests.release(digest, fragments) {
            let alive = self.records[block]
                .iter_mut()
                .filter(|it| it.first >= alive);
            self.digests.compact(alive.map(|it| &mut it.digest), packer);
        }
        if let Some(block) = self.otlp.release(otlp, fragments) {
            let alive = self.records[block]
                .iter_mut()
                .filter(|it| it.first >= alive);
            self.otlp.compact(alive.map(|it| &mut it.otlp), packer);
        }
    }

    /// Returns the number of fragments, dead ones included.
    pub(crate) fn len(&self) -> u16 {
        #[expect(clippy::cast_possible_truncation, reason = "a shape allows 4096")]
        let len = self.records.len() as u16;
        len
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    pub(crate) fn index(&self) -> &Index {
        &self.index
    }

    /// Returns the keys of its newest and oldest fragment, and its earliest start; `None` while it is empty.
    pub(crate) fn bounds(&self) -> Option<(Key, Key, u64)> {
        self.bounds
    }

    pub(crate) fn get(&self, ordinal: u16) -> Option<&Record> {
        self.records.get(usize::from(ordinal))
    }

    pub(crate) fn record(&self, ordinal: u16) -> &Record {
        &self.records[usize::from(ordinal)]
    }

    pub(crate) fn record_mut(&mut self, ordinal: u16) -> &mut Record {
        &mut self.records[usize::from(ordinal)]
    }

    pub(crate) fn key(&self, ordinal: u16) -> Key {
        Key {
            end: self.record(ordinal).starts.end,
            handle: Handle::new(self.number, ordinal),
        }
    }

    /// Returns the operations of a fragment, by number.
    pub(crate) fn operations(&self, ordinal: u16) -> &[u32] {
        let end = self.record(ordinal).operations_end;
        let before = ordinal.checked_sub(1);
        let start = before.map_or(0, |before| self.record(before).operations_end);
        &self.operations[start as usize..end as usize]
    }

    /// Returns one part of a live fragment. Digests are never packed, because a search reads many of them.
    ///
    /// Raises `data-loss` if it cannot be unpacked.
    pub(crate) fn bytes_of<'a>(
        &'a self,
        ordinal: u16,
        part: Part,
        opened: &'a mut UnpackedBlock,
    ) -> Result<&'a [u8], Error> {
        let record = self.record(ordinal);
        match part {
            Part::Digest => self.digests.get(record.digest, self.number, opened),
            Part::Otlp => self.otlp.get(record.otlp, self.number, opened),
        }
    }

    /// Packs the oldest block of `otlp` that is not packed. Returns false if there is none.
    pub(crate) fn pack(&mut self, packer: &mut Packer) -> bool {
        self.otlp.pack(packer)
    }
}

// === impl Sizes ===

impl Sizes {
    /// Applies the change of a part's size.
    pub(crate) fn change(&mut self, before: Self, after: Self) {
        self.all = self.all + after.all - before.all;
        self.unpacked = self.unpacked + after.unpacked - before.unpacked;
    }
}
