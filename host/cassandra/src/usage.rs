//! The bytes that the partitions of a namespace take.
//!
//! Each writer counts what it writes itself, at once. Every few seconds it stores the absolute figures in the table `part`, and reads those
//! of the others. So a tenant may exceed its quota by what all hosts write in a few seconds.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use larder_store::{Claim, Error, Growth, HOST_PREFIX, check_quota};

use crate::db::rows;
use crate::namespace::Space;
use crate::places::Facts;
use crate::statements::Name;

/// Statements of one namespace under way at the same time, in the background.
const AT_ONCE: usize = 8;

/// Time for which this process remembers that a partition was reclaimed.
const REMEMBERED: Duration = Duration::from_hours(1);

/// Columns of a row of the table `part`.
pub(crate) type PartRow = (String, Option<i32>, Option<bool>, Option<bool>, Option<i64>);

/// Bytes by writer and partition.
#[derive(Default)]
pub(crate) struct Usage {
    /// Of writers that this process has claimed.
    own: HashMap<(String, String), Own>,
    /// Of all others, as last read.
    others: HashMap<(String, String), u64>,
    /// Sums, by writer.
    sums: HashMap<String, Sum>,
    /// Hashes of the keys of objects that this process has put, by partition, so that one that is put again counts once.
    put: HashMap<String, HashSet<u64>>,
    /// Number of these hashes.
    put_count: usize,
}

/// Hashes of keys that are kept at the most. Beyond that, an object that is put again counts twice until the next restart.
const MAX_PUT: usize = 1 << 20;

#[derive(Clone, Copy, Debug, Default)]
struct Own {
    bytes: u64,
    /// What is stored differs.
    changed: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    total: u64,
    of_host: u64,
}

// === impl Usage ===

impl Usage {
    pub(crate) fn stored(&self) -> u64 {
        self.sums.values().map(|sum| sum.total).sum()
    }

    pub(crate) fn of_host(&self) -> u64 {
        self.sums.values().map(|sum| sum.of_host).sum()
    }

    /// Bytes of a writer, without those in the host's own partitions.
    pub(crate) fn of_writer(&self, writer: &str) -> u64 {
        let sum = self.sums.get(writer).copied().unwrap_or_default();
        sum.total.saturating_sub(sum.of_host)
    }

    /// Names and bytes of all partitions.
    pub(crate) fn partitions(&self) -> impl Iterator<Item = (&str, u64)> {
        let own = self
            .own
            .iter()
            .map(|((_, part), own)| (part.as_str(), own.bytes));
        let others = self
            .others
            .iter()
            .map(|((_, part), bytes)| (part.as_str(), *bytes));
        own.chain(others)
    }

    /// Takes over the count of a writer that was claimed, from these figures.
    pub(crate) fn own(&mut self, writer: &str, parts: impl IntoIterator<Item = (String, u64)>) {
        self.own.retain(|(it, _), _| it != writer);
        self.others.retain(|(it, _), _| it != writer);
        let parts = parts.into_iter().map(|(part, bytes)| {
            let own = Own {
                bytes,
                changed: false,
            };
            ((writer.to_owned(), part), own)
        });
        self.own.extend(parts);
        self.sum_up();
    }

    /// Gives up the count of a writer that another process has claimed.
    pub(crate) fn disown(&mut self, writer: &str) {
        let lost: Vec<_> = self.own.extract_if(|(it, _), _| it == writer).collect();
        self.others
            .extend(lost.into_iter().map(|(key, own)| (key, own.bytes)));
    }

    /// Counts bytes that this process has written, or replaced.
    pub(crate) fn add(&mut self, writer: &str, part: &str, added: u64, removed: u64) {
        let key = (writer.to_owned(), part.to_owned());
        let before = self.others.remove(&key);
        let own = self.own.entry(key).or_insert(Own {
            bytes: before.unwrap_or_default(),
            changed: true,
        });
        let bytes = own.bytes.saturating_add(added).saturating_sub(removed);
        let old = std::mem::replace(&mut own.bytes, bytes);
        own.changed = true;
        let sum = self.sums.entry(writer.to_owned()).or_default();
        sum.total = (sum.total + bytes).saturating_sub(old);
        if part.starts_with(HOST_PREFIX) {
            sum.of_host = (sum.of_host + bytes).saturating_sub(old);
        }
    }

