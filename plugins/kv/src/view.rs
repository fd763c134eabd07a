//! An instance's view of one writer's fragments.
//!
//! A view follows the writer through its head alone: the stamp tells if there is anything new, the manifest lists the segments, and
//! entries hold the fragments that are in no segment yet. All other values are immutable.

mod entries;
mod head;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

use larder_plugin::{Error, Timestamp, kv, log};

use crate::cache::Value;
use crate::codec::Damaged;
use crate::entry::Entry;
use crate::frame::{self, Area, Fault, Kind};
use crate::manifest::{Bucket, Manifest, Stamp};
use crate::segment::{Header, Segment};
use crate::store::{Store, Writer, lost};

use head::Head;

pub(crate) use entries::encode_place;
pub(crate) use head::follow_all;

/// The number of attempts to read a head that changes meanwhile.
const TRIES: usize = 100;

/// One writer's fragments.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) writer: Writer,
    pub(crate) stamp: Stamp,
    pub(crate) manifest: Manifest,
    /// Every segment with its bucket, in the order written.
    pub(crate) segments: Vec<(u64, Segment)>,
    headers: BTreeMap<u64, Rc<Header>>,
    /// Entries in the order written.
    pub(crate) entries: VecDeque<Entry>,
    /// Sequence numbers of entries that cannot be read.
    pub(crate) lost: Vec<u64>,
    /// Partitions that the manifest no longer names; the caches may still have values of them.
    pub(crate) removed: Vec<Area>,
    /// The writer has dropped its oldest bucket, since this was last set to false.
    pub(crate) has_dropped: bool,
}

/// Reads one value of a head; `None` if there is none.
fn read_one(key: kv::Key) -> Result<Option<Vec<u8>>, Error> {
    Ok(kv::get(&[key])?.pop().flatten())
}

// === impl View ===

impl View {
    /// Creates the view of a writer, before its head is read.
    pub(crate) fn new(id: &str) -> Self {
        Self {
            writer: Writer {
                id: id.into(),
                number: 0,
            },
            stamp: Stamp::default(),
            manifest: Manifest::default(),
            segments: Vec::new(),
            headers: BTreeMap::new(),
            entries: VecDeque::new(),
            lost: Vec::new(),
            removed: Vec::new(),
            has_dropped: false,
        }
    }

    /// Returns the key of the stamp.
    pub(crate) fn stamp_key(id: &str) -> kv::Key {
        frame::key(id, Area::Head, Kind::Stamp, 0)
    }

    /// Returns the key of the manifest.
    fn manifest_key(&self) -> kv::Key {
        frame::key(&self.writer.id, Area::Head, Kind::Manifest, 0)
    }

    /// Reads the writer's new writes, given its current stamp; `None` for a writer without one.
    pub(crate) fn follow(&mut self, stamp: Option<Vec<u8>>) -> Result<(), Error> {
        self.follow_from(Head {
            stamp,
            ..Head::default()
        })
    }

    /// Reads the writer's new writes, given what has been read of its head.
    fn follow_from(&mut self, mut head: Head) -> Result<(), Error> {
        let mut before = None;
        for _ in 0..TRIES {
            let Some(value) = head.stamp.take() else {
                return self.check_unwritten(head.manifest);
            };
            let now = self.root(Kind::Stamp, &value, Stamp::decode)?;
            if now == self.stamp || self.take_in(now, before == Some(now), head)? {
                return Ok(());
            }
            before = Some(now);
            head = Head {
                stamp: read_one(Self::stamp_key(&self.writer.id))?,
                ..Head::default()
            };
        }
        Err(Error::Unavailable(
            "the head changes faster than it can be read".to_owned(),
        ))
    }

    /// Checks that a writer without a stamp has no manifest either.
    fn check_unwritten(&self, manifest: Option<Vec<u8>>) -> Result<(), Error> {
        let manifest = match manifest {
            Some(manifest) => manifest,
            None => read_one(self.manifest_key())?.unwrap_or_default(),
        };
        if manifest.is_empty() {
            return Ok(());
        }
        self.root(Kind::Stamp, &[], Stamp::decode).map(|_| ())
    }

