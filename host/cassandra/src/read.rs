//! Gets: of one key or many, from entries and objects.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use futures_util::future::try_join;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use larder_store::{Error, Key, value};

use crate::commit::DELETED;
use crate::db::rows;
use crate::namespace::{Space, compute};
use crate::places::{Facts, shard};
use crate::statements::Name;

/// Keys of one statement that reads objects, of up to 5 MiB each.
const OBJECTS_AT_ONCE: usize = 8;
/// Keys of one statement that reads entries, of up to 256 KiB each.
const ENTRIES_AT_ONCE: usize = 32;
/// Partitions, and statements in one of them, that one call reads at the same time. `max_in_flight` bounds those of all calls.
const AT_ONCE: usize = 32;

/// A value that was found.
enum Found {
    /// In the cache.
    Cached(Arc<[u8]>),
    /// As it is stored. Objects that cannot change are kept in the cache.
    Stored { value: Vec<u8>, keep: bool },
}

/// Places in the list of keys of a call, by sort key.
type Places = BTreeMap<Vec<u8>, Vec<usize>>;

type ValueRow = (Vec<u8>, Option<Vec<u8>>);

// === impl Space ===

impl Space {
    pub(crate) async fn get_values(&self, keys: &[Key]) -> Result<Vec<Option<Vec<u8>>>, Error> {
        let mut values: Vec<Option<Vec<u8>>> = keys.iter().map(|_| None).collect();
        if self.is_purged() {
            return Ok(values);
        }
        let mut parts: BTreeMap<String, Places> = BTreeMap::new();
        for (at, key) in keys.iter().enumerate() {
            let places = parts.entry(key.partition.clone()).or_default();
            places.entry(key.sort.clone()).or_default().push(at);
        }
        let found = stream::iter(parts)
            .map(|(part, places)| self.get_in(part, places))
            .buffer_unordered(AT_ONCE);
        let found: Vec<Vec<(usize, Found)>> = found.try_collect().await?;
        let mut stored = Vec::new();
        for (at, found) in found.into_iter().flatten() {
            match (found, values.get_mut(at), keys.get(at)) {
                (Found::Cached(value), Some(place), _) => *place = Some(value.to_vec()),
                (Found::Stored { value, keep }, _, Some(key)) => {
                    stored.push((at, key.clone(), value, keep));
                }
                _ => {}
            }
        }
        let bytes = stored.iter().map(|(_, _, value, _)| value.len()).sum();
        let opened = compute(bytes, move || {
            let open = |(at, key, stored, keep): (usize, Key, Vec<u8>, bool)| {
                let value = value::decode(&key, &stored);
                (at, key, value, keep)
            };
            stored.into_iter().map(open).collect::<Vec<_>>()
        })
        .await?;
        for (at, key, value, keep) in opened {
            let value = value.ok_or_else(|| self.db.damage(&key.partition, &key.sort))?;
            if keep {
                let value = Arc::from(value.as_slice());
                self.db.cache.insert(self.cache_number(), key, value);
            }
            if let Some(place) = values.get_mut(at) {
                *place = Some(value);
            }
        }
        Ok(values)
    }

    /// Values of keys of one partition.
    async fn get_in(&self, part: String, mut places: Places) -> Result<Vec<(usize, Found)>, Error> {
        let (part, mut found) = (part.as_str(), Vec::new());
        if self.is_gone(part) {
            return Ok(found);
        }
        let Some(facts) = self.facts(part).await? else {
            return Ok(found);
        };
        if facts.objects && !facts.entries {
            self.take_cached(part, &mut places, &mut found);
        }
        self.read_in(part, facts, &mut places, &mut found).await?;
        if places.is_empty() || (facts.entries && facts.objects) {
            return Ok(found);
        }
        // Since it was looked at, the first entry may have been committed there, or the first object put.
        if let Some(place) = self.place(part, Name::PlaceGet).await? {
            let more = Facts {
                entries: place.facts.entries && !facts.entries,
                objects: place.facts.objects && !facts.objects,
                ..place.facts
            };
            self.read_in(part, more, &mut places, &mut found).await?;
        }
        Ok(found)
    }

    fn take_cached(&self, part: &str, places: &mut Places, found: &mut Vec<(usize, Found)>) {
        let mut key = Key {
            partition: part.to_owned(),
            sort: Vec::new(),
        };
        places.retain(|sort, at| {
            key.sort.clear();
            key.sort.extend_from_slice(sort);
            let Some(value) = self.db.cache.get(self.cache_number(), &key) else {
                return true;
            };
            let cached = at.iter().map(|at| (*at, Found::Cached(Arc::clone(&value))));
            found.extend(cached);
            false
        });
    }

