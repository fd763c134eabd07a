//! Partitions: by their names (`place`), and by the writers that have written to them (`part`).
//!
//! A claim enters a partition in both tables before it writes there. So whoever claims the id next finds all partitions of the id, a
//! reclaimed name is refused, and all agree on the number of shards.

use std::time::Instant;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use larder_store::{Claim, Error};
use xxhash_rust::xxh3::xxh3_64;

use crate::db::row;
use crate::errors::misread;
use crate::namespace::{Space, epoch};
use crate::statements::Name;

/// Number of shards of a partition, if nothing is known of its kind.
const LEAST_SHARDS: u64 = 16;
const MOST_SHARDS: u64 = 512;
/// Bytes that a shard should have at most. Cassandra copes badly with more than 100 MB in one place.
const SHARD_BYTES: u64 = 64 << 20;
/// Partitions of which facts are kept beyond those that are listed.
const MAX_OLD_FACTS: usize = 10_000;
/// Statements of one call under way at the same time.
const AT_ONCE: usize = 16;

/// What is known of a partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) shards: i32,
    pub(crate) entries: bool,
    pub(crate) objects: bool,
}

/// What is written to a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Entries,
    Objects,
}

/// What a claim has been entered with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Registered {
    epoch: u64,
    entries: bool,
    objects: bool,
}

/// A row of the table `place`.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) change: i64,
    pub(crate) writer: Option<String>,
    pub(crate) epoch: Option<i64>,
    pub(crate) facts: Facts,
    pub(crate) is_reclaimed: bool,
}

type PlaceRow = (
    Option<i64>,
    Option<String>,
    Option<i64>,
    Option<i32>,
    Option<bool>,
    Option<bool>,
    Option<i64>,
);

/// The shard of an object.
pub(crate) fn shard(sort: &[u8], shards: i32) -> i32 {
    let shards = u64::try_from(shards).unwrap_or(1).max(1);
    i32::try_from(xxh3_64(sort) % shards).unwrap_or_default()
}

/// The number of shards of a new partition, so that one twice as large as the largest of its kind has shards that are small enough.
/// `known` are names and bytes of partitions; `expected` are the bytes of this one, if they are known already.
fn choose_shards<'a>(
    part: &str,
    expected: Option<u64>,
    known: impl Iterator<Item = (&'a str, u64)>,
) -> i32 {
    let of_kind = known.filter(|(name, _)| kind_of(name) == kind_of(part));
    let largest = of_kind.map(|(_, bytes)| bytes).max().unwrap_or_default();
    let bytes = largest.saturating_mul(2).max(expected.unwrap_or_default());
    let wanted = bytes / SHARD_BYTES;
    let shards = wanted.clamp(LEAST_SHARDS, MOST_SHARDS).next_power_of_two();
    i32::try_from(shards).unwrap_or_default()
}

/// The kind of a partition: its name up to the first `/`, behind the host's prefix.
fn kind_of(part: &str) -> &str {
    let from = if part.starts_with(larder_store::HOST_PREFIX) {
        larder_store::HOST_PREFIX.len()
    } else {
        0
    };
    let rest = part.get(from..).unwrap_or_default();
    let end = rest.find('/').map_or(part.len(), |at| from + at);
    part.get(..end).unwrap_or_default()
}

/// The error of a name that was reclaimed.
pub(crate) fn reclaimed_error(part: &str) -> Error {
    Error::Other(format!(
        "partition `{part}` was reclaimed: its name must never be used again"
    ))
}

// === impl Facts ===

impl Facts {
    /// Adds what else is known.
    pub(crate) fn add(&mut self, other: Self) {
        self.shards = self.shards.max(other.shards);
        self.entries |= other.entries;
        self.objects |= other.objects;
    }

    pub(crate) fn has(self, kind: Kind) -> bool {
        match kind {
            Kind::Entries => self.entries,
            Kind::Objects => self.objects,
        }
    }
}

// === impl Space ===

impl Space {
    pub(crate) fn known(&self, part: &str) -> Option<Facts> {
        self.facts.read().get(part).copied()
    }

    /// Adds facts of the partitions that are listed.
    pub(crate) fn learn(&self, found: std::collections::HashMap<String, Facts>) {
        let mut facts = self.facts.write();
        if facts.len() > found.len() + MAX_OLD_FACTS {
            facts.retain(|part, _| found.contains_key(part));
        }
        for (part, fact) in found {
            facts.entry(part).or_default().add(fact);
        }
    }

    fn learn_one(&self, part: &str, fact: Facts) {
        self.facts
            .write()
            .entry(part.to_owned())
            .or_default()
            .add(fact);
    }

