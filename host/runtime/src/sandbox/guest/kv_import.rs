//! A guest's calls on kv, in any version of the contract: each is checked, then passed on to the driver.

use std::sync::atomic::Ordering;

use larder_store::{
    Change, Claim, Error, HOST_PREFIX, Key, MAX_COMMIT_BYTES, MAX_OBJECT_BYTES, Object, Page, Scan,
};

use super::ahead::{Found, Refreshing};
use super::state::KvAccess;
use crate::sandbox::contract::Sizes;

const MAX_PARTITION_BYTES: usize = 256;
const MAX_SORT_BYTES: usize = 1024;
/// A scan may begin just after the longest key: at that key and one byte.
const MAX_BOUND_BYTES: usize = MAX_SORT_BYTES + 1;
/// Objects of one `put`, changes of one `commit`, keys of one `get`.
const MAX_ITEMS: usize = 16_384;
/// The most bytes that one call may move, into or out of kv.
const MAX_CALL_BYTES: usize = 32 << 20;
const MAX_PAGE_ENTRIES: u32 = 16_384;
const MAX_PAGE_BYTES: u32 = 8 << 20;

impl KvAccess {
    fn claim(&self) -> Result<&Claim, Error> {
        self.claim.as_ref().ok_or_else(|| {
            Error::Other("an instance with the role `reader` cannot write to kv".into())
        })
    }

    pub(crate) async fn put(&self, objects: Vec<Object>) -> Result<(), Error> {
        let claim = self.claim()?;
        check_items("objects", objects.len())?;
        let mut total = 0;
        for object in &objects {
            check_key(&object.key.partition, &object.key.sort)?;
            check_bytes("an object", object.value.len(), MAX_OBJECT_BYTES)?;
            total += object.key.sort.len() + object.value.len();
        }
        check_bytes("the objects of one put", total, MAX_CALL_BYTES)?;
        self.noted(self.namespace.put(claim, objects).await)
    }

    pub(crate) async fn commit(&self, partition: &str, changes: Vec<Change>) -> Result<(), Error> {
        let claim = self.claim()?;
        check_items("changes", changes.len())?;
        let mut total = 0;
        for change in &changes {
            let (sort, value) = match change {
                Change::Put(entry) => (&entry.sort, entry.value.len()),
                Change::Delete(sort) => (sort, 0),
            };
            check_key(partition, sort)?;
            total += sort.len() + value;
        }
        check_bytes("a commit", total, MAX_COMMIT_BYTES)?;
        self.tell_of_upkeep().await?;
        let committed = self.namespace.commit(claim, partition, changes).await;
        self.noted(committed)
    }

    pub(crate) async fn get(&mut self, keys: &[Key]) -> Result<Vec<Option<Vec<u8>>>, Error> {
        check_items("keys", keys.len())?;
        for key in keys {
            check_key(&key.partition, &key.sort)?;
        }
        let ahead = self.refreshing.as_mut().map(|it| it.take_values(keys));
        let values = match ahead {
            None => self.namespace.get(keys).await?,
            Some(ahead) => self.get_others(keys, ahead).await?,
        };
        let total = values.iter().flatten().map(Vec::len).sum();
        check_bytes("the values of one get", total, MAX_CALL_BYTES)?;
        Ok(values)
    }

    /// Reads the keys that were not read ahead.
    async fn get_others(
        &self,
        keys: &[Key],
        ahead: Vec<Found>,
    ) -> Result<Vec<Option<Vec<u8>>>, Error> {
        let pairs = keys.iter().zip(&ahead);
        let others = pairs.filter(|(_, found)| **found == Found::NotRead);
        let others: Vec<Key> = others.map(|(key, _)| key.clone()).collect();
        let mut read = if others.is_empty() {
            Vec::new()
        } else {
            self.namespace.get(&others).await?
        }
        .into_iter();
        let values = ahead.into_iter().map(|found| match found {
            Found::Value(value) => value,
            Found::NotRead => read.next().flatten(),
        });
        Ok(values.collect())
    }

