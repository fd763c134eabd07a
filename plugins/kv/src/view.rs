//! One writer's fragments as an instance knows them, and how it learns of more.
//!
//! What a writer has written is seen through its head alone: the stamp tells whether there is anything new, the manifest names
//! segments, and entries are what is in none yet. All else never changes.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use larder_plugin::kv::{self, Direction, Entry as KvEntry, Range};
use larder_plugin::{Error, log};

use crate::cache::Value;
use crate::codec::{Damaged, Input, put_varint};
use crate::entry::Entry;
use crate::frame::{self, Area, Fault, Kind};
use crate::manifest::{Manifest, Stamp};
use crate::segment::{Header, Segment};
use crate::store::{Store, Writer, check, lost};

/// How often the head is read again where it changes while it is read.
const TRIES: usize = 100;
/// So many entries are asked for alone where a page of them cannot be read.
const ONE_BY_ONE: u64 = 64;
/// About how much of the head is scanned at a time.
const SCAN_BYTES: u32 = 2 << 20;

/// One writer's fragments.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) writer: Writer,
    pub(crate) stamp: Stamp,
    pub(crate) manifest: Manifest,
    /// Every segment with its bucket, in the order written.
    pub(crate) segments: Vec<(u64, Segment)>,
    headers: BTreeMap<u64, Rc<Header>>,
    /// In the order written.
    pub(crate) entries: VecDeque<Entry>,
    /// Entries that cannot be read, by sequence number.
    pub(crate) lost: Vec<u64>,
}

// === impl View ===

