//! A driver whose writes stay in memory, on top of another one that is only read. It shows what would be, without changing anything.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use parking_lot::Mutex;

use super::{
    Change, Claim, Driver, Entry, Error, Key, Namespace, Object, Page, Quotas, Scan, Stored,
    TenantUsage, local_number,
};

/// Shows the data of another driver together with writes of its own, which are lost with it. It neither renews nor forgets a tenant.
pub struct OverlayDriver {
    base: Arc<dyn Driver>,
    tenants: Mutex<HashMap<String, Arc<OverlayNamespace>>>,
}

struct OverlayNamespace {
    base: Arc<dyn Namespace>,
    writes: Mutex<Writes>,
}

#[derive(Default)]
struct Writes {
    /// By partition and sort key; `None` for a deleted entry.
    partitions: BTreeMap<String, BTreeMap<Vec<u8>, Option<Vec<u8>>>>,
    reclaimed: BTreeSet<String>,
    writers: BTreeSet<String>,
    /// Ids that were retired here, and have not committed since.
    retired: BTreeSet<String>,
    epoch: u64,
}

// === impl OverlayDriver ===

impl OverlayDriver {
    /// Starts without writes.
    pub fn new(base: Arc<dyn Driver>) -> Self {
        Self {
            base,
            tenants: Mutex::default(),
        }
    }
}

fn refused() -> Error {
    Error::Other("an overlay does not change tenants".to_owned())
}

#[async_trait::async_trait]
impl Driver for OverlayDriver {
    fn name(&self) -> &'static str {
        "overlay"
    }

    fn is_durable(&self) -> bool {
        false
    }

    fn writer_id(&self) -> String {
        self.base.writer_id()
    }

    async fn open(&self, tenant: &str) -> Result<Arc<dyn Namespace>, Error> {
        if let Some(known) = self.tenants.lock().get(tenant) {
            return Ok(known.clone());
        }
        let base = self.base.open(tenant).await?;
        let mut tenants = self.tenants.lock();
        let namespace = tenants.entry(tenant.to_owned()).or_insert_with(|| {
            Arc::new(OverlayNamespace {
                base,
                writes: Mutex::default(),
            })
        });
        Ok(namespace.clone())
    }

    async fn renew(&self, _tenant: &str) -> Result<Arc<dyn Namespace>, Error> {
        Err(refused())
    }

    async fn forget(&self, _tenant: &str) -> Result<(), Error> {
        Err(refused())
    }

    fn set_quotas(&self, _quotas: Quotas) {}

    async fn tenants(&self) -> Result<Vec<TenantUsage>, Error> {
        self.base.tenants().await
    }
}

// === impl OverlayNamespace ===

impl OverlayNamespace {
    fn check_partition(writes: &Writes, partition: &str) -> Result<(), Error> {
        if writes.reclaimed.contains(partition) {
            return Err(Error::Other(format!(
                "partition `{partition}` was reclaimed: its name must never be used again"
            )));
        }
        Ok(())
    }

    /// Puts the writes within a page of the base, and within the part of the range that the page covers, in their places.
    fn merge(&self, partition: &str, scan: &Scan, page: Page) -> Page {
        let writes = self.writes.lock();
        let is_empty = scan.end.as_ref().is_some_and(|end| *end <= scan.start);
        let Some(written) = writes.partitions.get(partition).filter(|_| !is_empty) else {
            return page;
        };
        let last = page.entries.last().map(|it| it.sort.clone());
        let edge = last.filter(|_| page.more);
        let (mut start, mut end) = (
            Bound::Included(scan.start.clone()),
            scan.end.clone().map_or(Bound::Unbounded, Bound::Excluded),
        );
        if let Some(edge) = edge {
            if scan.descending {
                start = Bound::Included(edge);
            } else {
                end = Bound::Included(edge);
            }
        }
        let mut entries: BTreeMap<Vec<u8>, Vec<u8>> = page
            .entries
            .into_iter()
            .map(|it| (it.sort, it.value))
            .collect();
        for (sort, value) in written.range((start, end)) {
            match value {
                Some(value) => entries.insert(sort.clone(), value.clone()),
                None => entries.remove(sort),
            };
        }
        let entries = entries
            .into_iter()
            .map(|(sort, value)| Entry { sort, value });
        let mut entries: Vec<Entry> = entries.collect();
        if scan.descending {
            entries.reverse();
        }
        let most = usize::try_from(scan.max_entries.max(1)).unwrap_or(usize::MAX);
        let more = page.more || entries.len() > most;
        entries.truncate(most);
        Page { entries, more }
    }
}

