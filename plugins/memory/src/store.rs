//! The store: segments in the order written, traces by id, and eviction to stay within the limits.
//!
//! A trace is as old as its first fragment, and the oldest trace is evicted first. So eviction is one handle that advances through
//! the segments: a fragment is live if its trace's first fragment is not before it. A segment wholly before the handle has no live
//! fragments and is dropped.
//!
//! One trace must not take the place of all others, nor evict itself. One that would take up more than a quarter of the store, or
//! that grows when it is the oldest of a full one, is cut: this fragment and all later ones of it are dropped, so that its beginning stays.
//! The number of spans dropped is kept with its first fragment, and is forgotten when the trace is evicted.

use std::collections::VecDeque;

use larder_plugin::{Batch, Counts, Error, Fragment, Timestamp, TraceId, log};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::handle::Handle;
use crate::index::Scratch;
use crate::limits::{Limits, Shape, heap};
use crate::operations::{HashedOperation, Operations};
use crate::payload::Packer;
use crate::segment::{Extent, Record, Segment, Sizes};
use crate::table::Table;

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// All data of an instance.
#[derive(Debug)]
pub(crate) struct Store {
    limits: Limits,
    shape: Shape,
    seed: u64,
    /// Never empty; new fragments go to the last.
    segments: VecDeque<Segment>,
    /// Memory of the segments.
    sizes: Sizes,
    /// The bytes of all live digests and spans, unpacked.
    payload: u64,
    /// The first fragment of the oldest trace; if there is none, the end of the last segment.
    oldest: Handle,
    /// The segment with the oldest unpacked bytes.
    packing: u64,
    /// The handle of each trace's first fragment, by trace id.
    traces: Table,
    operations: Operations,
    scratch: Scratch,
    packer: Packer,
    counts: Counts,
}

/// The reason why a trace must not grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    /// It was cut before.
    Cut,
    /// It would take up more than its share.
    Share,
    /// The store is full, and no trace is older.
    Oldest,
}

/// One trace may take up `max_bytes` divided by this, with everything packed.
const SHARES: u128 = 4;

// === impl Store ===

impl Store {
    /// Creates an empty store.
    pub(crate) fn new(limits: Limits, seed: u64) -> Self {
        let shape = Shape::new(limits.max_bytes);
        // Handles of an earlier instance, which the host may still use, must not match any here.
        let number = seed >> 33;
        let segment = Segment::new(number, &shape);
        Self {
            limits,
            shape,
            seed,
            sizes: segment.sizes(),
            payload: 0,
            segments: VecDeque::from([segment]),
            oldest: Handle::new(number, 0),
            packing: number,
            traces: Table::default(),
            operations: Operations::new(seed),
            scratch: Scratch::default(),
            packer: Packer::default(),
            counts: Counts::default(),
        }
    }

    /// Stores batches, after making room for them. Of a trace that must not grow any more the fragments are dropped and counted.
    ///
    /// Raises `invalid-argument` for an operation that a batch does not have, and `resource-exhausted` for a fragment that
    /// would take up more than a quarter of the store; nothing is stored then.
    pub(crate) fn write(&mut self, now: Timestamp, batches: &[Batch]) -> Result<(), Error> {
        for batch in batches {
            self.check(batch)?;
        }
        let now = u32::try_from(now / NANOS_PER_SECOND).unwrap_or(u32::MAX);
        for batch in batches {
            let operations: Vec<_> = self.operations.hashed(batch).collect();
            // The write holds a reference to each, so that evictions cannot remove an operation that the batch still needs.
            let mut numbers = vec![None; operations.len()];
            for fragment in batch.fragments() {
                self.push((now, &fragment), &operations, &mut numbers);
            }
            for number in numbers.into_iter().flatten() {
                self.operations.release(number);
            }
        }
        while self.sizes.unpacked > self.limits.unpacked_bytes && self.pack_oldest() {}
        Ok(())
    }

