//! A driver that stores everything in the memory of the process.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::quotas::{self, Growth};
use super::{
    Change, Claim, Driver, Entry, Error, HOST_PREFIX, Key, Namespace, Object, Page, Quotas, Scan,
    Stored, TenantUsage, local_number,
};

/// Time for which a reclaimed partition stays readable: longer than the longest query.
const LINGER: Duration = Duration::from_mins(1);

/// Driver with all namespaces in memory. Its data is lost when the process ends, so it is meant for tests and for trying out plugins.
#[derive(Debug)]
pub struct MemoryDriver {
    tenants: Mutex<HashMap<String, Arc<MemoryNamespace>>>,
    quotas: Arc<Mutex<Quotas>>,
    linger: Duration,
}

#[derive(Debug)]
struct MemoryNamespace {
    tenant: String,
    quotas: Arc<Mutex<Quotas>>,
    state: Mutex<MemoryState>,
    linger: Duration,
}

#[derive(Debug, Default)]
struct MemoryState {
    partitions: BTreeMap<String, BTreeMap<Vec<u8>, Vec<u8>>>,
    /// Keys of the values that were put, and not committed over since.
    objects: BTreeMap<String, BTreeSet<Vec<u8>>>,
    /// Names that can never be used again.
    reclaimed: BTreeSet<String>,
    /// Reclaimed partitions that are still readable, oldest first.
    lingering: VecDeque<(Instant, String)>,
    epochs: HashMap<String, u64>,
    committed: BTreeSet<String>,
    stored_bytes: u64,
    purged: bool,
}

// === impl MemoryDriver ===

impl MemoryDriver {
    /// Creates an empty store.
    pub fn new() -> Self {
        Self::with_linger(LINGER)
    }

    /// Creates an empty store in which reclaimed partitions stay readable for `linger`.
    fn with_linger(linger: Duration) -> Self {
        Self {
            tenants: Mutex::default(),
            quotas: Arc::default(),
            linger,
        }
    }

    fn namespace(&self, tenant: &str) -> Arc<MemoryNamespace> {
        Arc::new(MemoryNamespace {
            tenant: tenant.to_owned(),
            quotas: Arc::clone(&self.quotas),
            state: Mutex::default(),
            linger: self.linger,
        })
    }
}

impl Default for MemoryDriver {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait::async_trait]
impl Driver for MemoryDriver {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn is_durable(&self) -> bool {
        false
    }

    fn writer_id(&self) -> String {
        "local".to_owned()
    }

    async fn open(&self, tenant: &str) -> Result<Arc<dyn Namespace>, Error> {
        let mut tenants = self.tenants.lock();
        let namespace = tenants
            .entry(tenant.to_owned())
            .or_insert_with(|| self.namespace(tenant));
        Ok(namespace.clone())
    }

    async fn renew(&self, tenant: &str) -> Result<Arc<dyn Namespace>, Error> {
        let new = self.namespace(tenant);
        let old = self.tenants.lock().insert(tenant.to_owned(), new.clone());
        if let Some(old) = old {
            old.purge();
        }
        Ok(new)
    }

    async fn forget(&self, tenant: &str) -> Result<(), Error> {
        let old = self.tenants.lock().remove(tenant);
        if let Some(old) = old {
            old.purge();
        }
        Ok(())
    }

    fn set_quotas(&self, quotas: Quotas) {
        *self.quotas.lock() = quotas;
    }

    async fn tenants(&self) -> Result<Vec<TenantUsage>, Error> {
        let tenants = self.tenants.lock();
        let stored = tenants.iter().map(|(tenant, namespace)| TenantUsage {
            tenant: tenant.clone(),
            bytes: namespace.stored_bytes(),
        });
        Ok(stored.collect())
    }
}

// === impl MemoryNamespace ===

impl MemoryNamespace {
    /// Removes all data. Claims of this namespace are fenced.
    fn purge(&self) {
        *self.state.lock() = MemoryState {
            purged: true,
            ..MemoryState::default()
        };
    }

