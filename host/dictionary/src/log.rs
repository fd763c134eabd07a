//! The dictionary of a tenant in its [`Keep`]: a head, and a log of entries.
//!
//! | key | value |
//! |---|---|
//! | `h` | the head: the version (1), XXH3 of the rest (8), and the day up to which fragments may call values listed that are gone (4): 0 for none, all ones if the day is not known yet |
//! | `v`, number (8, big-endian) | an entry, see [`entry`] |
//! | `s` | only where other hosts read the log: its stamp, see [`stamp`] |
//!
//! A value that is written again on a later day is in a later entry again. Once half of the log is outdated, its oldest entries are written
//! anew, without what is outdated: the new entries and the removal of the old ones are one commit.

use std::collections::BTreeMap;
use std::sync::Arc;

use larder_model::dictionary::{Contents, Snapshot};
use larder_model::storage::{Error, ErrorKind, Keep, KeepChange};
use xxhash_rust::xxh3::xxh3_64;

use crate::entry::{self, Unreadable, Value};
use crate::stamp::{self, Stamp};

/// Bytes of a commit, at most.
const MAX_COMMIT: usize = 200 << 10;

/// What an entry takes up besides its bytes, about.
const ENTRY_OVERHEAD: usize = 64;

/// Bytes of the log that may be outdated in any case.
const SLACK: usize = 256 << 10;

/// Key of the head.
pub(crate) const HEAD: &[u8] = b"h";
/// Key of the stamp.
pub(crate) const STAMP: &[u8] = b"s";
const ENTRY: u8 = b'v';
const VERSION: u8 = 1;

/// The log of a dictionary that was read.
pub(crate) struct Log {
    keep: Arc<dyn Keep>,
    /// The keep's generation when the log was read.
    generation: u64,
    /// The number of the next entry.
    next: u64,
    /// Bytes of all entries.
    bytes: usize,
    /// Tells this reading of the log from others, and how often something was removed since.
    series: u64,
    cleaned: u64,
    /// Values that are gone while fragments may have them.
    pub(crate) lost: Lost,
}

/// Whether fragments may call values listed that are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lost {
    /// None does.
    Nothing,
    /// Those may that were written up to this day.
    Until(u32),
    /// Those may that have been written so far.
    SoFar,
}

/// A log that was read, and what is in it.
pub(crate) struct Loaded {
    pub(crate) log: Log,
    pub(crate) contents: Contents,
    /// False for a log that has not begun.
    pub(crate) has_head: bool,
}

/// Why a log could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    #[error(transparent)]
    Keep(#[from] Error),
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
}

// === impl LoadError ===

impl LoadError {
    /// Returns `true` if another attempt may succeed.
    pub(crate) fn is_passing(&self) -> bool {
        matches!(self, Self::Keep(error) if error.kind() != ErrorKind::DataLoss)
    }
}

// === impl Log ===

impl Log {
    /// Reads a log.
    pub(crate) async fn load(keep: Arc<dyn Keep>) -> Result<Loaded, LoadError> {
        let mut log = Self {
            generation: keep.generation(),
            keep,
            next: 0,
            bytes: 0,
            series: stamp::unique(),
            cleaned: 0,
            lost: Lost::Nothing,
        };
        let mut contents = Contents::default();
        let mut has_head = false;
        let mut start = Vec::new();
        loop {
            let (entries, more) = log.keep.scan(&start).await?;
            for (key, value) in &entries {
                if key == HEAD {
                    log.lost = decode_head(value)?;
                    has_head = true;
                } else if key != STAMP {
                    let number = number_of(key).ok_or(Unreadable::Damaged)?;
                    let (day, values) = entry::decode(value)?;
                    for (source, key, form) in values {
                        contents.add(source, key, form, day);
                    }
                    log.next = log.next.max(number.saturating_add(1));
                    log.bytes += value.len() + ENTRY_OVERHEAD;
                }
            }
            let Some((last, _)) = entries.last().filter(|_| more) else {
                break;
            };
            start.clone_from(last);
            start.push(0);
        }
        Ok(Loaded {
            log,
            contents,
            has_head,
        })
    }

    /// Reads a log. One that has not begun is begun, if it is known that nothing was written before it.
    pub(crate) async fn load_whole(keep: Arc<dyn Keep>) -> Result<Loaded, LoadError> {
        let mut loaded = Self::load(keep).await?;
        if !loaded.has_head && loaded.log.keep.is_whole().await {
            loaded.log.begin(Lost::Nothing).await?;
            loaded.has_head = true;
        }
        Ok(loaded)
    }

    /// Begins a log, which is empty.
    pub(crate) async fn begin(&mut self, lost: Lost) -> Result<(), Error> {
        self.set_lost(lost).await
    }

    /// Notes what fragments may call listed though it is gone.
    pub(crate) async fn set_lost(&mut self, lost: Lost) -> Result<(), Error> {
        let head = KeepChange::Put(HEAD.to_owned(), encode_head(lost));
        self.keep.commit(vec![head]).await?;
        self.lost = lost;
        Ok(())
    }

    /// Returns `true` if what was not durable has been lost since the log was read.
    pub(crate) fn is_outdated(&self) -> bool {
        self.keep.generation() != self.generation
    }