    /// A page larger than the limits allow is cut short.
    pub(crate) async fn scan(&self, partition: &str, mut scan: Scan) -> Result<Page, Error> {
        check_key(partition, &[])?;
        for bound in [Some(&scan.start), scan.end.as_ref()].into_iter().flatten() {
            check_bytes("a bound of a scan", bound.len(), MAX_BOUND_BYTES)?;
        }
        scan.max_entries = scan.max_entries.min(MAX_PAGE_ENTRIES);
        scan.max_bytes = scan.max_bytes.min(MAX_PAGE_BYTES);
        self.namespace.scan(partition, &scan).await
    }

    pub(crate) async fn reclaim(&self, partition: &str) -> Result<(), Error> {
        let claim = self.claim()?;
        check_key(partition, &[])?;
        self.tell_of_upkeep().await?;
        self.noted(self.namespace.reclaim(claim, partition).await)
    }

    /// Has it noted that upkeep is about to change what is stored.
    async fn tell_of_upkeep(&self) -> Result<(), Error> {
        let Some(before_upkeep) = &self.before_upkeep else {
            return Ok(());
        };
        if !self.is_to_tell.load(Ordering::Relaxed) {
            return Ok(());
        }
        let told = before_upkeep.before_upkeep().await;
        told.map_err(|error| Error::Unavailable(error.message().to_owned()))?;
        self.is_to_tell.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// Remembers that the claim holds no longer: the guest may make nothing of it.
    fn noted(&self, written: Result<(), Error>) -> Result<(), Error> {
        if let Err(Error::Fenced | Error::Held(_)) = &written {
            self.is_fenced.store(true, Ordering::Relaxed);
        }
        written
    }

    /// What the tenant and the writer of this instance take up. A plugin with a limit must not drop data for what the host keeps beside it.
    pub(super) fn sizes(&self) -> Sizes {
        let namespace = &self.namespace;
        let own = |claim: &Claim| namespace.writer_bytes(&claim.writer);
        Sizes {
            tenant: namespace
                .stored_bytes()
                .saturating_sub(namespace.host_bytes()),
            own: self.claim.as_ref().map_or(0, own),
        }
    }

    /// The ids of all writers but the host's own.
    pub(crate) async fn writers(&mut self) -> Result<Vec<String>, Error> {
        let ahead = self.refreshing.as_mut().and_then(Refreshing::take_writers);
        let writers = match ahead {
            None => self.namespace.writers().await?,
            Some(writers) => writers,
        };
        Ok(without_the_host_s(writers))
    }

    /// The names of all partitions but the host's own.
    pub(crate) async fn partitions(&self) -> Result<Vec<String>, Error> {
        self.namespace.partitions().await.map(without_the_host_s)
    }
}

fn without_the_host_s(mut names: Vec<String>) -> Vec<String> {
    names.retain(|name| !name.starts_with(HOST_PREFIX));
    names
}

fn check_items(items: &str, count: usize) -> Result<(), Error> {
    if count > MAX_ITEMS {
        let text = format!("{count} {items} in one call; at most {MAX_ITEMS}");
        return Err(Error::TooLarge(text));
    }
    Ok(())
}

fn check_bytes(subject: &str, bytes: usize, most: usize) -> Result<(), Error> {
    if bytes > most {
        let text = format!("{subject}: {bytes} bytes; at most {most}");
        return Err(Error::TooLarge(text));
    }
    Ok(())
}

fn check_key(partition: &str, sort: &[u8]) -> Result<(), Error> {
    if partition.is_empty() {
        let text = "the empty name is no partition".to_owned();
        return Err(Error::Other(text));
    }
    if partition.starts_with(HOST_PREFIX) {
        let text = format!(
            "partitions whose names begin with `{HOST_PREFIX}` are the host's own; choose another name"
        );
        return Err(Error::Other(text));
    }
    check_bytes("a partition's name", partition.len(), MAX_PARTITION_BYTES)?;
    check_bytes("a key", sort.len(), MAX_SORT_BYTES)
}
