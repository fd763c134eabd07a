//! Writing: blocks and large entries are put first, and one commit refers to all of them.

use larder_plugin::kv::{self, Change, Entry as KvEntry};
use larder_plugin::{Batch, Error, Fragment, Part, Timestamp};

use crate::blocks::{BlockWriter, Numbers};
use crate::cache::Value;
use crate::entry::{self, Entry, Head, NewEntry};
use crate::frame::{self, Area, Kind};
use crate::limits::{Limits, Shape};
use crate::manifest::Stamp;
use crate::operations::{self, SeenOperations};
use crate::store::{Objects, Writer, put_pieces};
use crate::table::{Located, Place, Row};
use crate::view::{View, encode_place};

/// The state of a writing instance besides its view.
#[derive(Debug)]
pub(crate) struct Writing {
    pub(crate) numbers: Numbers,
    pub(crate) seen: SeenOperations,
    /// The open bucket; `None` until the next write opens one.
    pub(crate) bucket: Option<Current>,
    /// The partition of entries that are too large for the head.
    pub(crate) entries: u64,
    /// Estimated bytes in `kv` per byte written, in 256ths.
    pub(crate) ratio: u64,
    /// The outcome of the last commit is unknown, so the head has to be read again.
    pub(crate) stale: bool,
}

/// The open bucket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Current {
    pub(crate) number: u64,
    pub(crate) opened: Timestamp,
    /// Bytes written to it, before compression.
    pub(crate) bytes: u64,
}

// === impl Writing ===

impl Writing {
    /// Stores all batches, or none.
    pub(crate) fn write(
        &mut self,
        view: &mut View,
        (limits, shape): (&Limits, &Shape),
        now: Timestamp,
        batches: &[Batch],
    ) -> Result<(), Error> {
        let fragments: Vec<Fragment<'_>> = batches.iter().flat_map(Batch::fragments).collect();
        if fragments.is_empty() {
            return Ok(());
        }
        let bucket = self.bucket_at(limits, now);
        let operations = self.new_operations(batches);
        let mut objects = Objects::default();
        let writer = view.writer.clone();
        let written = self
            .put_blocks(&writer, shape, &fragments, &mut objects)
            .and_then(|rows| {
                let first = view
                    .entries
                    .back()
                    .map_or(view.manifest.fragments, Entry::end);
                let head = Head {
                    written: now,
                    bucket: bucket.number,
                    opened: bucket.opened,
                    first,
                };
                self.put_entries(view, shape, (head, fragments, rows, operations), objects)
            });
        match written {
            Ok(entries) => {
                let bytes: u64 = entries.iter().map(|it| it.bytes).sum();
                if let Some(bucket) = &mut self.bucket {
                    bucket.bytes += bytes;
                }
                view.stamp.next += entries.len() as u64;
                view.entries.extend(entries);
                Ok(())
            }
            Err(error) => {
                self.seen.clear();
                self.stale = true;
                // Objects with the next sequence numbers may exist already.
                self.entries = self.numbers.next();
                Err(error)
            }
        }
    }

    /// Returns the bucket to write to: a new one if the last has reached its age or size.
    fn bucket_at(&mut self, limits: &Limits, now: Timestamp) -> Current {
        self.close_bucket(limits, now);
        // Opened by a clock that was ahead: by its age alone it would stay open until that time.
        let latest = now.saturating_add(limits.bucket_time());
        self.bucket = self.bucket.filter(|bucket| bucket.opened < latest);
        if let Some(bucket) = self.bucket {
            return bucket;
        }
        let bucket = Current {
            number: self.numbers.next(),
            opened: now,
            bytes: 0,
        };
        self.seen.clear();
        self.bucket = Some(bucket);
        bucket
    }

    /// Closes the current bucket if it has reached its age or size.
    pub(crate) fn close_bucket(&mut self, limits: &Limits, now: Timestamp) {
        self.bucket = self.bucket.filter(|bucket| {
            let full = limits.bucket_bytes().is_some_and(|most| {
                let stored = u128::from(bucket.bytes) * u128::from(self.ratio) / 256;
                stored >= u128::from(most)
            });
            !full && now.saturating_sub(bucket.opened) < limits.bucket_time()
        });
    }

    /// Returns the encoded operations that the bucket does not have yet.
    fn new_operations(&mut self, batches: &[Batch]) -> Vec<u8> {
        let mut out = Vec::new();
        for batch in batches {
            self.seen.begin(&batch.services);
            for operation in batch.operations() {
                if self.seen.is_new(&operation) {
                    operations::encode(&operation, &mut out);
                }
            }
        }
        out
    }