    /// Returns an error if the tenant has used up its quota.
    fn check_quota(&self, state: &MemoryState, growth: Growth) -> Result<(), Error> {
        let quota = self.quotas.lock().of(&self.tenant);
        quotas::check(quota, state.stored_bytes, growth)
    }
}

#[async_trait::async_trait]
impl Namespace for MemoryNamespace {
    async fn claim(&self, writer: &str) -> Result<Claim, Error> {
        let mut state = self.state.lock();
        let epoch = state.epochs.entry(writer.to_owned()).or_default();
        *epoch += 1;
        Ok(Claim {
            writer: writer.to_owned(),
            epoch: *epoch,
            number: local_number(writer),
            is_upkeep: false,
        })
    }

    async fn retire(&self, by: &Claim) -> Result<(), Error> {
        let mut state = self.state.lock();
        state.check(by)?;
        state.committed.remove(&by.writer);
        state
            .epochs
            .entry(by.writer.clone())
            .and_modify(|epoch| *epoch += 1);
        Ok(())
    }

    async fn is_current(&self) -> Result<bool, Error> {
        Ok(!self.state.lock().purged)
    }

    async fn put(&self, by: &Claim, objects: Vec<Object>) -> Result<(), Error> {
        let mut state = self.state.lock();
        state.check(by)?;
        self.check_quota(&state, Growth::Put)?;
        for Object { key, value } in objects {
            state.check_partition(&key.partition)?;
            if state.value(&key).is_none() {
                state.set(&key.partition, key.sort.clone(), value);
                let objects = state.objects.entry(key.partition).or_default();
                objects.insert(key.sort);
            }
        }
        Ok(())
    }

    async fn commit(&self, by: &Claim, partition: &str, changes: Vec<Change>) -> Result<(), Error> {
        let mut state = self.state.lock();
        state.check(by)?;
        state.check_partition(partition)?;
        if changes
            .iter()
            .any(|change| matches!(change, Change::Put(_)))
        {
            self.check_quota(&state, Growth::Commit)?;
        }
        for change in changes {
            match change {
                Change::Put(Entry { sort, value }) => state.set(partition, sort, value),
                Change::Delete(sort) => state.unset(partition, &sort),
            }
        }
        state.committed.insert(by.writer.clone());
        state.drop_lingering(self.linger);
        Ok(())
    }

    async fn get(&self, keys: &[Key]) -> Result<Vec<Option<Vec<u8>>>, Error> {
        let state = self.state.lock();
        Ok(keys.iter().map(|key| state.value(key).cloned()).collect())
    }

    async fn scan(&self, partition: &str, scan: &Scan) -> Result<Page, Error> {
        Ok(self.state.lock().scan(partition, None, scan))
    }

    async fn scan_stored(&self, partition: &str, kind: Stored, scan: &Scan) -> Result<Page, Error> {
        Ok(self.state.lock().scan(partition, Some(kind), scan))
    }

    async fn reclaim(&self, by: &Claim, partition: &str) -> Result<(), Error> {
        let mut state = self.state.lock();
        state.check(by)?;
        if state.reclaimed.insert(partition.to_owned()) {
            let entries = state.partitions.get(partition);
            let bytes: u64 = entries
                .into_iter()
                .flatten()
                .map(|(k, v)| weight(k, v))
                .sum();
            state.stored_bytes -= bytes;
            state
                .lingering
                .push_back((Instant::now(), partition.to_owned()));
        }
        state.drop_lingering(self.linger);
        Ok(())
    }

    async fn writers(&self) -> Result<Vec<String>, Error> {
        Ok(self.state.lock().committed.iter().cloned().collect())
    }

    async fn partitions(&self) -> Result<Vec<String>, Error> {
        let state = self.state.lock();
        let names = state.partitions.keys();
        Ok(names
            .filter(|name| !state.reclaimed.contains(*name))
            .cloned()
            .collect())
    }

