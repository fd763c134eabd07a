//! The durable form of the state.
//!
//! | key | value: a frame (version 1) of |
//! |---|---|
//! | `head` | series: 8 bytes; frontier plus one, or 0; the time before which something may be gone: varints; `unmarked`, if there is one: varint |
//! | `clock` | a time that no write was later than, number of times that the clock went back: varints; of each the time of the first write after it and of the latest before it: varints |
//! | `b`, series: 8, bucket: 4 | first write, time of opening: varints; 0: open; 1: settled, then: needed write, rows, bytes, parts of the head: varints; name of the group, empty if it has no rows: length and text |
//! | `d`, series: 8, day: 4 | which records it has the sums of: 8; last end, rows, bytes, parts of the head: varints; name of the group: length and text |
//! | `l`, series: 8, trace id: 16 | the bucket that was written to: varint |
//!
//! Numbers in keys are big-endian. Entries of another series than that of the head are remains, and are removed. A release that does not
//! know `unmarked` takes a head with it for damaged, and begins anew. One that does not know days leaves their entries as they are, and
//! gives back their groups. So each tells the records it is of, and is believed only if they are the same. One that does not know `clock`
//! leaves it as it is.

use std::ops::RangeInclusive;
use std::sync::Arc;

use hashbrown::HashMap;
use larder_model::storage::{Error, ErrorKind, Keep, KeepChange, TraceId};
use xxhash_rust::xxh3::xxh3_64;

use crate::bucket::{Bucket, Day};
use crate::clock::WentBack;
use crate::codec::{self, Damaged};
use crate::state::{DaySums, Drops, Entry, Phase, Record, State, Stored};

const VERSION: u8 = 1;
const HEAD: &[u8] = b"head";
const CLOCK: &[u8] = b"clock";

/// A state that was read back.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) state: State,
    /// Keys of remains.
    pub(crate) remains: Vec<Vec<u8>>,
    /// False if there was no head.
    pub(crate) has_head: bool,
    /// What is known of the clock; `None` if nothing is.
    pub(crate) went_back: Option<WentBack>,
    /// Entries of other kinds.
    pub(crate) others: Pairs,
}

/// Key of a bucket.
pub(crate) fn bucket_key(series: u64, bucket: Bucket) -> Vec<u8> {
    key(b'b', series, &bucket.0.to_be_bytes())
}

/// The bucket of a key; `None` if it is another key.
pub(crate) fn bucket_of(key: &[u8], series: u64) -> Option<Bucket> {
    if key.first() != Some(&b'b') {
        return None;
    }
    let number = parse_key(key, series)?;
    Some(Bucket(u32::from_be_bytes(number)))
}

/// Key of a day.
pub(crate) fn day_key(series: u64, day: Day) -> Vec<u8> {
    key(b'd', series, &day.0.to_be_bytes())
}

/// Key of a late trace.
pub(crate) fn late_key(series: u64, id: TraceId) -> Vec<u8> {
    key(b'l', series, &id.to_bytes())
}

fn key(kind: u8, series: u64, number: &[u8]) -> Vec<u8> {
    [&[kind], &series.to_be_bytes()[..], number].concat()
}

/// Sets the head.
pub(crate) fn put_head(state: &State) -> KeepChange {
    let frontier = state.frontier.map_or(0, |bucket| u64::from(bucket.0) + 1);
    let value = codec::seal(VERSION, 0, |bytes| {
        bytes.extend_from_slice(&state.series.to_be_bytes());
        codec::put(bytes, frontier);
        codec::put(bytes, state.drops.before);
        if let Some(unmarked) = state.unmarked {
            codec::put(bytes, u64::from(unmarked.0));
        }
    });
    KeepChange::Put(HEAD.to_vec(), value)
}

/// Sets what is known of the clock.
pub(crate) fn put_clock(went_back: &WentBack) -> KeepChange {
    let value = codec::seal(VERSION, 0, |bytes| went_back.encode(bytes));
    KeepChange::Put(CLOCK.to_vec(), value)
}