#[async_trait::async_trait]
impl Namespace for OverlayNamespace {
    async fn claim(&self, writer: &str) -> Result<Claim, Error> {
        let mut writes = self.writes.lock();
        writes.epoch += 1;
        Ok(Claim {
            writer: writer.to_owned(),
            epoch: writes.epoch,
            number: local_number(writer),
            is_upkeep: false,
        })
    }

    async fn retire(&self, by: &Claim) -> Result<(), Error> {
        let mut writes = self.writes.lock();
        writes.writers.remove(&by.writer);
        writes.retired.insert(by.writer.clone());
        Ok(())
    }

    async fn is_current(&self) -> Result<bool, Error> {
        self.base.is_current().await
    }

    async fn put(&self, _by: &Claim, objects: Vec<Object>) -> Result<(), Error> {
        let keys: Vec<Key> = objects.iter().map(|it| it.key.clone()).collect();
        let stored = self.get(&keys).await?;
        let mut writes = self.writes.lock();
        for (Object { key, value }, stored) in objects.into_iter().zip(stored) {
            Self::check_partition(&writes, &key.partition)?;
            if stored.is_none() {
                let entries = writes.partitions.entry(key.partition).or_default();
                entries.insert(key.sort, Some(value));
            }
        }
        Ok(())
    }

    async fn commit(&self, by: &Claim, partition: &str, changes: Vec<Change>) -> Result<(), Error> {
        let mut writes = self.writes.lock();
        Self::check_partition(&writes, partition)?;
        writes.writers.insert(by.writer.clone());
        writes.retired.remove(&by.writer);
        let entries = writes.partitions.entry(partition.to_owned()).or_default();
        for change in changes {
            match change {
                Change::Put(Entry { sort, value }) => entries.insert(sort, Some(value)),
                Change::Delete(sort) => entries.insert(sort, None),
            };
        }
        Ok(())
    }

    async fn get(&self, keys: &[Key]) -> Result<Vec<Option<Vec<u8>>>, Error> {
        let written: Vec<Option<Option<Vec<u8>>>> = {
            let writes = self.writes.lock();
            let find = |key: &Key| {
                let entries = writes.partitions.get(&key.partition)?;
                entries.get(&key.sort).cloned()
            };
            keys.iter().map(find).collect()
        };
        let unwritten: Vec<Key> = keys
            .iter()
            .zip(&written)
            .filter(|(_, written)| written.is_none())
            .map(|(key, _)| key.clone())
            .collect();
        let mut stored = self.base.get(&unwritten).await?.into_iter();
        let values = written
            .into_iter()
            .map(|written| written.unwrap_or_else(|| stored.next().flatten()));
        Ok(values.collect())
    }

    async fn scan(&self, partition: &str, scan: &Scan) -> Result<Page, Error> {
        let mut scan = scan.clone();
        loop {
            let page = self.base.scan(partition, &scan).await?;
            let last = page.entries.last().map(|it| it.sort.clone());
            let goes_on = page.more;
            let merged = self.merge(partition, &scan, page);
            let (true, true, Some(last)) = (goes_on, merged.entries.is_empty(), last) else {
                return Ok(merged);
            };
            // All of the page was deleted.
            if scan.descending {
                scan.end = Some(last);
            } else {
                scan.start = [last.as_slice(), &[0]].concat();
            }
        }
    }

    /// What was written here is not told apart.
    async fn scan_stored(&self, partition: &str, kind: Stored, scan: &Scan) -> Result<Page, Error> {
        if self.writes.lock().partitions.contains_key(partition) {
            return Err(Error::Other(format!(
                "partition `{partition}` was written to in an overlay, which does not keep how"
            )));
        }
        self.base.scan_stored(partition, kind, scan).await
    }

    async fn number(&self, writer: &str) -> Result<u16, Error> {
        self.base.number(writer).await
    }

    async fn reclaim(&self, _by: &Claim, partition: &str) -> Result<(), Error> {
        self.writes.lock().reclaimed.insert(partition.to_owned());
        Ok(())
    }

    async fn writers(&self) -> Result<Vec<String>, Error> {
        let mut writers: BTreeSet<String> = self.base.writers().await?.into_iter().collect();
        let writes = self.writes.lock();
        writers.retain(|writer| !writes.retired.contains(writer));
        writers.extend(writes.writers.iter().cloned());
        Ok(writers.into_iter().collect())
    }