    /// Returns the sequence number after that of the last entry that it has or knows to be lost.
    fn next_entry(&self) -> u64 {
        let last = self.entries.back().map_or(0, |it| it.sequence + 1);
        last.max(self.lost.last().map_or(0, |it| it + 1))
            .max(self.manifest.sealed)
    }

    /// Reads the values that a stamp refers to. Returns false if some are missing because the head has changed since. If the stamp has
    /// `stayed` the same, missing values are lost.
    fn take_in(&mut self, now: Stamp, stayed: bool, head: Head) -> Result<bool, Error> {
        if now.epoch != self.stamp.epoch || now.generation != self.stamp.generation {
            let value = match head.manifest {
                Some(manifest) => manifest,
                None => read_one(self.manifest_key())?.unwrap_or_default(),
            };
            let manifest = self.root(Kind::Manifest, &value, Manifest::decode)?;
            if manifest.epoch != now.epoch {
                return Ok(false);
            }
            if now.generation != self.stamp.generation {
                // The host may have lost entries that this instance saw; the present ones can differ.
                self.entries.clear();
                self.lost.clear();
            }
            self.set_manifest(manifest);
        }
        let from = self.next_entry();
        if !self.read_entries(from..now.next, stayed, head.entries)? {
            return Ok(false);
        }
        self.stamp = now;
        Ok(true)
    }

    /// Replaces the manifest, and drops the segments that it no longer names.
    pub(crate) fn set_manifest(&mut self, manifest: Manifest) {
        self.writer.number = manifest.writer;
        let oldest = self.oldest_bucket();
        let is_kept = |it: &Bucket| manifest.buckets.iter().any(|kept| kept.number == it.number);
        let buckets = self.manifest.buckets.iter().filter(|it| !is_kept(it));
        self.removed.extend(buckets.map(|it| Area::Data(it.number)));
        let before = std::mem::take(&mut self.segments);
        self.segments = manifest.segments().map(|(b, it)| (b, *it)).collect();
        let kept: BTreeSet<u64> = self.segments.iter().map(|(_, it)| it.number).collect();
        self.headers.retain(|number, _| kept.contains(number));
        let segments = before.iter().filter(|(_, it)| !kept.contains(&it.number));
        self.removed
            .extend(segments.map(|(_, it)| Area::Index(it.number)));
        while self
            .entries
            .front()
            .is_some_and(|it| it.sequence < manifest.sealed)
        {
            self.entries.pop_front();
        }
        self.lost.retain(|sequence| *sequence >= manifest.sealed);
        self.manifest = manifest;
        self.has_dropped |= oldest.is_some() && self.oldest_bucket() != oldest;
    }

    /// Returns the number of the oldest bucket, which may be known by its entries alone.
    fn oldest_bucket(&self) -> Option<u64> {
        let sealed = self.manifest.buckets.first().map(|it| it.number);
        sealed.or_else(|| Some(self.entries.front()?.head.bucket))
    }

    /// Returns the partitions of which the caches may have values.
    pub(crate) fn areas(&self) -> Vec<Area> {
        let buckets = self.manifest.buckets.iter().map(|it| it.number);
        let buckets = buckets.chain(self.entries.iter().map(|it| it.head.bucket));
        let segments = self.segments.iter().map(|(_, it)| it.number);
        let named = buckets.map(Area::Data).chain(segments.map(Area::Index));
        named.chain(self.removed.iter().copied()).collect()
    }

    /// Returns when the writer opened the oldest bucket that has anything; `None` if nothing is stored. A time that is later than `now` is
    /// from a clock that was ahead: the bucket is then no younger than the first later one with a time that has passed.
    pub(crate) fn oldest(&self, now: Timestamp) -> Option<Timestamp> {
        let buckets = self.manifest.buckets.iter().map(|it| it.opened);
        let mut opened = buckets.chain(self.entries.iter().map(|it| it.head.opened));
        let first = opened.next()?;
        let passed = std::iter::once(first).chain(opened).find(|it| *it <= now);
        Some(passed.unwrap_or(now))
    }

