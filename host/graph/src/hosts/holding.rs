//! What the holder keeps for all hosts besides the state of the graph: which marks of each are covered by it.
//!
//! | key | value: a frame (version 1) of |
//! |---|---|
//! | `t`, series of a host's marks: 8 | the number up to which late traces and drops were taken: varint; its host: text |
//! | `c`, bucket: 4 | number of marks that are closed, then of each the series: 8, and its number: varint |
//! | `z` | the stamp: 16 bytes, others with each commit |

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use larder_model::storage::{Error, ErrorKind, Keep, KeepChange};

use super::marks::STAMP;
use crate::bucket::Bucket;
use crate::codec::{self, Damaged};
use crate::entries::{self, Loaded};
use crate::shared::unique;

const VERSION: u8 = 1;

type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

/// Which marks of hosts the state covers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Holding {
    /// By the series of a host's marks.
    pub(crate) taken: BTreeMap<u64, Taken>,
    /// Open marks, by series and number, of buckets that the state has as open: their hosts may remove them.
    pub(crate) closing: BTreeMap<Bucket, BTreeSet<(u64, u64)>>,
}

/// What was taken of the marks of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) host: String,
    /// Late traces and drops up to this number are those of the state too.
    pub(crate) number: u64,
}

pub(crate) fn taken_key(series: u64) -> Vec<u8> {
    [b"t", &series.to_be_bytes()[..]].concat()
}

pub(crate) fn put_taken(series: u64, taken: &Taken) -> KeepChange {
    let value = codec::seal(VERSION, 0, |bytes| {
        codec::put(bytes, taken.number);
        codec::put_bytes(bytes, taken.host.as_bytes());
    });
    KeepChange::Put(taken_key(series), value)
}

pub(crate) fn closing_key(bucket: Bucket) -> Vec<u8> {
    [b"c", &bucket.0.to_be_bytes()[..]].concat()
}

pub(crate) fn put_closing(bucket: Bucket, marks: &BTreeSet<(u64, u64)>) -> KeepChange {
    let value = codec::seal(VERSION, u64::from(bucket.0), |bytes| {
        codec::put_len(bytes, marks.len());
        for (series, number) in marks {
            bytes.extend_from_slice(&series.to_be_bytes());
            codec::put(bytes, *number);
        }
    });
    KeepChange::Put(closing_key(bucket), value)
}

/// Reads what is kept together.
///
/// # Errors
/// As [`entries::load`].
pub(crate) async fn load(keep: &dyn Keep, day_buckets: u32) -> Result<(Loaded, Holding), Error> {
    let mut loaded = entries::load(keep, unique(), day_buckets).await?;
    let others = std::mem::take(&mut loaded.others);
    let holding = Holding::read(&others).map_err(|Damaged(what)| {
        Error::new(
            ErrorKind::DataLoss,
            format!("what hosts keep together of the service graph cannot be read back: {what}"),
        )
    })?;
    Ok((loaded, holding))
}

/// The stamp of what is kept together; `None` before anything is.
pub(crate) async fn stamp(keep: &dyn Keep) -> Result<Option<Vec<u8>>, Error> {
    let (page, _) = keep.scan(STAMP).await?;
    let found = page.into_iter().find(|(key, _)| key == STAMP);
    Ok(found.map(|(_, value)| value))
}

// === impl Holding ===

impl Holding {
    pub(crate) fn read(entries: &Pairs) -> Result<Self, Damaged> {
        let mut holding = Self::default();
        for (key, value) in entries {
            match key.split_first() {
                Some((b't', series)) => {
                    let series = series
                        .try_into()
                        .map_err(|_| Damaged("a key is malformed"))?;
                    let mut reading = codec::open(value, VERSION, 0)?;
                    let number = reading.number()?;
                    let host = str::from_utf8(reading.bytes()?)
                        .map_err(|_| Damaged("a host's id is no text"))?
                        .to_owned();
                    reading.end()?;
                    let taken = Taken { host, number };
                    holding.taken.insert(u64::from_be_bytes(series), taken);
                }
                Some((b'c', bucket)) => {
                    let bucket = bucket
                        .try_into()
                        .map_err(|_| Damaged("a key is malformed"))?;
                    let bucket = Bucket(u32::from_be_bytes(bucket));
                    let mut reading = codec::open(value, VERSION, u64::from(bucket.0))?;
                    let marks = (0..reading.count()?)
                        .map(|_| Ok((u64::from_be_bytes(reading.array()?), reading.number()?)));
                    let marks = marks.collect::<Result<_, Damaged>>()?;
                    reading.end()?;
                    holding.closing.insert(bucket, marks);
                }
                _ => {}
            }
        }
        Ok(holding)
    }

    /// The number up to which the marks of a series were taken.
    pub(crate) fn taken(&self, series: u64) -> u64 {
        self.taken.get(&series).map_or(0, |it| it.number)
    }
}

/// What hosts keep together, with a stamp that changes with each commit.
pub(crate) struct Stamped {
    keep: Arc<dyn Keep>,
    process: u64,
    commits: AtomicU64,
}

// === impl Stamped ===

impl Stamped {
    pub(crate) fn new(keep: Arc<dyn Keep>) -> Arc<Self> {
        Arc::new(Self {
            keep,
            process: unique(),
            commits: AtomicU64::new(0),
        })
    }
}

#[async_trait::async_trait]
impl Keep for Stamped {
    fn is_durable(&self) -> bool {
        self.keep.is_durable()
    }

    async fn put(&self, group: &str, values: Pairs) -> Result<(), Error> {
        self.keep.put(group, values).await
    }

    async fn get(&self, group: &str, names: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>, Error> {
        self.keep.get(group, names).await
    }

    async fn commit(&self, mut changes: Vec<KeepChange>) -> Result<(), Error> {
        let number = self.commits.fetch_add(1, Ordering::Relaxed);
        let stamp = [self.process.to_be_bytes(), number.to_be_bytes()].concat();
        changes.push(KeepChange::Put(STAMP.to_vec(), stamp));
        self.keep.commit(changes).await
    }

    async fn scan(&self, start: &[u8]) -> Result<(Pairs, bool), Error> {
        self.keep.scan(start).await
    }

    async fn reclaim(&self, group: &str) -> Result<(), Error> {
        self.keep.reclaim(group).await
    }

    async fn groups(&self) -> Result<Vec<String>, Error> {
        self.keep.groups().await
    }

    fn generation(&self) -> u64 {
        self.keep.generation()
    }

    fn is_shared(&self) -> bool {
        true
    }
}