impl View {
    /// Of a writer that has written nothing that is known yet.
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
        }
    }

    /// The key of the stamp.
    pub(crate) fn stamp_key(id: &str) -> kv::Key {
        frame::key(id, Area::Head, Kind::Stamp, 0)
    }

    /// Takes in what has been written since, given the stamp as it is now; none for a writer that has none.
    pub(crate) fn follow(&mut self, stamp: Option<Vec<u8>>) -> Result<(), Error> {
        let mut stamp = stamp;
        let mut before = None;
        for _ in 0..TRIES {
            let Some(value) = stamp else {
                return self.check_unwritten();
            };
            let now = self.root(Kind::Stamp, &value, Stamp::decode)?;
            if now == self.stamp || self.take_in(now, before == Some(now))? {
                return Ok(());
            }
            before = Some(now);
            stamp = kv::get(&[Self::stamp_key(&self.writer.id)])?
                .pop()
                .flatten();
        }
        Err(Error::Unavailable(
            "the head changes faster than it can be read".to_owned(),
        ))
    }

    /// There is no stamp: so there must be no manifest either.
    fn check_unwritten(&self) -> Result<(), Error> {
        let key = frame::key(&self.writer.id, Area::Head, Kind::Manifest, 0);
        if kv::get(&[key])?.pop().flatten().is_none() {
            return Ok(());
        }
        self.root(Kind::Stamp, &[], Stamp::decode).map(|_| ())
    }

    /// Takes in what this stamp stands for. False if something of it is missing, which then has been changed in the meantime: if it
    /// has `stayed` as it was, what is missing is lost.
    fn take_in(&mut self, now: Stamp, stayed: bool) -> Result<bool, Error> {
        if now.epoch != self.stamp.epoch || now.generation != self.stamp.generation {
            let key = frame::key(&self.writer.id, Area::Head, Kind::Manifest, 0);
            let value = kv::get(&[key])?.pop().flatten().unwrap_or_default();
            let manifest = self.root(Kind::Manifest, &value, Manifest::decode)?;
            if manifest.epoch != now.epoch {
                return Ok(false);
            }
            if now.generation != self.stamp.generation {
                // What an instance saw that was lost with the host might not be what is there now.
                self.entries.clear();
                self.lost.clear();
            }
            self.set_manifest(manifest);
        }
        let last = self.entries.back().map_or(0, |it| it.sequence + 1);
        let from = last
            .max(self.lost.last().map_or(0, |it| it + 1))
            .max(self.manifest.sealed);
        if !self.read_entries(from, now.next, stayed)? {
            return Ok(false);
        }
        self.stamp = now;
        Ok(true)
    }

    /// Replaces the manifest, and forgets what is in it no more.
    pub(crate) fn set_manifest(&mut self, manifest: Manifest) {
        self.writer.number = manifest.writer;
        self.segments = manifest.segments().map(|(b, it)| (b, *it)).collect();
        let segments = &self.segments;
        self.headers
            .retain(|number, _| segments.iter().any(|(_, it)| it.number == *number));
        while self
            .entries
            .front()
            .is_some_and(|it| it.sequence < manifest.sealed)
        {
            self.entries.pop_front();
        }
        self.lost.retain(|sequence| *sequence >= manifest.sealed);
        self.manifest = manifest;
    }

    /// Reads the entries with these sequence numbers. False if one of them is there no more, unless it then is `lost`.
    fn read_entries(&mut self, from: u64, end: u64, lost: bool) -> Result<bool, Error> {
        let mut next = from;
        while next < end {
            let page = match self.scan(next, end) {
                Err(Error::DataLoss(_)) => {
                    // The host cannot read something on the page, and does not say what: it is found out one by one.
                    let to = end.min(next + ONE_BY_ONE);
                    while next < to {
                        if !self.read_entry(next, lost)? {
                            return Ok(false);
                        }
                        next += 1;
                    }
                    continue;
                }
                page => page?,
            };
            let mut found = Vec::with_capacity(page.len() + 1);
            for it in page {
                if let Ok(sequence) = frame::number_of(Kind::Entry, &it.sort) {
                    found.push((sequence, Some(it.value)));
                }
            }
            if found.is_empty() {
                found.push((end, None));
            }
            for (sequence, value) in found {
                if sequence > next && !lost {
                    return Ok(false);
                }
                for missing in next..sequence {
                    self.entry(missing, Vec::new()).err();
                    self.lost.push(missing);
                }
                next = sequence;
                let Some(value) = value else {
                    break;
                };
                self.push_entry(sequence, value)?;
                next += 1;
            }
        }
        Ok(true)
    }

    /// Reads one entry. False if it is there no more, unless it then is `lost`.
    fn read_entry(&mut self, sequence: u64, lost: bool) -> Result<bool, Error> {
        let key = frame::key(&self.writer.id, Area::Head, Kind::Entry, sequence);
        let value = match kv::get(&[key]) {
            Err(kv::Error::DataLoss(_)) => Some(Vec::new()),
            got => got?.pop().flatten(),
        };
        match value {
            None if !lost => return Ok(false),
            value => self.push_entry(sequence, value.unwrap_or_default())?,
        }
        Ok(true)
    }

    /// Takes in an entry, or that it cannot be read.
    fn push_entry(&mut self, sequence: u64, value: Vec<u8>) -> Result<(), Error> {
        match self.entry(sequence, value) {
            Ok(entry) => self.entries.push_back(entry),
            Err(Error::DataLoss(_)) => self.lost.push(sequence),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn scan(&self, from: u64, end: u64) -> Result<Vec<KvEntry>, Error> {
        let partition = Area::Head.name(&self.writer.id);
        let range = Range {
            start: frame::sort(Kind::Entry, from),
            end: Some(frame::sort(Kind::Entry, end)),
        };
        let page = kv::scan(&partition, &range, Direction::Ascending, 4096, SCAN_BYTES)?;
        Ok(page.entries)
    }

    /// The entry that is stored as this value in the head.
    fn entry(&self, sequence: u64, value: Vec<u8>) -> Result<Entry, Error> {
        let failed =
            |area| move |_| lost(&self.writer, area, Kind::Entry, sequence, Fault::Damaged);
        if value.first() != Some(&(Kind::EntryPlace as u8)) {
            let value = check(&self.writer, Area::Head, Kind::Entry, sequence, value)?;
            return Entry::parse(sequence, value, None).map_err(failed(Area::Head));
        }
        let place = check(&self.writer, Area::Head, Kind::EntryPlace, sequence, value)?;
        let (number, pieces) = decode_place(place.payload()).map_err(failed(Area::Head))?;
        let area = Area::Entries(number);
        let keys: Vec<_> = (0..pieces)
            .map(|piece| piece_key(&self.writer.id, area, sequence, piece))
            .collect();
        let mut value = Vec::new();
        for piece in kv::get(&keys)? {
            value.extend(piece.unwrap_or_default());
        }
        let value = check(&self.writer, area, Kind::Entry, sequence, value)?;
        Entry::parse(sequence, value, Some(number)).map_err(failed(area))
    }

    /// A value that everything else depends on. One of a newer build is refused as such.
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

    /// What has to be known to search a segment.
    pub(crate) fn header(&mut self, segment: u64) -> Result<Rc<Header>, Error> {
        if let Some(header) = self.headers.get(&segment) {
            return Ok(Rc::clone(header));
        }
        let area = Area::Index(segment);
        let value: Value = Store::load(&self.writer, area, Kind::Header, 0)?;
        let header = Header::decode(value.payload())
            .map_err(|_| lost(&self.writer, area, Kind::Header, 0, Fault::Damaged))?;
        let header = Rc::new(header);
        self.headers.insert(segment, Rc::clone(&header));
        Ok(header)
    }

    /// The place of the segment that has the fragment with this number.
    pub(crate) fn segment_of(&self, fragment: u64) -> Option<(u64, Segment)> {
        let at = self
            .segments
            .partition_point(|(_, it)| it.first <= fragment);
        let found = *self.segments.get(at.checked_sub(1)?)?;
        (fragment < found.1.end).then_some(found)
    }

    /// The place of the entry that has the fragment with this number.
    pub(crate) fn entry_of(&self, fragment: u64) -> Option<&Entry> {
        let at = self.entries.partition_point(|it| it.head.first <= fragment);
        let entry = self.entries.get(at.checked_sub(1)?)?;
        (fragment < entry.end()).then_some(entry)
    }

    /// Raises `data-loss` while there are entries that cannot be read, as a search cannot know what was in them.
    pub(crate) fn check_lost(&self) -> Result<(), Error> {
        match self.lost.first() {
            None => Ok(()),
            Some(sequence) => Err(self.entry_lost(*sequence)),
        }
    }

    /// The error for an entry that cannot be read.
    pub(crate) fn entry_lost(&self, sequence: u64) -> Error {
        let (id, fault) = (&self.writer.id, Fault::Damaged);
        frame::lost(id, Area::Head, Kind::Entry, sequence, fault)
    }
}

/// The key of a piece of an entry that is stored as objects.
pub(crate) fn piece_key(writer: &str, area: Area, sequence: u64, piece: u64) -> kv::Key {
    let mut key = frame::key(writer, area, Kind::Entry, sequence);
    key.sort.extend_from_slice(&piece.to_be_bytes());
    key
}

/// What stands in the head for an entry that is stored as so many pieces in the partition of this number.
pub(crate) fn encode_place(sequence: u64, number: u64, pieces: u64) -> Vec<u8> {
    let mut payload = Vec::new();
    put_varint(&mut payload, number);
    put_varint(&mut payload, pieces);
    frame::value(Kind::EntryPlace, Area::Head, sequence, &payload)
}

fn decode_place(payload: &[u8]) -> Result<(u64, u64), Damaged> {
    let mut input = Input::new(payload);
    let (number, pieces) = (input.varint()?, input.varint()?);
    // An entry is of what one call of `write` can carry.
    if pieces > 64 {
        return Err(Damaged);
    }
    Ok((number, pieces))
}