/// Sets a bucket. One that is being settled is set as it was before.
pub(crate) fn put_bucket(series: u64, bucket: Bucket, entry: &Entry) -> KeepChange {
    let value = codec::seal(VERSION, u64::from(bucket.0), |bytes| {
        codec::put(bytes, entry.first_write);
        codec::put(bytes, entry.opened);
        let Some(record) = entry.record() else {
            bytes.push(0);
            return;
        };
        bytes.push(1);
        codec::put(bytes, record.needs_write);
        let none = Stored {
            group: String::new(),
            head_parts: 0,
            rows: 0,
            bytes: 0,
        };
        put_stored(bytes, record.group.as_ref().unwrap_or(&none));
    });
    KeepChange::Put(bucket_key(series, bucket), value)
}

/// Sets the sums of a day, which has these buckets.
pub(crate) fn put_day(
    state: &State,
    (day, buckets): (Day, RangeInclusive<Bucket>),
    sums: &DaySums,
) -> KeepChange {
    let DaySums { stored, last } = sums;
    let value = codec::seal(VERSION, u64::from(day.0), |bytes| {
        bytes.extend_from_slice(&fingerprint(state, buckets).to_be_bytes());
        codec::put(bytes, *last);
        put_stored(bytes, stored);
    });
    KeepChange::Put(day_key(state.series, day), value)
}

fn put_stored(bytes: &mut Vec<u8>, stored: &Stored) {
    codec::put(bytes, stored.rows);
    codec::put(bytes, stored.bytes);
    codec::put(bytes, u64::from(stored.head_parts));
    codec::put_bytes(bytes, stored.group.as_bytes());
}

/// Tells the records of these buckets from others. The names of groups are not used again.
fn fingerprint(state: &State, buckets: RangeInclusive<Bucket>) -> u64 {
    let mut bytes = Vec::new();
    for (bucket, entry) in state.buckets.range(buckets) {
        if let Some(stored) = entry.group() {
            bytes.extend_from_slice(&bucket.0.to_be_bytes());
            codec::put_bytes(&mut bytes, stored.group.as_bytes());
        }
    }
    xxh3_64(&bytes)
}

/// Sets a late trace.
pub(crate) fn put_late(series: u64, id: TraceId, bucket: Bucket) -> KeepChange {
    let value = codec::seal(VERSION, 0, |bytes| codec::put(bytes, u64::from(bucket.0)));
    KeepChange::Put(late_key(series, id), value)
}

/// Reads the state, with days of so many buckets. Without a head it is the state of a store of which nothing is known, under the series
/// `new`.
///
/// # Errors
/// Those of `keep`; `DataLoss` for what is not what was written.
pub(crate) async fn load(keep: &dyn Keep, new: u64, day_buckets: u32) -> Result<Loaded, Error> {
    let (mut head, mut clock) = (None, None);
    let (mut buckets, mut late, mut days) = (Vec::new(), Vec::new(), Vec::new());
    let mut others = Vec::new();
    for (key, value) in scan_all(keep).await? {
        match key.first() {
            Some(b'b') => buckets.push((key, value)),
            Some(b'l') => late.push((key, value)),
            Some(b'd') => days.push((key, value)),
            _ if key == HEAD => head = Some(value),
            _ if key == CLOCK => clock = Some(value),
            _ => others.push((key, value)),
        }
    }
    let assembled = assemble((head.as_deref(), clock.as_deref()), new, buckets, late);
    let mut loaded = assembled.map_err(|Damaged(what)| {
        Error::new(
            ErrorKind::DataLoss,
            format!("the state of the service graph cannot be read back: {what}"),
        )
    })?;
    loaded.others = others;
    for (key, value) in days {
        match day(&loaded.state, (&key, &value), day_buckets) {
            Some((day, sums)) => drop(loaded.state.days_mut().insert(day, sums)),
            None => loaded.remains.push(key),
        }
    }
    Ok(loaded)
}

type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

/// Reads all entries of a state.
///
/// # Errors
/// The place's.
pub(crate) async fn scan_all(keep: &dyn Keep) -> Result<Pairs, Error> {
    let mut all = Pairs::new();
    loop {
        let start = all.last().map(|(key, _)| [key.as_slice(), &[0]].concat());
        let (page, more) = keep.scan(&start.unwrap_or_default()).await?;
        let goes_on = more && !page.is_empty();
        all.extend(page);
        if !goes_on {
            return Ok(all);
        }
    }
}