    /// Reads what there is under a partition's name, and keeps it. A serial read sees what a condition that is under way does.
    pub(crate) async fn place(&self, part: &str, name: Name) -> Result<Option<Place>, Error> {
        let found: Option<PlaceRow> = row(self.db.run(name, (self.ns, part)).await?)?;
        let Some((Some(change), writer, epoch, shards, entries, objects, reclaimed)) = found else {
            return Ok(None);
        };
        let place = Place {
            change,
            writer,
            epoch,
            facts: Facts {
                shards: shards.unwrap_or_default(),
                entries: entries.unwrap_or_default(),
                objects: objects.unwrap_or_default(),
            },
            is_reclaimed: reclaimed.is_some(),
        };
        if place.is_reclaimed {
            self.note_reclaimed(part);
        }
        self.learn_one(part, place.facts);
        Ok(Some(place))
    }

    /// Facts of a partition, from the store if they are not known. `None` if nothing was ever written there.
    pub(crate) async fn facts(&self, part: &str) -> Result<Option<Facts>, Error> {
        if let Some(facts) = self.known(part) {
            return Ok(Some(facts));
        }
        let place = self.place(part, Name::PlaceGet).await?;
        Ok(place.map(|place| place.facts))
    }

    pub(crate) fn note_reclaimed(&self, part: &str) {
        self.reclaimed
            .lock()
            .entry(part.to_owned())
            .or_insert_with(Instant::now);
    }

    /// Refuses a name of which this process knows that it was reclaimed.
    pub(crate) fn check_name(&self, part: &str) -> Result<(), Error> {
        if self.reclaimed.lock().contains_key(part) {
            return Err(reclaimed_error(part));
        }
        Ok(())
    }

    /// True if a partition was reclaimed, and what was in it need not be readable any more.
    pub(crate) fn is_gone(&self, part: &str) -> bool {
        let since = self.reclaimed.lock().get(part).copied();
        since.is_some_and(|since| since.elapsed() >= self.db.options.linger)
    }

    /// Enters the partition for a claim that is about to write there. Returns its facts, and whether it is new.
    pub(crate) async fn register(
        &self,
        by: &Claim,
        part: &str,
        kind: Kind,
    ) -> Result<(Facts, bool), Error> {
        let key = (by.writer.clone(), part.to_owned());
        let before = self.registered.lock().get(&key).copied();
        let before = before.filter(|before| before.epoch == by.epoch);
        if let Some(before) = before
            && let Some(facts) = self.known(part)
            && match kind {
                Kind::Entries => before.entries,
                Kind::Objects => before.objects,
            }
        {
            return Ok((facts, false));
        }
        let (facts, is_new) = self.enter(by, part, kind).await?;
        self.list(&by.writer, part, kind, facts.shards).await?;
        let registered = Registered {
            epoch: by.epoch,
            entries: kind == Kind::Entries || before.is_some_and(|it| it.entries),
            objects: kind == Kind::Objects || before.is_some_and(|it| it.objects),
        };
        self.registered.lock().insert(key, registered);
        Ok((facts, is_new))
    }

    /// Lists a partition among those of a writer, with this kind of data.
    pub(crate) async fn list(
        &self,
        writer: &str,
        part: &str,
        kind: Kind,
        shards: i32,
    ) -> Result<(), Error> {
        let name = match kind {
            Kind::Entries => Name::PartEntries,
            Kind::Objects => Name::PartObjects,
        };
        let values = (self.ns, writer, part, shards);
        self.db.run(name, values).await.map(drop)
    }