    async fn sync(&self, _generation: u64) -> Result<(), Error> {
        Ok(())
    }

    fn stored_bytes(&self) -> u64 {
        self.state.lock().stored_bytes
    }

    fn host_bytes(&self) -> u64 {
        let state = self.state.lock();
        let is_own =
            |name: &String| name.starts_with(HOST_PREFIX) && !state.reclaimed.contains(name);
        let own = state.partitions.iter().filter(|(name, _)| is_own(name));
        own.flat_map(|(_, entries)| entries)
            .map(|(sort, value)| weight(sort, value))
            .sum()
    }
}

// === impl MemoryState ===

impl MemoryState {
    fn check(&self, by: &Claim) -> Result<(), Error> {
        if self.purged || self.epochs.get(&by.writer) != Some(&by.epoch) {
            return Err(Error::Fenced);
        }
        Ok(())
    }

    fn check_partition(&self, partition: &str) -> Result<(), Error> {
        if self.reclaimed.contains(partition) {
            return Err(Error::Other(format!(
                "partition `{partition}` was reclaimed: its name must never be used again"
            )));
        }
        Ok(())
    }

    fn drop_lingering(&mut self, linger: Duration) {
        while let Some((_, name)) = self
            .lingering
            .pop_front_if(|(since, _)| since.elapsed() >= linger)
        {
            self.partitions.remove(&name);
            self.objects.remove(&name);
        }
    }

    /// A page of a partition; of what is of one kind, if one is given.
    fn scan(&self, partition: &str, kind: Option<Stored>, scan: &Scan) -> Page {
        let end = match &scan.end {
            Some(end) if *end <= scan.start => return Page::default(),
            Some(end) => Bound::Excluded(end.as_slice()),
            None => Bound::Unbounded,
        };
        let Some(entries) = self.partitions.get(partition) else {
            return Page::default();
        };
        let objects = self.objects.get(partition);
        let is_wanted = |(sort, _): &(&Vec<u8>, &Vec<u8>)| {
            let is_object = objects.is_some_and(|objects| objects.contains(*sort));
            kind.is_none_or(|kind| (kind == Stored::Object) == is_object)
        };
        let range = entries.range::<[u8], _>((Bound::Included(scan.start.as_slice()), end));
        let range = range.filter(is_wanted);
        if scan.descending {
            page(range.rev(), scan)
        } else {
            page(range, scan)
        }
    }

    fn value(&self, key: &Key) -> Option<&Vec<u8>> {
        self.partitions.get(&key.partition)?.get(&key.sort)
    }

    fn set(&mut self, partition: &str, sort: Vec<u8>, value: Vec<u8>) {
        self.unset(partition, &sort);
        self.stored_bytes += weight(&sort, &value);
        let entries = self.partitions.entry(partition.to_owned()).or_default();
        entries.insert(sort, value);
    }

    fn unset(&mut self, partition: &str, sort: &[u8]) {
        let entries = self.partitions.get_mut(partition);
        if let Some(value) = entries.and_then(|entries| entries.remove(sort)) {
            self.stored_bytes -= weight(sort, &value);
        }
        if let Some(objects) = self.objects.get_mut(partition) {
            objects.remove(sort);
        }
    }
}

fn weight(sort: &[u8], value: &[u8]) -> u64 {
    (sort.len() + value.len()) as u64
}

fn page<'a>(range: impl Iterator<Item = (&'a Vec<u8>, &'a Vec<u8>)>, scan: &Scan) -> Page {
    let mut page = Page::default();
    let mut bytes = 0;
    for (sort, value) in range {
        bytes += weight(sort, value);
        let full = page.entries.len() as u64 >= u64::from(scan.max_entries)
            || bytes > u64::from(scan.max_bytes);
        if full && !page.entries.is_empty() {
            page.more = true;
            break;
        }
        page.entries.push(Entry {
            sort: sort.clone(),
            value: value.clone(),
        });
    }
    page
}

#[cfg(test)]
mod tests;