fn assemble(
    (head, clock): (Option<&[u8]>, Option<&[u8]>),
    new: u64,
    buckets: Pairs,
    late: Pairs,
) -> Result<Loaded, Damaged> {
    let clock = clock.map(|it| WentBack::decode(codec::open(it, VERSION, 0)?));
    let went_back = clock.map(|it| it.unwrap_or_else(|_| WentBack::damaged()));
    let mut state = State::unknown(new);
    if let Some(head) = head {
        let mut reading = codec::open(head, VERSION, 0)?;
        state.series = u64::from_be_bytes(reading.array()?);
        let frontier = reading.number()?.checked_sub(1);
        let frontier = frontier.map(|it| u32::try_from(it).map(Bucket));
        let frontier = frontier.transpose();
        state.frontier = frontier.map_err(|_| Damaged("the frontier is too large"))?;
        state.drops = Drops {
            number: 1,
            before: reading.number()?,
            ..Drops::default()
        };
        if !reading.is_empty() {
            state.unmarked = Some(Bucket(reading.number_u32()?));
        }
        reading.end()?;
    }
    let mut remains = Vec::new();
    let series = state.series;
    for (key, value) in buckets {
        match parse_key(&key, series) {
            Some(number) => {
                let bucket = Bucket(u32::from_be_bytes(number));
                let entry = entry(bucket, &value)?;
                state.buckets_mut().insert(bucket, entry);
            }
            None => remains.push(key),
        }
    }
    let mut ids: HashMap<TraceId, Bucket> = HashMap::new();
    for (key, value) in late {
        match parse_key(&key, series) {
            Some(id) => {
                let mut reading = codec::open(&value, VERSION, 0)?;
                let bucket = Bucket(reading.number_u32()?);
                reading.end()?;
                ids.insert(TraceId(u128::from_be_bytes(id)), bucket);
            }
            None => remains.push(key),
        }
    }
    state.late = Arc::new(ids);
    Ok(Loaded {
        state,
        remains,
        has_head: head.is_some(),
        went_back,
        others: Vec::new(),
    })
}

/// The number at the end of a key; `None` if it is of another series.
fn parse_key<const N: usize>(key: &[u8], series: u64) -> Option<[u8; N]> {
    let (found, number) = key.get(1..)?.split_first_chunk::<8>()?;
    if u64::from_be_bytes(*found) != series {
        return None;
    }
    number.try_into().ok()
}

/// The sums of a day; `None` if they are not those of its records, or cannot be read back.
fn day(state: &State, (key, value): (&[u8], &[u8]), day_buckets: u32) -> Option<(Day, DaySums)> {
    let number = parse_key(key, state.series)?;
    let day = Day(u32::from_be_bytes(number));
    let mut reading = codec::open(value, VERSION, u64::from(day.0)).ok()?;
    let found = u64::from_be_bytes(reading.array().ok()?);
    if found != fingerprint(state, day.buckets(day_buckets)) {
        return None;
    }
    let last = reading.number().ok()?;
    let stored = stored(&mut reading).ok()?;
    reading.end().ok()?;
    Some((day, DaySums { stored, last }))
}

fn stored(reading: &mut codec::Reading<'_>) -> Result<Stored, Damaged> {
    let (rows, bytes) = (reading.number()?, reading.number()?);
    let head_parts = reading.number_u32()?;
    let group = str::from_utf8(reading.bytes()?);
    let group = group.map_err(|_| Damaged("the name of a group is no text"))?;
    Ok(Stored {
        group: group.to_owned(),
        head_parts,
        rows,
        bytes,
    })
}

fn entry(bucket: Bucket, value: &[u8]) -> Result<Entry, Damaged> {
    let mut reading = codec::open(value, VERSION, u64::from(bucket.0))?;
    let (first_write, opened) = (reading.number()?, reading.number()?);
    let phase = match reading.byte()? {
        0 => Phase::Open,
        1 => {
            let needs_write = reading.number()?;
            let stored = stored(&mut reading)?;
            Phase::Settled(Arc::new(Record {
                group: (!stored.group.is_empty()).then_some(stored),
                needs_write,
                drops: 0,
            }))
        }
        _ => return Err(Damaged("a bucket has an unknown phase")),
    };
    reading.end()?;
    Ok(Entry {
        first_write,
        opened,
        phase,
    })
}