    /// Reads a value that everything else depends on. A value of a newer version is refused as such.
    fn root<T>(
        &self,
        kind: Kind,
        value: &[u8],
        decode: impl Fn(&[u8]) -> Result<T, Damaged>,
    ) -> Result<T, Error> {
        let failed = |fault| match frame::lost(&self.writer.id, Area::Head, kind, 0, fault) {
            Error::DataLoss(text) if matches!(fault, Fault::Newer(_)) => Error::Other(format!(
                "this store was written by a newer version of the kv plugin: {text}"
            )),
            error => error,
        };
        let payload = frame::open(kind, Area::Head, 0, value).map_err(failed);
        let decoded =
            payload.and_then(|payload| decode(payload).map_err(|_| failed(Fault::Damaged)));
        if let Err(Error::DataLoss(text) | Error::Other(text)) = &decoded {
            log::error(text);
        }
        decoded
    }

    /// Returns the number of headers in memory.
    #[cfg(test)]
    pub(crate) fn headers_len(&self) -> usize {
        self.headers.len()
    }

    /// Returns the header of a segment.
    pub(crate) fn header(&mut self, segment: u64) -> Result<Rc<Header>, Error> {
        if let Some(header) = self.headers.get(&segment) {
            return Ok(Rc::clone(header));
        }
        let value = Store::load(&self.writer, Area::Index(segment), Kind::Header, 0)?;
        self.keep_header(segment, &value)
    }

    /// Like [`View::header`], from what was read ahead.
    pub(crate) fn header_from(
        &mut self,
        store: &mut Store,
        segment: &Segment,
    ) -> Result<Rc<Header>, Error> {
        if let Some(header) = self.headers.get(&segment.number) {
            return Ok(Rc::clone(header));
        }
        let at = (Area::Index(segment.number), Kind::Header, 0);
        store.expect(&self.writer, at, segment.header_bytes());
        let value = store.read_once(&self.writer, at)?;
        self.keep_header(segment.number, &value)
    }

    fn keep_header(&mut self, segment: u64, value: &Value) -> Result<Rc<Header>, Error> {
        let area = Area::Index(segment);
        let header = Header::decode(value.payload())
            .map_err(|_| lost(&self.writer, area, Kind::Header, 0, Fault::Damaged))?;
        let header = Rc::new(header);
        self.headers.insert(segment, Rc::clone(&header));
        Ok(header)
    }

    /// Returns the segment that has the fragment with this number, and its bucket.
    pub(crate) fn segment_of(&self, fragment: u64) -> Option<(u64, Segment)> {
        let at = self
            .segments
            .partition_point(|(_, it)| it.first <= fragment);
        let found = *self.segments.get(at.checked_sub(1)?)?;
        (fragment < found.1.end).then_some(found)
    }

    /// Returns the entry that has the fragment with this number.
    pub(crate) fn entry_of(&self, fragment: u64) -> Option<&Entry> {
        let at = self.entries.partition_point(|it| it.head.first <= fragment);
        let entry = self.entries.get(at.checked_sub(1)?)?;
        (fragment < entry.end()).then_some(entry)
    }

    /// Raises `data-loss` while there are unreadable entries, because a search cannot know their contents.
    pub(crate) fn check_lost(&self) -> Result<(), Error> {
        match self.lost.first() {
            None => Ok(()),
            Some(sequence) => Err(self.entry_lost(*sequence)),
        }
    }

    /// Returns the error for a head that is missing while other data of the writer is there.
    pub(crate) fn head_lost(&self) -> Error {
        let error = frame::lost(&self.writer.id, Area::Head, Kind::Stamp, 0, Fault::Damaged);
        if let Error::DataLoss(text) = &error {
            log::error(text);
        }
        error
    }

    /// Returns the error for an entry that cannot be read.
    pub(crate) fn entry_lost(&self, sequence: u64) -> Error {
        let (id, fault) = (&self.writer.id, Fault::Damaged);
        frame::lost(id, Area::Head, Kind::Entry, sequence, fault)
    }
}