    fn check(&self, batch: &Batch) -> Result<(), Error> {
        let known = batch.operations.len();
        for fragment in batch.fragments() {
            if fragment.operations.iter().any(|it| *it as usize >= known) {
                return Err(Error::InvalidArgument(format!(
                    "a fragment of trace {:016x}{:016x} has an operation that its batch of {known} does not have",
                    fragment.trace_id.high, fragment.trace_id.low,
                )));
            }
            let bytes = fragment.digest.len() + fragment.otlp.len() + 16 * fragment.terms.len();
            if bytes > self.limits.max_bytes / 4 {
                return Err(Error::ResourceExhausted(format!(
                    "a fragment of {bytes} bytes is more than a quarter of the setting `max_bytes`, which is {}",
                    self.limits.max_bytes
                )));
            }
        }
        Ok(())
    }

    fn push(
        &mut self,
        (now, fragment): (u32, &Fragment<'_>),
        operations: &[HashedOperation<'_>],
        numbers: &mut [Option<u32>],
    ) {
        let id = fragment.trace_id;
        let first = self.first_of(id);
        let new = fragment.operations.iter().filter_map(|it| {
            let at = *it as usize;
            let known = numbers.get(at).is_some_and(Option::is_some);
            operations.get(at).filter(|_| !known)
        });
        if let Err(stop) = self.prepare(fragment, first, new) {
            if let Some(first) = first {
                self.cut(first, fragment, stop);
            }
            return;
        }
        if first.is_none() && self.counts.traces >= self.limits.max_traces {
            self.evict_oldest();
        }
        self.counts.spans += u64::from(fragment.span_count);
        let payload = (fragment.digest.len() + fragment.otlp.len()) as u64;
        self.payload += payload;

        let counted = &mut self.operations;
        let acquired = fragment.operations.iter().filter_map(|it| {
            let at = *it as usize;
            let number = numbers.get_mut(at)?;
            let known = match *number {
                Some(known) => known,
                None => *number.insert(counted.acquire(operations.get(at)?)),
            };
            counted.refer(known);
            Some(known)
        });
        let Some(active) = self.segments.back_mut() else {
            return;
        };
        let before = active.sizes();
        let handle = active.push((now, fragment), first, acquired, &self.shape);
        self.sizes.change(before, active.sizes());

        if let Some(first) = first {
            let before = self.record_mut(first).map(|it| {
                if let Extent::Whole { bytes, .. } = &mut it.extent {
                    *bytes += payload;
                }
                std::mem::replace(&mut it.last, handle)
            });
            if let Some(record) = before.and_then(|last| self.record_mut(last)) {
                record.next = handle;
            }
        } else {
            self.counts.traces += 1;
            let (seed, segments) = (self.seed, &self.segments);
            self.traces
                .insert(hash(seed, id), handle.number(), |number| {
                    hash_of(seed, segments, number)
                });
        }
    }

    /// Makes room for a fragment, of the trace that begins at `first` or of a new one. Fails if the trace must not grow by it.
    fn prepare<'a>(
        &mut self,
        fragment: &Fragment<'_>,
        first: Option<Handle>,
        new_operations: impl Iterator<Item = &'a HashedOperation<'a>>,
    ) -> Result<(), Stop> {
        if let Some(first) = first {
            self.check_share(first, fragment)?;
        }
        if self.active().is_full(fragment, &self.shape) {
            self.seal(first)?;
        }
        let growth = self.operations.growth(new_operations);
        let growth = growth + self.active().growth(fragment, &self.shape);
        self.make_room(growth, first)
    }

    /// Checks that a trace stays within its share when this fragment is added. Packs the oldest unpacked blocks before it fails.
    fn check_share(&mut self, first: Handle, fragment: &Fragment<'_>) -> Result<(), Stop> {
        let extent = self.get(first).map(|(_, record)| record.extent);
        let Some(Extent::Whole { bytes, .. }) = extent else {
            return Err(Stop::Cut);
        };
        let more = fragment.digest.len() + fragment.otlp.len();
        let (own, all) = (bytes + more as u64, self.payload + more as u64);
        loop {
            // Traces share blocks and indexes, so each counts with the part of the memory that it has of the payload.
            let used = self.bytes() - self.scratch.bytes() - self.packer.bytes() + more;
            let taken = used as u128 * u128::from(own) * SHARES;
            if taken <= self.limits.max_bytes as u128 * u128::from(all) {
                return Ok(());
            }
            if !self.pack_oldest() {
                return Err(Stop::Share);
            }
        }
    }

    /// Drops a fragment of the trace that begins at `first`. The first one that is dropped is logged.
    fn cut(&mut self, first: Handle, fragment: &Fragment<'_>, stop: Stop) {
        let spans = u64::from(fragment.span_count);
        self.counts.evicted_spans += spans;
        let Some(record) = self.record_mut(first) else {
            return;
        };
        let dropped = record.dropped_spans() + spans;
        let written = record.written();
        record.extent = Extent::Cut { written, dropped };
        let reason = match stop {
            Stop::Cut => return,
            Stop::Share => "it takes up a quarter of `max_bytes`",
            Stop::Oldest => "the store is full and has no older one",
        };
        let TraceId { high, low } = fragment.trace_id;
        log::warn(&format!(
            "trace {high:016x}{low:016x} is cut, as {reason}: its beginning stays, and later spans of it are dropped"
        ));
    }

    /// Returns the memory in use, bytes; `max_bytes` limits it.
    pub(crate) fn bytes(&self) -> usize {
        self.sizes.all
            + heap(self.segments.capacity() * size_of::<Segment>())
            + self.traces.bytes()
            + self.operations.bytes()
            + self.scratch.bytes()
            + self.packer.bytes()
    }

    /// Counts stored and evicted spans and bytes. An empty store reports 0 bytes, though some memory is always in use.
    pub(crate) fn counts(&self) -> Counts {
        let oldest = self.get(self.oldest);
        let written = oldest.map(|(_, record)| u64::from(record.written()));
        Counts {
            oldest_write: written.map(|seconds| seconds * NANOS_PER_SECOND),
            bytes: if self.counts.traces == 0 {
                0
            } else {
                self.bytes() as u64
            },
            ..self.counts
        }
    }

    pub(crate) fn operations(&self) -> &Operations {
        &self.operations
    }

    pub(crate) fn segments(&self) -> impl Iterator<Item = &Segment> {
        self.segments.iter()
    }

    /// Returns true if the trace of this fragment has not been evicted.
    pub(crate) fn is_alive(&self, record: &Record) -> bool {
        record.first >= self.oldest
    }

    /// Returns the segment and the record of a live fragment.
    pub(crate) fn get(&self, handle: Handle) -> Option<(&Segment, &Record)> {
        let segment = self.segments.get(self.place_of(handle)?)?;
        let record = segment.get(handle.ordinal())?;
        self.is_alive(record).then_some((segment, record))
    }

    /// Returns the first fragment of a trace.
    pub(crate) fn first_of(&self, id: TraceId) -> Option<Handle> {
        let is = |number| {
            let handle = Handle::from_number(number);
            self.get(handle)
                .is_some_and(|(_, record)| record.trace_id == id)
        };
        let number = self.traces.find(hash(self.seed, id), is)?;
        Some(Handle::from_number(number))
    }

    // The segment that accepts writes.
    #[expect(clippy::expect_used, reason = "there is always one")]
    fn active(&self) -> &Segment {
        self.segments.back().expect("invariant: never empty")
    }

    fn place_of(&self, handle: Handle) -> Option<usize> {
        let front = self.segments.front()?.number();
        usize::try_from(handle.segment().checked_sub(front)?).ok()
    }

    fn record_mut(&mut self, handle: Handle) -> Option<&mut Record> {
        let place = self.place_of(handle)?;
        let segment = self.segments.get_mut(place)?;
        (handle.ordinal() < segment.len()).then(|| segment.record_mut(handle.ordinal()))
    }

    /// Closes the last segment and begins a new one, for a fragment of the trace that begins at `first`. Fails as `make_room` does.
    fn seal(&mut self, first: Option<Handle>) -> Result<(), Stop> {
        let segments = self.segments.capacity() * size_of::<Segment>();
        let growth = self.active().sealing_growth(&self.scratch)
            + Segment::empty_bytes(&self.shape)
            + if self.segments.len() == self.segments.capacity() {
                2 * segments
            } else {
                0
            };
        self.make_room(growth, first)?;
        if let Some(active) = self.segments.back_mut() {
            let before = active.sizes();
            active.seal(&mut self.scratch);
            self.sizes.change(before, active.sizes());
            let number = active.number() + 1;
            self.begin(number);
        }
        self.skip_dead();
        Ok(())
    }

    fn begin(&mut self, number: u64) {
        let segment = Segment::new(number, &self.shape);
        self.sizes.change(Sizes::default(), segment.sizes());
        self.segments.push_back(segment);
    }

    /// Packs the oldest unpacked blocks, and then evicts, until `growth` more bytes fit. Fails before it evicts the trace that begins at
    /// `growing`, for which the room is.
    fn make_room(&mut self, growth: usize, growing: Option<Handle>) -> Result<(), Stop> {
        let over = |store: &Self| {
            let more = growth + store.traces.growth(1) + store.packer.growth();
            store.bytes() + more > store.limits.max_bytes
        };
        while over(self) {
            if self.pack_oldest() {
                continue;
            }
            if growing == Some(self.oldest) {
                return Err(Stop::Oldest);
            }
            if !self.evict_oldest() {
                break;
            }
        }
        Ok(())
    }

    /// Packs the oldest unpacked block. Returns false if there is none.
    fn pack_oldest(&mut self) -> bool {
        let front = self.segments.front().map_or(0, Segment::number);
        self.packing = self.packing.max(front);
        let place = usize::try_from(self.packing - front).unwrap_or(usize::MAX);
        for segment in self.segments.range_mut(place.min(self.segments.len())..) {
            self.packing = segment.number();
            let before = segment.sizes();
            if segment.pack(&mut self.packer) {
                self.sizes.change(before, segment.sizes());
                return true;
            }
        }
        false
    }

    /// Evicts the oldest trace; if there is none, drops the remains of evicted ones. Returns false if there are none either.
    fn evict_oldest(&mut self) -> bool {
        let Some((_, record)) = self.get(self.oldest) else {
            let number = self.active().number();
            if self.active().len() == 0 {
                return false;
            }
            self.oldest = Handle::new(number + 1, 0);
            self.begin(number + 1);
            self.skip_dead();
            return true;
        };
        let first = self.oldest;
        let id = record.trace_id;
        let (seed, segments) = (self.seed, &self.segments);
        let is = |number| number == first.number();
        self.traces
            .remove(hash(seed, id), is, |number| hash_of(seed, segments, number));

        self.counts.traces -= 1;
        self.counts.evicted_traces += 1;
        self.oldest = first.next();
        let mut next = Some(first);
        while let Some(handle) = next {
            next = self.release(handle);
        }
        self.skip_dead();
        true
    }

    /// Frees a fragment, and returns the next one of its trace.
    fn release(&mut self, handle: Handle) -> Option<Handle> {
        let place = self.place_of(handle)?;
        let segment = self.segments.get_mut(place)?;
        for number in segment.operations(handle.ordinal()) {
            self.operations.release(*number);
        }
        let before = segment.sizes();
        segment.release(handle.ordinal(), self.oldest, &mut self.packer);
        self.sizes.change(before, segment.sizes());
        let record = segment.record(handle.ordinal());
        self.payload -= record.bytes();
        let spans = u64::from(record.span_count);
        self.counts.spans -= spans;
        self.counts.evicted_spans += spans;
        (record.next != handle).then_some(record.next)
    }

    /// Advances `oldest` to a trace's first fragment, and drops the segments before it.
    fn skip_dead(&mut self) {
        while let Some(front) = self.segments.front() {
            if front.number() == self.oldest.segment() {
                match front.get(self.oldest.ordinal()) {
                    Some(record) if record.first == self.oldest => return,
                    Some(_) => {
                        self.oldest = self.oldest.next();
                        continue;
                    }
                    None => {}
                }
            }
            if self.segments.len() == 1 {
                return;
            }
            self.sizes.change(front.sizes(), Sizes::default());
            self.oldest = self.oldest.max(Handle::new(front.number() + 1, 0));
            self.segments.pop_front();
        }
    }
}

fn hash(seed: u64, id: TraceId) -> u64 {
    xxh3_64_with_seed(&u128::from(id).to_ne_bytes(), seed)
}

fn hash_of(seed: u64, segments: &VecDeque<Segment>, number: u64) -> u64 {
    let handle = Handle::from_number(number);
    let front = segments.front().map_or(0, Segment::number);
    let place = usize::try_from(handle.segment() - front).unwrap_or(usize::MAX);
    let record = segments.get(place).and_then(|it| it.get(handle.ordinal()));
    record.map_or(0, |record| hash(seed, record.trace_id))
}