    /// Notes that an object was put. Returns false if it is known that it was put before.
    pub(crate) fn note_put(&mut self, part: &str, hash: u64) -> bool {
        if self.put_count >= MAX_PUT {
            self.put.clear();
            self.put_count = 0;
        }
        let of_part = match self.put.get_mut(part) {
            Some(of_part) => of_part,
            None => self.put.entry(part.to_owned()).or_default(),
        };
        let is_new = of_part.insert(hash);
        self.put_count += usize::from(is_new);
        is_new
    }

    /// True if there are figures that are not stored.
    pub(crate) fn has_changes(&self) -> bool {
        self.own.values().any(|own| own.changed)
    }

    /// Sets the bytes of a partition of which they are known exactly.
    pub(crate) fn set(&mut self, writer: &str, part: &str, bytes: u64) {
        let key = (writer.to_owned(), part.to_owned());
        let now = self.own.get(&key).map_or(0, |own| own.bytes);
        self.add(writer, part, bytes, now);
    }

    /// Stops counting a partition that was reclaimed.
    pub(crate) fn remove(&mut self, part: &str) {
        self.own.retain(|(_, it), _| it != part);
        self.others.retain(|(_, it), _| it != part);
        let put = self.put.remove(part).map_or(0, |put| put.len());
        self.put_count -= put;
        self.sum_up();
    }

    /// Takes in the figures of all writers. Those of this process's own count for more.
    fn take_in(&mut self, found: HashMap<(String, String), u64>, is_own: impl Fn(&str) -> bool) {
        self.others = found
            .into_iter()
            .filter(|((writer, _), _)| !is_own(writer))
            .collect();
        self.sum_up();
    }

    fn sum_up(&mut self) {
        self.sums.clear();
        let own = self.own.iter().map(|(key, own)| (key, own.bytes));
        let others = self.others.iter().map(|(key, bytes)| (key, *bytes));
        for ((writer, part), bytes) in own.chain(others) {
            let sum = self.sums.entry(writer.clone()).or_default();
            sum.total += bytes;
            if part.starts_with(HOST_PREFIX) {
                sum.of_host += bytes;
            }
        }
    }
}

// === impl Space ===

impl Space {
    /// Returns an error if the tenant has used up its quota.
    pub(crate) fn check_quota(&self, growth: Growth) -> Result<(), Error> {
        let quota = self.db.quotas.lock().of(&self.tenant);
        let stored = self.usage.lock().stored();
        check_quota(quota, stored, growth).inspect_err(|_| {
            self.db.refused.fetch_add(1, Ordering::Relaxed);
        })
    }

    pub(crate) fn count(&self, by: &Claim, part: &str, added: u64, removed: u64) {
        self.usage.lock().add(&by.writer, part, added, removed);
    }

    /// The partitions of a writer.
    pub(crate) async fn part_rows(&self, writer: &str) -> Result<Vec<PartRow>, Error> {
        let mut found: Vec<PartRow> = rows(self.db.run(Name::PartList, (self.ns, writer)).await?)?;
        // A count that was stored after the partition was removed has made a row of itself alone.
        found.retain(|(_, shards, ..)| shards.is_some());
        Ok(found)
    }

    /// Stores the figures that have changed.
    pub(crate) async fn store_usage(&self) -> Result<(), Error> {
        if self.is_purged() {
            return Ok(());
        }
        let changed: Vec<_> = {
            let mut usage = self.usage.lock();
            let own = usage.own.iter_mut().filter(|(_, own)| own.changed);
            own.map(|(key, own)| {
                own.changed = false;
                (key.clone(), own.bytes)
            })
            .collect()
        };
        let stored = stream::iter(changed).map(|((writer, part), bytes)| async move {
            let number = i64::try_from(bytes).unwrap_or(i64::MAX);
            let values = (number, self.ns, &writer, &part);
            let stored = self.db.run(Name::PartBytes, values).await;
            if stored.is_err()
                && let Some(own) = self.usage.lock().own.get_mut(&(writer, part))
            {
                own.changed = true;
            }
            stored.map(drop)
        });
        stored.buffer_unordered(AT_ONCE).try_collect().await
    }

