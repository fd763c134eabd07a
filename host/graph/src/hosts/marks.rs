//! The marks of one host, as they are durable.
//!
//! | key | value: a frame (version 1) of |
//! |---|---|
//! | `h` | series: 8; 1 if all that the host has ever written was marked in this series, else 0 |
//! | `o`, bucket: 4 | number, time of the first write: varints |
//! | `l`, trace id: 16, bucket: 4 | number, time of the first write: varints |
//! | `d` | number, the time before which something may be gone, the time of the oldest write plus one or 0: varints; 1 while upkeep is under way, else 0 |
//! | `z` | the stamp, another one with each commit: which process wrote it: 8; the next number, the latest time of a write: varints |
//!
//! Numbers grow from commit to commit.

use std::collections::BTreeMap;

use hashbrown::HashMap;
use larder_model::storage::{Error, ErrorKind, KeepChange, TraceId};

use crate::bucket::Bucket;
use crate::codec::{self, Damaged, Reading};

const VERSION: u8 = 1;
const HEAD: &[u8] = b"h";
const DROPS: &[u8] = b"d";
/// Key of the stamp: the last of all.
pub(crate) const STAMP: &[u8] = b"z";

/// What a host has marked.
#[derive(Clone, Debug, Default)]
pub(crate) struct HostMarks {
    /// `None` for a host that marks nothing.
    pub(crate) head: Option<Head>,
    pub(crate) opens: BTreeMap<Bucket, Open>,
    /// By the trace and the bucket that was written into.
    pub(crate) late: HashMap<(TraceId, Bucket), Late>,
    pub(crate) drops: HostDrops,
}

/// The head of a series of marks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) series: u64,
    /// True if all that the host has ever written was marked in this series.
    pub(crate) is_whole: bool,
}

/// A bucket that the host writes into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Open {
    pub(crate) number: u64,
    /// The time of the first write.
    pub(crate) at: u64,
}

/// A trace that the host has written into a bucket that may be settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Late {
    pub(crate) number: u64,
    pub(crate) at: u64,
}

/// What retention has taken of the host's data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct HostDrops {
    pub(crate) number: u64,
    /// Something that the host wrote before this time may be gone.
    pub(crate) before: u64,
    /// Nothing of the host's that is stored was written before this time.
    pub(crate) oldest: Option<u64>,
    /// More may be gone, and it is not known yet what.
    pub(crate) is_under_way: bool,
}

/// Changes with each commit of marks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) process: u64,
    pub(crate) next: u64,
    /// The latest time of a write that was marked.
    pub(crate) latest: u64,
}

pub(crate) fn put_head(head: Head) -> KeepChange {
    let value = codec::seal(VERSION, 0, |bytes| {
        bytes.extend_from_slice(&head.series.to_be_bytes());
        bytes.push(u8::from(head.is_whole));
    });
    KeepChange::Put(HEAD.to_vec(), value)
}

pub(crate) fn open_key(bucket: Bucket) -> Vec<u8> {
    [b"o", &bucket.0.to_be_bytes()[..]].concat()
}

pub(crate) fn put_open(bucket: Bucket, open: Open) -> KeepChange {
    let value = codec::seal(VERSION, u64::from(bucket.0), |bytes| {
        codec::put(bytes, open.number);
        codec::put(bytes, open.at);
    });
    KeepChange::Put(open_key(bucket), value)
}

pub(crate) fn late_key((id, bucket): (TraceId, Bucket)) -> Vec<u8> {
    [b"l", &id.to_bytes()[..], &bucket.0.to_be_bytes()].concat()
}

pub(crate) fn put_late(of: (TraceId, Bucket), late: Late) -> KeepChange {
    let value = codec::seal(VERSION, u64::from(of.1.0), |bytes| {
        codec::put(bytes, late.number);
        codec::put(bytes, late.at);
    });
    KeepChange::Put(late_key(of), value)
}