    async fn partitions(&self) -> Result<Vec<String>, Error> {
        let mut names: BTreeSet<String> = self.base.partitions().await?.into_iter().collect();
        let writes = self.writes.lock();
        names.extend(writes.partitions.keys().cloned());
        let kept = names
            .into_iter()
            .filter(|name| !writes.reclaimed.contains(name));
        Ok(kept.collect())
    }

    async fn sync(&self, _generation: u64) -> Result<(), Error> {
        Ok(())
    }

    fn stored_bytes(&self) -> u64 {
        self.base.stored_bytes()
    }

    fn host_bytes(&self) -> u64 {
        self.base.host_bytes()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::MemoryDriver;

    fn put(sort: &[u8], value: &[u8]) -> Change {
        Change::Put(Entry {
            sort: sort.to_vec(),
            value: value.to_vec(),
        })
    }

    async fn all(namespace: &dyn Namespace, descending: bool) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut scan = Scan {
            start: Vec::new(),
            end: None,
            descending,
            max_entries: 2,
            max_bytes: 1 << 20,
        };
        let mut found = Vec::new();
        loop {
            let page = namespace.scan("p", &scan).await.unwrap();
            assert!(page.entries.len() <= 2);
            let last = page.entries.last().map(|it| it.sort.clone());
            found.extend(page.entries.into_iter().map(|it| (it.sort, it.value)));
            let (true, Some(last)) = (page.more, last) else {
                return found;
            };
            if descending {
                scan.end = Some(last);
            } else {
                scan.start = [last.as_slice(), &[0]].concat();
            }
        }
    }

    #[tokio::test]
    async fn writes_are_seen_in_their_places_and_the_base_does_not_change() {
        let base = Arc::new(MemoryDriver::new());
        let below = base.open("t").await.unwrap();
        let claim = below.claim("w").await.unwrap();
        let stored = (0..9_u8).map(|n| put(&[n * 2], &[n])).collect();
        below.commit(&claim, "p", stored).await.unwrap();

        let overlay = OverlayDriver::new(base.clone());
        let above = overlay.open("t").await.unwrap();
        let claim = above.claim("w").await.unwrap();
        let mut changes: Vec<Change> = (2..6_u8).map(|n| Change::Delete(vec![n * 2])).collect();
        changes.extend([put(&[0], b"new"), put(&[7], b"seven"), put(&[99], b"last")]);
        above.commit(&claim, "p", changes).await.unwrap();
        let object = |sort: u8| Object {
            key: Key {
                partition: "p".to_owned(),
                sort: vec![sort],
            },
            value: b"object".to_vec(),
        };
        // What is there already is not changed.
        above.put(&claim, vec![object(4), object(2)]).await.unwrap();

        let due: Vec<(Vec<u8>, Vec<u8>)> = [
            (0, b"new".to_vec()),
            (2, vec![1]),
            (4, b"object".to_vec()),
            (7, b"seven".to_vec()),
            (12, vec![6]),
            (14, vec![7]),
            (16, vec![8]),
            (99, b"last".to_vec()),
        ]
        .map(|(sort, value)| (vec![sort], value))
        .into();
        assert_eq!(all(&*above, false).await, due);
        let mut reversed = all(&*above, true).await;
        reversed.reverse();
        assert_eq!(reversed, due);
        let keys: Vec<Key> = (0..20).map(|sort| object(sort).key).collect();
        let values = above.get(&keys).await.unwrap();
        for (key, value) in keys.into_iter().zip(values) {
            let due = due.iter().find(|(sort, _)| *sort == key.sort);
            assert_eq!(value.as_ref(), due.map(|(_, value)| value));
        }
        assert_eq!(all(&*below, false).await.len(), 9);
    }

    #[tokio::test]
    async fn partitions_are_those_of_both_but_for_reclaimed_ones() {
        let base = Arc::new(MemoryDriver::new());
        let below = base.open("t").await.unwrap();
        let claim = below.claim("w").await.unwrap();
        for partition in ["a", "b"] {
            below
                .commit(&claim, partition, vec![put(b"k", b"v")])
                .await
                .unwrap();
        }
        let overlay = OverlayDriver::new(base.clone());
        let above = overlay.open("t").await.unwrap();
        above
            .commit(&claim, "c", vec![put(b"k", b"v")])
            .await
            .unwrap();
        above.reclaim(&claim, "a").await.unwrap();
        assert_eq!(above.partitions().await.unwrap(), ["b", "c"]);
        assert!(above.commit(&claim, "a", Vec::new()).await.is_err());
        assert_eq!(below.partitions().await.unwrap(), ["a", "b"]);
        assert!(overlay.renew("t").await.is_err() && overlay.forget("t").await.is_err());
    }
}