    /// Reads the partitions of all writers, and their figures. Notices claims of other hosts.
    pub(crate) async fn poll(&self) -> Result<(), Error> {
        let writers = self.writer_rows().await?;
        for (writer, epoch, _) in &writers {
            let known = self.claims.lock().get(writer).copied();
            // This process may be claiming it itself.
            let lock = self.claiming(writer);
            if let Some(known) = known
                && lock.try_lock().is_ok()
                && u64::try_from(*epoch).is_ok_and(|epoch| epoch > known.epoch)
            {
                self.lose(writer, known.epoch);
            }
        }
        let parts = stream::iter(writers)
            .map(|(writer, ..)| async move {
                let parts = self.part_rows(&writer).await?;
                Ok::<_, Error>((writer, parts))
            })
            .buffer_unordered(AT_ONCE);
        let parts: Vec<(String, Vec<PartRow>)> = parts.try_collect().await?;
        let mut found = HashMap::new();
        let mut facts = HashMap::new();
        for (writer, rows) in parts {
            for (part, shards, entries, objects, bytes) in rows {
                let fact: &mut Facts = facts.entry(part.clone()).or_default();
                fact.add(Facts {
                    shards: shards.unwrap_or_default(),
                    entries: entries.unwrap_or_default(),
                    objects: objects.unwrap_or_default(),
                });
                let bytes = u64::try_from(bytes.unwrap_or_default()).unwrap_or_default();
                found.insert((writer.clone(), part), bytes);
            }
        }
        self.learn(facts);
        {
            let mut reclaimed = self.reclaimed.lock();
            // The store has it for longer.
            let kept = REMEMBERED.max(self.db.options.linger * 2);
            reclaimed.retain(|_, since| since.elapsed() < kept);
            found.retain(|(_, part), _| !reclaimed.contains_key(part));
        }
        let own: Vec<String> = {
            let claims = self.claims.lock();
            let held = claims.iter().filter(|(_, known)| !known.lost);
            held.map(|(writer, _)| writer.clone()).collect()
        };
        self.usage
            .lock()
            .take_in(found, |writer| own.iter().any(|it| it == writer));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(writer: &str, part: &str) -> (String, String) {
        (writer.to_owned(), part.to_owned())
    }

    #[test]
    fn own_bytes_count_at_once_and_those_of_others_as_they_were_read() {
        let mut usage = Usage::default();
        usage.own("w", [("data/1".to_owned(), 10)]);
        usage.add("w", "data/1", 5, 2);
        usage.add("w", "_host/x", 7, 0);
        let found = [(key("w", "data/1"), 999), (key("v", "data/2"), 100)];
        usage.take_in(found.into(), |writer| writer == "w");
        assert_eq!((usage.stored(), usage.of_host()), (120, 7));
        assert_eq!((usage.of_writer("w"), usage.of_writer("v")), (13, 100));
    }

    #[test]
    fn a_reclaimed_partition_counts_no_more_whoever_wrote_it() {
        let mut usage = Usage::default();
        usage.add("w", "p", 5, 0);
        usage.take_in([(key("v", "p"), 6)].into(), |writer| writer == "w");
        assert_eq!(usage.stored(), 11);
        usage.remove("p");
        assert_eq!(usage.stored(), 0);
    }

    #[test]
    fn an_object_that_is_put_again_is_known() {
        let mut usage = Usage::default();
        assert!(usage.note_put("p", 1) && usage.note_put("q", 1) && usage.note_put("p", 2));
        assert!(!usage.note_put("p", 1));
        usage.remove("p");
        assert_eq!(usage.put_count, 1);
        for hash in 0..MAX_PUT as u64 + 10 {
            usage.note_put("r", hash);
        }
        assert!(usage.put_count <= MAX_PUT);
    }

    #[test]
    fn a_lost_writer_is_counted_as_others_are() {
        let mut usage = Usage::default();
        usage.add("w", "p", 5, 0);
        usage.disown("w");
        assert_eq!(usage.stored(), 5);
        usage.take_in([(key("w", "p"), 8)].into(), |_| false);
        assert_eq!(usage.stored(), 8);
    }

    #[test]
    fn removing_more_than_is_counted_leaves_nothing() {
        let mut usage = Usage::default();
        usage.add("w", "p", 5, 9);
        usage.set("w", "q", 4);
        usage.set("w", "q", 3);
        assert_eq!(usage.stored(), 3);
    }
}