pub(crate) fn put_drops(drops: HostDrops) -> KeepChange {
    let value = codec::seal(VERSION, 0, |bytes| {
        codec::put(bytes, drops.number);
        codec::put(bytes, drops.before);
        codec::put(bytes, drops.oldest.map_or(0, |it| it.saturating_add(1)));
        bytes.push(u8::from(drops.is_under_way));
    });
    KeepChange::Put(DROPS.to_vec(), value)
}

pub(crate) fn put_stamp(stamp: Stamp) -> KeepChange {
    let value = codec::seal(VERSION, 0, |bytes| {
        bytes.extend_from_slice(&stamp.process.to_be_bytes());
        codec::put(bytes, stamp.next);
        codec::put(bytes, stamp.latest);
    });
    KeepChange::Put(STAMP.to_vec(), value)
}

pub(crate) fn decode_stamp(value: &[u8]) -> Result<Stamp, Damaged> {
    let mut reading = codec::open(value, VERSION, 0)?;
    let stamp = Stamp {
        process: u64::from_be_bytes(reading.array()?),
        next: reading.number()?,
        latest: reading.number()?,
    };
    reading.end()?;
    Ok(stamp)
}

/// The error for marks that are damaged.
pub(crate) fn damaged(Damaged(what): Damaged) -> Error {
    Error::new(
        ErrorKind::DataLoss,
        format!("the marks of a host of the service graph cannot be read back: {what}"),
    )
}

// === impl HostMarks ===

impl HostMarks {
    /// Takes an entry over that was read back. Those of other kinds are left out.
    pub(crate) fn read(&mut self, key: &[u8], value: &[u8]) -> Result<(), Damaged> {
        match key.split_first() {
            Some((b'o', bucket)) => {
                let bucket = bucket
                    .try_into()
                    .map_err(|_| Damaged("a key is malformed"))?;
                let bucket = Bucket(u32::from_be_bytes(bucket));
                let mut reading = codec::open(value, VERSION, u64::from(bucket.0))?;
                let (number, at) = (reading.number()?, reading.number()?);
                reading.end()?;
                self.opens.insert(bucket, Open { number, at });
            }
            Some((b'l', of)) => {
                let mut of = Reading::of(of);
                let id = TraceId(u128::from_be_bytes(of.array()?));
                let bucket = Bucket(u32::from_be_bytes(of.array()?));
                of.end()?;
                let mut reading = codec::open(value, VERSION, u64::from(bucket.0))?;
                let late = Late {
                    number: reading.number()?,
                    at: reading.number()?,
                };
                reading.end()?;
                self.late.insert((id, bucket), late);
            }
            _ if key == HEAD => {
                let mut reading = codec::open(value, VERSION, 0)?;
                self.head = Some(Head {
                    series: u64::from_be_bytes(reading.array()?),
                    is_whole: flag(&mut reading)?,
                });
                reading.end()?;
            }
            _ if key == DROPS => {
                let mut reading = codec::open(value, VERSION, 0)?;
                self.drops = HostDrops {
                    number: reading.number()?,
                    before: reading.number()?,
                    oldest: reading.number()?.checked_sub(1),
                    is_under_way: flag(&mut reading)?,
                };
                reading.end()?;
            }
            _ => {}
        }
        Ok(())
    }

    /// The greatest number of all marks.
    pub(crate) fn greatest_number(&self) -> u64 {
        let opens = self.opens.values().map(|it| it.number);
        opens.max().unwrap_or(0).max(self.last_number())
    }

    /// The greatest number of the marks that are taken together: late traces and drops.
    pub(crate) fn last_number(&self) -> u64 {
        let late = self.late.values().map(|it| it.number);
        late.chain([self.drops.number]).max().unwrap_or(0)
    }
}

fn flag(reading: &mut Reading<'_>) -> Result<bool, Damaged> {
    match reading.byte()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Damaged("a flag is neither set nor unset")),
    }
}