    /// Reads keys where these facts say, and takes those that are found out of `places`.
    async fn read_in(
        &self,
        part: &str,
        facts: Facts,
        places: &mut Places,
        found: &mut Vec<(usize, Found)>,
    ) -> Result<(), Error> {
        if places.is_empty() {
            return Ok(());
        }
        let sorts: Vec<Vec<u8>> = places.keys().cloned().collect();
        let entries = async {
            if !facts.entries {
                return Ok(HashMap::new());
            }
            self.stored_entries(part, sorts.clone()).await
        };
        let objects = async {
            if !facts.objects {
                return Ok(HashMap::new());
            }
            self.stored_objects(part, facts.shards, sorts.clone()).await
        };
        let (mut entries, mut objects) = try_join(entries, objects).await?;
        let keep = facts.objects && !facts.entries;
        places.retain(|sort, at| {
            // An entry counts for more than an object: it is later.
            let (value, keep) = match (entries.remove(sort), objects.remove(sort)) {
                (Some(value), _) => (value, false),
                (None, Some(value)) => (value, keep),
                (None, None) => return true,
            };
            if value != DELETED {
                let copies = at.iter().map(|at| {
                    let value = value.clone();
                    (*at, Found::Stored { value, keep })
                });
                found.extend(copies);
            }
            false
        });
        Ok(())
    }

    /// Entries as they are stored, also those of deleted objects.
    pub(crate) async fn stored_entries(
        &self,
        part: &str,
        sorts: Vec<Vec<u8>>,
    ) -> Result<HashMap<Vec<u8>, Vec<u8>>, Error> {
        let chunks: Vec<Vec<Vec<u8>>> = chunks(sorts, ENTRIES_AT_ONCE);
        let read = stream::iter(chunks).map(|chunk| async move {
            let found = match chunk.as_slice() {
                [sort] => self.db.run(Name::HeadGet, (self.ns, part, sort)).await?,
                _ => {
                    self.db
                        .run(Name::HeadGetMany, (self.ns, part, &chunk))
                        .await?
                }
            };
            rows::<ValueRow>(found)
        });
        let read: Vec<Vec<ValueRow>> = read.buffer_unordered(AT_ONCE).try_collect().await?;
        Ok(whole(read))
    }

    /// Objects as they are stored.
    pub(crate) async fn stored_objects(
        &self,
        part: &str,
        shards: i32,
        sorts: Vec<Vec<u8>>,
    ) -> Result<HashMap<Vec<u8>, Vec<u8>>, Error> {
        let mut by_shard: BTreeMap<i32, Vec<Vec<u8>>> = BTreeMap::new();
        for sort in sorts {
            let shard = shard(&sort, shards);
            by_shard.entry(shard).or_default().push(sort);
        }
        let chunks = by_shard.into_iter().flat_map(|(shard, sorts)| {
            let chunks = chunks(sorts, OBJECTS_AT_ONCE);
            chunks.into_iter().map(move |chunk| (shard, chunk))
        });
        let read = stream::iter(chunks).map(|(shard, chunk)| async move {
            let found = if let [sort] = chunk.as_slice() {
                let values = (self.ns, part, shard, sort);
                self.db.run(Name::ObjectGet, values).await?
            } else {
                let values = (self.ns, part, shard, &chunk);
                self.db.run(Name::ObjectGetMany, values).await?
            };
            rows::<ValueRow>(found)
        });
        let read: Vec<Vec<ValueRow>> = read.buffer_unordered(AT_ONCE).try_collect().await?;
        Ok(whole(read))
    }
}

fn chunks(sorts: Vec<Vec<u8>>, most: usize) -> Vec<Vec<Vec<u8>>> {
    let mut chunks = Vec::with_capacity(sorts.len().div_ceil(most));
    let mut sorts = sorts.into_iter().peekable();
    while sorts.peek().is_some() {
        chunks.push(sorts.by_ref().take(most).collect());
    }
    chunks
}

fn whole(read: Vec<Vec<ValueRow>>) -> HashMap<Vec<u8>, Vec<u8>> {
    let rows = read.into_iter().flatten();
    // An empty value comes back as one, or as none.
    rows.map(|(sort, value)| (sort, value.unwrap_or_default()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_in_chunks() {
        let sorts: Vec<Vec<u8>> = (0..17).map(|sort| vec![sort]).collect();
        let lengths: Vec<usize> = chunks(sorts, 8).iter().map(Vec::len).collect();
        assert_eq!(lengths, [8, 8, 1]);
        assert!(chunks(Vec::new(), 8).is_empty());
    }
}