    /// Puts the parts that are large enough for blocks; returns a row for each fragment.
    fn put_blocks(
        &mut self,
        writer: &Writer,
        shape: &Shape,
        fragments: &[Fragment<'_>],
        objects: &mut Objects,
    ) -> Result<Vec<Located>, Error> {
        let bucket = self.bucket.map_or(0, |it| it.number);
        let blocks = |part, total: usize| {
            (total >= shape.inline).then(|| BlockWriter::new(part, bucket, total, shape.block))
        };
        let mut digests = blocks(
            Part::Digest,
            fragments.iter().map(|it| it.digest.len()).sum(),
        );
        let mut otlp = blocks(Part::Otlp, fragments.iter().map(|it| it.otlp.len()).sum());
        let mut rows = Vec::with_capacity(fragments.len());
        let mut push = |blocks: &mut Option<BlockWriter>, bytes: &[u8]| match blocks {
            Some(blocks) => blocks.push(bytes, &mut self.numbers, writer, objects),
            None => Ok(Place::new(0, 0, bytes.len())),
        };
        for fragment in fragments {
            rows.push(Located {
                row: Row {
                    trace_id: fragment.trace_id,
                    starts: fragment.starts,
                    durations: fragment.durations,
                    spans: fragment.span_count,
                },
                digest: push(&mut digests, fragment.digest)?,
                otlp: push(&mut otlp, fragment.otlp)?,
            });
        }
        for blocks in [&mut digests, &mut otlp].into_iter().flatten() {
            blocks.end(writer, objects)?;
        }
        Ok(rows)
    }

    /// Commits the rows as entries, and returns those.
    fn put_entries(
        &mut self,
        view: &View,
        shape: &Shape,
        (mut head, fragments, mut rows, mut operations): (
            Head,
            Vec<Fragment<'_>>,
            Vec<Located>,
            Vec<u8>,
        ),
        mut objects: Objects,
    ) -> Result<Vec<Entry>, Error> {
        let lengths = entry_lengths(shape, &fragments, &rows, operations.len());
        let inline: usize = lengths.iter().map(|(_, bytes)| bytes).sum();
        let number = (inline > shape.committed).then_some(self.entries);
        let area = number.map_or(Area::Head, Area::Entries);
        let id = &view.writer.id;
        let mut values = Vec::with_capacity(lengths.len());
        let (mut fragments, mut rows) = (fragments.as_slice(), rows.as_mut_slice());
        let mut sequence = view.stamp.next;
        for (len, _) in lengths {
            let (these, rest) = fragments.split_at_checked(len).unwrap_or((fragments, &[]));
            let (of_these, others) = std::mem::take(&mut rows)
                .split_at_mut_checked(len)
                .unwrap_or_default();
            (fragments, rows) = (rest, others);
            values.push(entry::encode(NewEntry {
                area,
                sequence,
                head,
                fragments: these,
                rows: of_these,
                operations: &std::mem::take(&mut operations),
            }));
            head.first += len as u64;
            sequence += 1;
        }
        objects.flush()?;
        let mut changes = Vec::with_capacity(values.len() + 1);
        for (sequence, value) in (view.stamp.next..).zip(&mut values) {
            let value = match number {
                None => std::mem::take(value),
                Some(number) => {
                    let pieces = put_pieces(id, (area, Kind::Entry, sequence), value)?;
                    encode_place(sequence, number, pieces)
                }
            };
            changes.push(Change::Put(KvEntry {
                sort: frame::sort(Kind::Entry, sequence),
                value,
            }));
        }
        let stamp = Stamp {
            next: sequence,
            ..view.stamp
        };
        changes.push(put_stamp(&stamp));
        kv::commit(&Area::Head.name(id), &changes)?;
        let mut entries = Vec::with_capacity(values.len());
        let values = values.into_iter().zip(changes);
        for (sequence, (value, change)) in (view.stamp.next..).zip(values) {
            let value = match change {
                Change::Put(entry) if number.is_none() => entry.value,
                _ => value,
            };
            let value = Value::new(value);
            let entry = Entry::parse(sequence, value, number);
            entries.push(entry.map_err(|_| Error::Other("an entry does not read".to_owned()))?);
        }
        Ok(entries)
    }
}

/// Returns the change that sets the stamp.
pub(crate) fn put_stamp(stamp: &Stamp) -> Change {
    let mut payload = Vec::new();
    stamp.encode(&mut payload);
    Change::Put(KvEntry {
        sort: frame::sort(Kind::Stamp, 0),
        value: frame::value(Kind::Stamp, Area::Head, 0, &payload),
    })
}

/// Returns the number of fragments of each entry of a write, and its approximate bytes.
fn entry_lengths(
    shape: &Shape,
    fragments: &[Fragment<'_>],
    rows: &[Located],
    operations: usize,
) -> Vec<(usize, usize)> {
    let (most_fragments, most_bytes) = shape.entry;
    let mut lengths = Vec::new();
    let (mut len, mut bytes) = (0, 256 + operations);
    for (fragment, row) in fragments.iter().zip(rows) {
        let mut more = 56 + fragment.terms.len() * 4;
        for (place, part) in [(row.digest, fragment.digest), (row.otlp, fragment.otlp)] {
            if place.block == 0 {
                more += part.len();
            }
        }
        if len > 0 && (len == most_fragments || bytes + more > most_bytes) {
            lengths.push((len, bytes));
            (len, bytes) = (0, 256);
        }
        len += 1;
        bytes += more;
    }
    lengths.push((len, bytes));
    lengths
}
