//! Puts: plain writes at a quorum, repeated until they succeed.

use std::collections::{HashMap, HashSet};

use futures_util::future::try_join;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use larder_store::{Change, Claim, Entry, Error, Growth, Key, Object, value};

use crate::commit::DELETED;
use crate::namespace::{Space, compute};
use crate::places::{Facts, Kind, shard};
use crate::seats::entry_hash;
use crate::statements::Name;

/// An object as it is stored.
struct Stored {
    key: Key,
    shard: i32,
    value: Vec<u8>,
}

// === impl Space ===

impl Space {
    pub(crate) async fn put_objects(&self, by: &Claim, objects: Vec<Object>) -> Result<(), Error> {
        self.check(by)?;
        self.check_quota(Growth::Put)?;
        let mut parts: Vec<&str> = objects
            .iter()
            .map(|object| object.key.partition.as_str())
            .collect();
        parts.sort_unstable();
        parts.dedup();
        let mut facts = HashMap::new();
        for part in parts {
            self.check_name(part)?;
            let (fact, _) = self.register(by, part, Kind::Objects).await?;
            facts.insert(part.to_owned(), fact);
        }
        let (objects, again) = self.without_entries(objects, &facts).await?;
        for Object { key, value } in again {
            let entry = Entry {
                sort: key.sort,
                value,
            };
            self.commit_changes(by, &key.partition, vec![Change::Put(entry)])
                .await?;
        }
        let bytes = objects.iter().map(|object| object.value.len()).sum();
        let objects = compute(bytes, move || {
            let encode = |Object { key, value }: Object| {
                let shards = facts.get(&key.partition).map_or(1, |fact| fact.shards);
                Stored {
                    shard: shard(&key.sort, shards),
                    value: value::encode(&key, value),
                    key,
                }
            };
            objects.into_iter().map(encode).collect::<Vec<_>>()
        })
        .await?;
        let counts: Vec<(String, u64, u64)> = objects
            .iter()
            .map(|Stored { key, value, .. }| {
                let bytes = (key.sort.len() + value.len()) as u64;
                (key.partition.clone(), entry_hash(&key.sort), bytes)
            })
            .collect();
        // What a fenced claim puts does no harm, as nothing refers to it; but it must not be told that all is well.
        let writes = stream::iter(objects)
            .map(|object| self.write_object(object))
            .buffer_unordered(self.db.options.max_in_flight.max(1))
            .try_collect::<()>();
        try_join(self.check_claim(by), writes).await?;
        let mut usage = self.usage.lock();
        for (part, hash, bytes) in counts {
            if usage.note_put(&part, hash) {
                usage.add(&by.writer, &part, bytes, 0);
            }
        }
        Ok(())
    }

    async fn write_object(&self, object: Stored) -> Result<(), Error> {
        let values = (
            self.ns,
            &object.key.partition,
            object.shard,
            &object.key.sort,
            &object.value,
            self.db.falling.next(),
        );
        self.db.run(Name::ObjectPut, values).await?;
        Ok(())
    }

    /// Leaves out objects in whose place there is an entry, which is not changed. Objects that a commit has deleted come second: they can
    /// only come back as entries.
    async fn without_entries(
        &self,
        objects: Vec<Object>,
        facts: &HashMap<String, Facts>,
    ) -> Result<(Vec<Object>, Vec<Object>), Error> {
        let mut entries: HashSet<(String, Vec<u8>)> = HashSet::new();
        let mut deleted: HashSet<(String, Vec<u8>)> = HashSet::new();
        for (part, _) in facts.iter().filter(|(_, fact)| fact.entries) {
            let of_part = objects
                .iter()
                .filter(|object| object.key.partition == *part);
            let sorts = of_part.map(|object| object.key.sort.clone()).collect();
            for (sort, value) in self.stored_entries(part, sorts).await? {
                let place = (part.clone(), sort);
                if value == DELETED {
                    deleted.insert(place);
                } else {
                    entries.insert(place);
                }
            }
        }
        if entries.is_empty() && deleted.is_empty() {
            return Ok((objects, Vec::new()));
        }
        let place = |object: &Object| (object.key.partition.clone(), object.key.sort.clone());
        let (again, objects): (Vec<_>, Vec<_>) = objects
            .into_iter()
            .filter(|object| !entries.contains(&place(object)))
            .partition(|object| deleted.contains(&place(object)));
        Ok((objects, again))
    }
}
