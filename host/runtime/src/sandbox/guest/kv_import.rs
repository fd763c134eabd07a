//! The contract's `kv` import: checks what a guest hands over, then asks the driver.

use larder_store::{self as kv, Claim, MAX_COMMIT_BYTES, MAX_OBJECT_BYTES};

use super::state::State;
use crate::sandbox::bindings::larder::storage::kv as wit;

const MAX_PARTITION_BYTES: usize = 256;
const MAX_SORT_BYTES: usize = 1024;
/// What comes next after the longest key is a byte longer.
const MAX_BOUND_BYTES: usize = MAX_SORT_BYTES + 1;
/// Objects of one `put`, changes of one `commit`, keys of one `get`.
const MAX_ITEMS: usize = 16_384;
/// What one call may move, into or out of kv.
const MAX_CALL_BYTES: usize = 32 << 20;
/// What one page of a scan may hold.
const MAX_PAGE_ENTRIES: u32 = 16_384;
const MAX_PAGE_BYTES: u32 = 8 << 20;

impl State {
    fn claim(&self) -> Result<&Claim, wit::Error> {
        self.kv.claim.as_ref().ok_or_else(|| {
            wit::Error::Other("an instance with the role `reader` cannot write to kv".into())
        })
    }
}

impl wit::Host for State {
    async fn put(&mut self, objects: Vec<wit::Object>) -> Result<(), wit::Error> {
        let claim = self.claim()?;
        check_items("objects", objects.len())?;
        let mut total = 0;
        for object in &objects {
            check_key(&object.key.partition, &object.key.sort)?;
            check_bytes("an object", object.value.len(), MAX_OBJECT_BYTES)?;
            total += object.key.sort.len() + object.value.len();
        }
        check_bytes("the objects of one put", total, MAX_CALL_BYTES)?;
        let objects = objects.into_iter().map(|object| kv::Object {
            key: key(object.key),
            value: object.value,
        });
        Ok(self.kv.namespace.put(claim, objects.collect()).await?)
    }

    async fn commit(
        &mut self,
        partition: String,
        changes: Vec<wit::Change>,
    ) -> Result<(), wit::Error> {
        let claim = self.claim()?;
        check_items("changes", changes.len())?;
        let mut total = 0;
        for change in &changes {
            let (sort, value) = match change {
                wit::Change::Put(entry) => (&entry.sort, entry.value.len()),
                wit::Change::Delete(sort) => (sort, 0),
            };
            check_key(&partition, sort)?;
            total += sort.len() + value;
        }
        check_bytes("a commit", total, MAX_COMMIT_BYTES)?;
        let changes = changes.into_iter().map(|change| match change {
            wit::Change::Put(wit::Entry { sort, value }) => {
                kv::Change::Put(kv::Entry { sort, value })
            }
            wit::Change::Delete(sort) => kv::Change::Delete(sort),
        });
        let namespace = &self.kv.namespace;
        Ok(namespace
            .commit(claim, &partition, changes.collect())
            .await?)
    }

    async fn get(&mut self, keys: Vec<wit::Key>) -> Result<Vec<Option<Vec<u8>>>, wit::Error> {
        check_items("keys", keys.len())?;
        for key in &keys {
            check_key(&key.partition, &key.sort)?;
        }
        let keys: Vec<_> = keys.into_iter().map(key).collect();
        let values = self.kv.namespace.get(&keys).await?;
        let total = values.iter().flatten().map(Vec::len).sum();
        check_bytes("the values of one get", total, MAX_CALL_BYTES)?;
        Ok(values)
    }

    async fn scan(
        &mut self,
        partition: String,
        range: wit::Range,
        direction: wit::Direction,
        max_entries: u32,
        max_bytes: u32,
    ) -> Result<wit::Page, wit::Error> {
        check_key(&partition, &[])?;
        for bound in [Some(&range.start), range.end.as_ref()]
            .into_iter()
            .flatten()
        {
            check_bytes("a bound of a scan", bound.len(), MAX_BOUND_BYTES)?;
        }
        let scan = kv::Scan {
            start: range.start,
            end: range.end,
            descending: matches!(direction, wit::Direction::Descending),
            max_entries: max_entries.min(MAX_PAGE_ENTRIES),
            max_bytes: max_bytes.min(MAX_PAGE_BYTES),
        };
        let page = self.kv.namespace.scan(&partition, &scan).await?;
        let entries = page.entries.into_iter().map(|entry| wit::Entry {
            sort: entry.sort,
            value: entry.value,
        });
        Ok(wit::Page {
            entries: entries.collect(),
            more: page.more,
        })
    }

    async fn reclaim(&mut self, partition: String) -> Result<(), wit::Error> {
        let claim = self.claim()?;
        check_key(&partition, &[])?;
        Ok(self.kv.namespace.reclaim(claim, &partition).await?)
    }

    async fn writers(&mut self) -> Result<Vec<String>, wit::Error> {
        Ok(self.kv.namespace.writers().await?)
    }

    async fn partitions(&mut self) -> Result<Vec<String>, wit::Error> {
        Ok(self.kv.namespace.partitions().await?)
    }
}

impl From<kv::Error> for wit::Error {
    fn from(error: kv::Error) -> Self {
        match error {
            kv::Error::Unavailable(text) => Self::Unavailable(text),
            kv::Error::OutcomeUnknown(text) => Self::OutcomeUnknown(text),
            kv::Error::Fenced => Self::Fenced,
            kv::Error::QuotaExceeded(text) => Self::QuotaExceeded(text),
            kv::Error::TooLarge(text) => Self::TooLarge(text),
            kv::Error::DataLoss(text) => Self::DataLoss(text),
            kv::Error::Other(text) => Self::Other(text),
        }
    }
}

fn key(key: wit::Key) -> kv::Key {
    kv::Key {
        partition: key.partition,
        sort: key.sort,
    }
}

fn check_items(what: &str, count: usize) -> Result<(), wit::Error> {
    if count > MAX_ITEMS {
        let text = format!("{count} {what} in one call; at most {MAX_ITEMS}");
        return Err(wit::Error::TooLarge(text));
    }
    Ok(())
}

fn check_bytes(what: &str, bytes: usize, most: usize) -> Result<(), wit::Error> {
    if bytes > most {
        let text = format!("{what}: {bytes} bytes; at most {most}");
        return Err(wit::Error::TooLarge(text));
    }
    Ok(())
}

fn check_key(partition: &str, sort: &[u8]) -> Result<(), wit::Error> {
    if partition.is_empty() {
        let text = "the empty name is no partition".to_owned();
        return Err(wit::Error::Other(text));
    }
    check_bytes("a partition's name", partition.len(), MAX_PARTITION_BYTES)?;
    check_bytes("a key", sort.len(), MAX_SORT_BYTES)
}