    /// Enters the partition under its name.
    async fn enter(&self, by: &Claim, part: &str, kind: Kind) -> Result<(Facts, bool), Error> {
        let mut tries = self.db.tries();
        loop {
            // Most partitions are new ones.
            if self.known(part).is_none() {
                let expected = self.expected.lock().get(part).copied();
                let facts = Facts {
                    shards: choose_shards(part, expected, self.usage.lock().partitions()),
                    entries: kind == Kind::Entries,
                    objects: kind == Kind::Objects,
                };
                let values = (
                    &by.writer,
                    epoch(by),
                    facts.shards,
                    facts.entries,
                    facts.objects,
                    self.ns,
                    part,
                );
                match self.db.condition(Name::PlaceNew, values).await {
                    Ok(verdict) if verdict.applied => {
                        self.learn_one(part, facts);
                        return Ok((facts, true));
                    }
                    Ok(_) => {}
                    Err(failure) => tries.again(failure).await?,
                }
            }
            let Some(place) = self.place(part, Name::PlaceSerial).await? else {
                // Known from a listing, and gone since: a purge has removed it.
                self.facts.write().remove(part);
                tries.lost("a partition").await?;
                continue;
            };
            if place.is_reclaimed {
                return Err(reclaimed_error(part));
            }
            let is_own = place.writer.as_ref() == Some(&by.writer);
            if is_own && place.epoch.is_some_and(|other| other > epoch(by)) {
                return Err(self.fenced(by));
            }
            let is_entered = !is_own || place.epoch == Some(epoch(by));
            if is_entered && place.facts.has(kind) {
                return Ok((place.facts, false));
            }
            let mut facts = place.facts;
            match kind {
                Kind::Entries => facts.entries = true,
                Kind::Objects => facts.objects = true,
            }
            let values = (
                place.change.saturating_add(1),
                if is_own { Some(epoch(by)) } else { place.epoch },
                facts.entries,
                facts.objects,
                self.ns,
                part,
                place.change,
            );
            match self.db.condition(Name::PlaceSet, values).await {
                Ok(verdict) if verdict.applied => {
                    self.learn_one(part, facts);
                    return Ok((facts, false));
                }
                Ok(_) => tries.lost("a partition").await?,
                Err(failure) => tries.again(failure).await?,
            }
        }
    }

    pub(crate) async fn list_partitions(&self) -> Result<Vec<String>, Error> {
        if self.is_purged() {
            return Ok(Vec::new());
        }
        let writers = self.writer_rows().await?;
        let parts = stream::iter(writers)
            .map(|(writer, ..)| async move { self.part_rows(&writer).await })
            .buffer_unordered(AT_ONCE);
        let parts: Vec<Vec<_>> = parts.try_collect().await?;
        let mut names: Vec<String> = parts.into_iter().flatten().map(|(part, ..)| part).collect();
        names.sort();
        names.dedup();
        let reclaimed = self.reclaimed.lock();
        names.retain(|name| !reclaimed.contains_key(name));
        Ok(names)
    }
}

// === impl Place ===

impl Place {
    /// The number of shards, for the removal of objects.
    pub(crate) fn checked_shards(&self) -> Result<i32, Error> {
        let most = i32::try_from(MOST_SHARDS).unwrap_or(i32::MAX);
        if (0..=most).contains(&self.facts.shards) {
            return Ok(self.facts.shards);
        }
        Err(misread(format!(
            "a partition with {} shards",
            self.facts.shards
        )))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_new_partition_has_as_many_shards_as_its_kind_needs() {
        let known = [
            ("data/1/w", 30_u64 << 30),
            ("data/2/w", 1 << 20),
            ("index/1/w", 3 << 30),
            ("_host/graph/group/a", 40 << 30),
        ];
        let choose = |part| choose_shards(part, None, known.into_iter());
        assert_eq!(choose("data/3/w"), 512);
        assert_eq!(choose("index/2/w"), 128);
        assert_eq!(choose("head/w"), 16);
        assert_eq!(choose("data"), 512);
        assert_eq!(choose("_host/other"), 16);
        assert_eq!(choose("_host/graph/state/1"), 512);
        let expect = |part, bytes| choose_shards(part, Some(bytes), known.into_iter());
        assert_eq!(expect("head/w", 3 << 30), 64);
        assert_eq!(expect("index/2/w", 1), 128);
    }

    proptest! {
        #[test]
        fn an_object_is_always_in_the_same_shard_of_those_that_there_are(sort: Vec<u8>, shards in 1..513_i32) {
            let at = shard(&sort, shards);
            prop_assert!((0..shards).contains(&at));
            prop_assert_eq!(at, shard(&sort, shards));
        }
    }

    #[test]
    fn objects_are_spread_over_the_shards() {
        let mut counts = [0_u32; 16];
        for number in 0..16_000_u32 {
            let at = usize::try_from(shard(&number.to_be_bytes(), 16)).unwrap_or_default();
            if let Some(count) = counts.get_mut(at) {
                *count += 1;
            }
        }
        assert!(
            counts.iter().all(|count| (800..1200).contains(count)),
            "{counts:?}"
        );
    }

    #[test]
    fn facts_only_grow() {
        let mut facts = Facts {
            shards: 16,
            entries: true,
            objects: false,
        };
        facts.add(Facts {
            shards: 0,
            entries: false,
            objects: true,
        });
        assert_eq!(
            facts,
            Facts {
                shards: 16,
                entries: true,
                objects: true
            }
        );
    }
}
