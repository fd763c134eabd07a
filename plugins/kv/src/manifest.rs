//! The stamp and the manifest: values in a writer's head through which all its other values are found.

use larder_plugin::Timestamp;

use crate::codec::{Damaged, Input, put_varint};
use crate::segment::Segment;

/// A writer's progress. It is small, as each of its commits changes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// The number of times that an instance was opened to write under this id.
    pub(crate) generation: u64,
    /// The number of changes to the manifest.
    pub(crate) epoch: u64,
    /// The sequence number of the next entry.
    pub(crate) next: u64,
}

/// A writer's buckets and segments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Manifest {
    /// The epoch of the stamp that was committed with it.
    pub(crate) epoch: u64,
    /// The writer's number, which its handles begin with.
    pub(crate) writer: u16,
    /// The sequence number of the first unsealed entry, and the number of that entry's first fragment.
    pub(crate) sealed: u64,
    pub(crate) fragments: u64,
    /// Buckets, the oldest first. A bucket without segments may be known by its entries alone.
    pub(crate) buckets: Vec<Bucket>,
}

/// Data that was written in one period and is dropped together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bucket {
    /// The number of its data partition.
    pub(crate) number: u64,
    /// Times at which it was opened and last written to, by the host's clock.
    pub(crate) opened: Timestamp,
    pub(crate) written: Timestamp,
    /// Spans in its segments.
    pub(crate) spans: u64,
    /// Bytes of their fragments, before compression.
    pub(crate) bytes: u64,
    /// Segments in the order written.
    pub(crate) segments: Vec<Segment>,
}

// === impl Stamp ===

impl Stamp {
    /// Appends the stamp.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        for number in [self.generation, self.epoch, self.next] {
            put_varint(out, number);
        }
    }

    /// Reads a stamp that [`Stamp::encode`] wrote.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Damaged> {
        let mut input = Input::new(bytes);
        Ok(Self {
            generation: input.varint()?,
            epoch: input.varint()?,
            next: input.varint()?,
        })
    }
}

// === impl Manifest ===

impl Manifest {
    /// Appends the manifest.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.epoch);
        put_varint(out, u64::from(self.writer));
        put_varint(out, self.sealed);
        put_varint(out, self.fragments);
        put_varint(out, self.buckets.len() as u64);
        for bucket in &self.buckets {
            put_varint(out, bucket.number);
            put_varint(out, bucket.opened);
            put_varint(out, bucket.written);
            put_varint(out, bucket.spans);
            put_varint(out, bucket.bytes);
            put_varint(out, bucket.segments.len() as u64);
            for segment in &bucket.segments {
                segment.encode(out);
            }
        }
    }

    /// Reads a manifest that [`Manifest::encode`] wrote.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Damaged> {
        let mut input = Input::new(bytes);
        let mut manifest = Self {
            epoch: input.varint()?,
            writer: u16::try_from(input.varint()?).map_err(|_| Damaged)?,
            sealed: input.varint()?,
            fragments: input.varint()?,
            buckets: Vec::new(),
        };
        for _ in 0..input.count()? {
            let mut bucket = Bucket {
                number: input.varint()?,
                opened: input.varint()?,
                written: input.varint()?,
                spans: input.varint()?,
                bytes: input.varint()?,
                segments: Vec::new(),
            };
            for _ in 0..input.count()? {
                bucket.segments.push(Segment::decode(&mut input)?);
            }
            manifest.buckets.push(bucket);
        }
        Ok(manifest)
    }

    /// The time that counts as that of the last write to the oldest bucket. One that is later than `now` is from a clock that was ahead:
    /// the bucket is then no younger than the first later one with a time that has passed.
    pub(crate) fn oldest_written(&self, now: Timestamp) -> Timestamp {
        let mut written = self.buckets.iter().map(|it| it.written);
        written.find(|it| *it <= now).unwrap_or(now)
    }

    /// Iterates over (bucket number, segment), in the order written.
    pub(crate) fn segments(&self) -> impl Iterator<Item = (u64, &Segment)> {
        self.buckets
            .iter()
            .flat_map(|bucket| bucket.segments.iter().map(|it| (bucket.number, it)))
    }
}