    pub(crate) fn keep(&self) -> Arc<dyn Keep> {
        Arc::clone(&self.keep)
    }

    /// Adds values of one day, which are sorted.
    pub(crate) async fn append<'a>(
        &mut self,
        day: u32,
        values: impl IntoIterator<Item = Value<'a>>,
    ) -> Result<(), Error> {
        let mut changes = Vec::new();
        let mut bytes = 0;
        for entry in entry::encode(day, values) {
            if bytes + entry.len() > MAX_COMMIT {
                self.commit(std::mem::take(&mut changes)).await?;
                bytes = 0;
            }
            bytes += entry.len();
            changes.push(self.put(entry));
        }
        if changes.is_empty() {
            return Ok(());
        }
        self.commit(changes).await
    }

    /// Writes some of the oldest entries anew if much of the log is outdated, without what is. `current` is what has been recorded.
    pub(crate) async fn clean(&mut self, current: &Snapshot) -> Result<(), Error> {
        let live = current.bytes() + current.len() * 4 + ENTRY_OVERHEAD;
        if self.bytes <= 2 * live + SLACK {
            return Ok(());
        }
        let (oldest, _) = self.keep.scan(&[ENTRY]).await?;
        let mut changes = Vec::new();
        let mut live: BTreeMap<u32, Vec<Value<'_>>> = BTreeMap::new();
        let (mut bytes, mut removed) = (0, 0);
        for (key, value) in &oldest {
            // At most as much is written as was read.
            if bytes + value.len() + key.len() > MAX_COMMIT {
                break;
            }
            bytes += value.len() + key.len();
            let damaged = |error: Unreadable| Error::new(ErrorKind::DataLoss, error.to_string());
            let (day, values) = entry::decode(value).map_err(damaged)?;
            let is_live = |(source, key, form): &Value<'_>| {
                current
                    .day_of(*source, key, form)
                    .is_some_and(|it| it <= day)
            };
            live.entry(day)
                .or_default()
                .extend(values.into_iter().filter(is_live));
            changes.push(KeepChange::Delete(key.clone()));
            removed += value.len() + ENTRY_OVERHEAD;
        }
        for (day, mut values) in live {
            values.sort_unstable();
            values.dedup();
            for entry in entry::encode(day, values) {
                let put = self.put(entry);
                changes.push(put);
            }
        }
        self.cleaned += 1;
        self.commit(changes).await?;
        self.bytes = self.bytes.saturating_sub(removed);
        Ok(())
    }

    fn put(&mut self, entry: Vec<u8>) -> KeepChange {
        // A number is used once, also if it is not known whether a commit was made.
        let key = entry_key(self.next);
        self.next += 1;
        KeepChange::Put(key, entry)
    }

    /// Commits changes, and with them the stamp that tells other hosts of them. What could not be committed does not count as bytes of the log.
    async fn commit(&mut self, mut changes: Vec<KeepChange>) -> Result<(), Error> {
        let sizes = changes.iter().map(|change| match change {
            KeepChange::Put(_, entry) => entry.len() + ENTRY_OVERHEAD,
            KeepChange::Delete(_) => 0,
        });
        let grown: usize = sizes.sum();
        if self.keep.is_shared() {
            let stamp = Stamp {
                series: self.series,
                next: self.next,
                cleaned: self.cleaned,
            };
            changes.push(KeepChange::Put(STAMP.to_owned(), stamp.encode()));
        }
        self.keep.commit(changes).await?;
        self.bytes += grown;
        Ok(())
    }
}

/// The key of an entry.
pub(crate) fn entry_key(number: u64) -> Vec<u8> {
    [&[ENTRY][..], &number.to_be_bytes()].concat()
}

/// The number of an entry by its key; `None` for another key.
pub(crate) fn number_of(key: &[u8]) -> Option<u64> {
    let number = key.strip_prefix(&[ENTRY])?.try_into().ok()?;
    Some(u64::from_be_bytes(number))
}

fn encode_head(lost: Lost) -> Vec<u8> {
    let day = match lost {
        Lost::Nothing => 0,
        Lost::Until(day) => day.clamp(1, u32::MAX - 1),
        Lost::SoFar => u32::MAX,
    };
    let day = day.to_le_bytes();
    [&[VERSION][..], &xxh3_64(&day).to_le_bytes(), &day].concat()
}

/// Reads a head.
pub(crate) fn decode_head(head: &[u8]) -> Result<Lost, Unreadable> {
    let (version, rest) = head.split_first().ok_or(Unreadable::Damaged)?;
    if *version > VERSION {
        return Err(Unreadable::Newer(*version));
    }
    let (hash, day) = rest.split_first_chunk().ok_or(Unreadable::Damaged)?;
    if *version != VERSION || xxh3_64(day) != u64::from_le_bytes(*hash) {
        return Err(Unreadable::Damaged);
    }
    let day = day.try_into().map_err(|_| Unreadable::Damaged)?;
    Ok(match u32::from_le_bytes(day) {
        0 => Lost::Nothing,
        u32::MAX => Lost::SoFar,
        day => Lost::Until(day),
    })
}
