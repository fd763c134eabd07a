//! What a writer has: the values in its head by which everything else is found.

use larder_plugin::Timestamp;

use crate::codec::{Damaged, Input, put_varint};
use crate::segment::Segment;

/// How far a writer is: small, and changed by each of its commits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// How often an instance has been opened to write under this id.
    pub(crate) generation: u64,
    /// How often the manifest has been changed.
    pub(crate) epoch: u64,
    /// The sequence number of the next entry.
    pub(crate) next: u64,
}

/// What there is beside entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Manifest {
    /// As in the stamp that was committed with it.
    pub(crate) epoch: u64,
    /// The writer's number, which its handles begin with.
    pub(crate) writer: u16,
    /// The sequence number of the first entry that is not in a segment, and the number of that entry's first fragment.
    pub(crate) sealed: u64,
    pub(crate) fragments: u64,
    /// The oldest first. One that has no segment yet may be known by its entries alone.
    pub(crate) buckets: Vec<Bucket>,
}

/// What was written within some time, and is dropped together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bucket {
    /// The number of its partition of data.
    pub(crate) number: u64,
    /// When it was begun, and when it was last written to, by the host's clock.
    pub(crate) opened: Timestamp,
    pub(crate) written: Timestamp,
    /// Spans in its segments.
    pub(crate) spans: u64,
    /// Bytes of their fragments, before compression.
    pub(crate) bytes: u64,
    /// In the order written.
    pub(crate) segments: Vec<Segment>,
}

// === impl Stamp ===

impl Stamp {
    /// Appends it.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        for number in [self.generation, self.epoch, self.next] {
            put_varint(out, number);
        }
    }

    /// What [`Stamp::encode`] wrote.
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
    /// Appends it.
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

    /// What [`Manifest::encode`] wrote.
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

    /// Every segment with the number of its bucket, in the order written.
    pub(crate) fn segments(&self) -> impl Iterator<Item = (u64, &Segment)> {
        self.buckets
            .iter()
            .flat_map(|bucket| bucket.segments.iter().map(|it| (bucket.number, it)))
    }
}
