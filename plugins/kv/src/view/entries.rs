//! Reads the entries of a writer's head: page by page, or one by one if a page cannot be read; large ones from their pieces.

use std::collections::BTreeMap;
use std::ops::Range as Sequences;

use larder_plugin::Error;
use larder_plugin::kv::{self, Direction, Entry as KvEntry, Range};

use super::View;
use crate::codec::{Damaged, Input, put_varint};
use crate::entry::Entry;
use crate::frame::{self, Area, Fault, Kind};
use crate::store::{MAX_PIECES, check, load_pieces, lost};

/// If a page cannot be read, this many entries are read one by one.
const ONE_BY_ONE: u64 = 64;
/// Approximate bytes of the head per scan.
const SCAN_BYTES: u32 = 2 << 20;

// === impl View ===

impl View {
    /// Reads the entries with these sequence numbers, unless they have been `read`. Returns false if one of them no longer exists, unless
    /// such entries are `lost`.
    pub(super) fn read_entries(
        &mut self,
        Sequences { start: from, end }: Sequences<u64>,
        lost: bool,
        mut read: BTreeMap<u64, Vec<u8>>,
    ) -> Result<bool, Error> {
        let mut next = from;
        while next < end {
            if let Some(value) = read.remove(&next) {
                self.push_entry(next, value)?;
                next += 1;
                continue;
            }
            let page = match self.scan(next, end) {
                Err(Error::DataLoss(_)) => {
                    // A value on the page is unreadable, and the host does not say which: read them one by one.
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

    /// Reads one entry. Returns false if it no longer exists, unless it then counts as `lost`.
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

    /// Adds an entry, or records that it cannot be read.
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

    /// Parses the entry that this value of the head holds or refers to.
    pub(crate) fn entry(&self, sequence: u64, value: Vec<u8>) -> Result<Entry, Error> {
        let failed =
            |area| move |_| lost(&self.writer, area, Kind::Entry, sequence, Fault::Damaged);
        if value.first() != Some(&(Kind::EntryPlace as u8)) {
            let value = check(&self.writer, Area::Head, Kind::Entry, sequence, value)?;
            return Entry::parse(sequence, value, None).map_err(failed(Area::Head));
        }
        let place = check(&self.writer, Area::Head, Kind::EntryPlace, sequence, value)?;
        let (number, pieces) = decode_place(place.payload()).map_err(failed(Area::Head))?;
        let area = Area::Entries(number);
        let value = load_pieces(&self.writer, area, Kind::Entry, sequence, pieces)?;
        let value = check(&self.writer, area, Kind::Entry, sequence, value)?;
        Entry::parse(sequence, value, Some(number)).map_err(failed(area))
    }
}

/// Encodes the reference to an entry that is stored as pieces in the partition of this number.
pub(crate) fn encode_place(sequence: u64, number: u64, pieces: u64) -> Vec<u8> {
    let mut payload = Vec::new();
    put_varint(&mut payload, number);
    put_varint(&mut payload, pieces);
    frame::value(Kind::EntryPlace, Area::Head, sequence, &payload)
}

fn decode_place(payload: &[u8]) -> Result<(u64, u64), Damaged> {
    let mut input = Input::new(payload);
    let (number, pieces) = (input.varint()?, input.varint()?);
    if pieces > MAX_PIECES {
        return Err(Damaged);
    }
    Ok((number, pieces))
}
