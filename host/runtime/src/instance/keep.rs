//! The host's own place in a tenant's namespace, where the observer of the tenant keeps what it derives from the data.
//!
//! | partition | contents |
//! |---|---|
//! | `_host/graph/state/GAP/EPOCH/PLUGIN` | the state |
//! | `_host/graph/group/NAME` | a group |
//!
//! In a store that several hosts share, `_host/graph/` is followed by the host's id and a slash. There each host writes to its own partitions
//! alone, and reads the states of all ([`hosts`]).
//!
//! What is kept must not be used after somebody wrote to the data without the observer: an older release, this one with the observer
//! turned off, another plugin, or a repair. Every instance that writes claims the writer's id, and an observed one has the host claim an id
//! of its own right after that. So the *gap* between the two epochs is the same for as long as all instances are observed, and grows with
//! each one that is not. It is part of the name of the state, with the plugin's name; a state of another gap, or of another plugin, is
//! reclaimed. The epoch in the name is that of the host's claim when the state was begun, so a name is never used twice.
//!
//! In a shared store the gap of today is not compared: a host that adopts the data of a dead one claims the writer's id alone, and adds nothing
//! to the data. No older release knows such a store, an observer that is turned off is told all the same, and a repair calls nothing listed
//! that was not.

mod common;
mod hosts;
mod names;
mod retire;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use larder_model::storage::{Common, Error, ErrorKind, HostState, Keep, KeepChange};
use larder_store::{
    self as kv, Change, Claim, Driver, Entry, HOST_PREFIX, Key, MemoryDriver, Namespace, Object,
    Scan,
};
use tokio::sync::RwLock;

use super::fence::Fence;
use common::{CommonPlace, Shown};
use hosts::{Hosts, IN_USE};
use names::{Names, StateName, own_writer};
pub(crate) use retire::retire;

/// The gap of a state that does not tell of all that its host has written.
const NOT_WHOLE: u64 = 1;
/// Bytes of one page of the state.
const PAGE_BYTES: u32 = 1 << 20;
/// Entries of one page of the state.
const PAGE_ENTRIES: u32 = 1 << 16;

/// A page of entries, and whether there are more.
type Entries = (Vec<(Vec<u8>, Vec<u8>)>, bool);

/// See the module.
pub(crate) struct NamespaceKeep {
    namespace: Arc<dyn Namespace>,
    is_durable: bool,
    is_shared: bool,
    /// The id of the host, and of its own writer.
    host: String,
    writer: String,
    names: Names,
    /// The name of the plugin whose data is observed.
    plugin: Arc<str>,
    /// Locked for writing while the id is claimed. `None` before the first claim.
    claimed: Arc<RwLock<Option<Claimed>>>,
    /// False if the host had written nothing when its id was first claimed.
    had_written: AtomicBool,
    /// The number of times that what was in use may have been replaced by another state, or changed by another process.
    begun_anew: AtomicU64,
    fence: Fence,
    hosts: Hosts,
    /// Where the store is shared.
    common: Option<Arc<CommonPlace>>,
}

struct Claimed {
    claim: Claim,
    gap: u64,
    /// The partition of the state.
    state: String,
}

/// A new place in the memory of this process.
pub(crate) async fn in_memory() -> Result<Arc<dyn Keep>, kv::Error> {
    let driver = MemoryDriver::new();
    let namespace = driver.open("").await?;
    let keep = NamespaceKeep::new(namespace, &driver, "".into());
    keep.claim(0).await?;
    Ok(Arc::new(keep))
}

/// Gives back all that this host keeps in a tenant's namespace, so that it is derived anew: in a store that it has to itself, everything of
/// any host. Nobody may write as this host meanwhile. Returns `false`, and changes nothing, if nothing is kept there.
///
/// # Errors
/// The driver's.
pub(crate) async fn forget(
    namespace: &dyn Namespace,
    driver: &dyn Driver,
) -> Result<bool, kv::Error> {
    let (writer, is_shared) = (driver.writer_id(), driver.is_shared());
    let names = Names::new(&writer, is_shared);
    let base = if is_shared { names.base() } else { HOST_PREFIX };
    let partitions = namespace.partitions().await?;
    let mut own = partitions
        .iter()
        .filter(|name| name.starts_with(base))
        .peekable();
    if own.peek().is_none() {
        return Ok(false);
    }
    // Both, and in this order, so that the gap never shrinks.
    namespace.claim(&writer).await?;
    let claim = namespace.claim(&own_writer(&writer)).await?;
    for name in own {
        if is_shared && names.is_state(name) {
            leave(namespace, &claim, name).await?;
        }
        namespace.reclaim(&claim, name).await?;
    }
    Ok(true)
}

/// Tells the other hosts that a state of a shared store is no longer in use.
async fn leave(namespace: &dyn Namespace, claim: &Claim, state: &str) -> Result<(), kv::Error> {
    let unused = vec![Change::Delete(IN_USE.to_vec())];
    namespace.commit(&upkeep(claim), state, unused).await
}

/// The same right, for what is no client's.
fn upkeep(claim: &Claim) -> Claim {
    Claim {
        is_upkeep: true,
        ..claim.clone()
    }
}

// === impl NamespaceKeep ===

impl NamespaceKeep {
    /// A place for what is derived from the data that `plugin` stores in a namespace of the driver. Nothing can be kept before
    /// [`NamespaceKeep::claim`].
    pub(crate) fn new(
        namespace: Arc<dyn Namespace>,
        driver: &dyn Driver,
        plugin: Arc<str>,
    ) -> Self {
        let (host, is_shared) = (driver.writer_id(), driver.is_shared());
        Self::of((namespace, plugin), &host, (driver.is_durable(), is_shared))
    }

    /// The place of a dead host, whose id was adopted before: a new one if nobody has observed what it wrote, as with what was copied here.
    ///
    /// # Errors
    /// The driver's; [`kv::Error::Held`] if the host is alive after all.
    pub(crate) async fn adopt(
        namespace: Arc<dyn Namespace>,
        driver: &dyn Driver,
        (plugin, dead): (Arc<str>, &str),
    ) -> Result<Self, kv::Error> {
        let id = own_writer(dead);
        let claim = match namespace.adopt(&id).await? {
            Some(claim) => claim,
            // Nobody has it, or this host has had it.
            None => namespace.claim(&id).await?,
        };
        let keep = Self::of((namespace, plugin), dead, (driver.is_durable(), true));
        let partitions = keep.namespace.partitions().await?;
        let fitting = partitions.iter().filter_map(|partition| {
            let state = keep.names.parse(partition)?;
            (state.plugin == &*keep.plugin).then_some((state.epoch, partition))
        });
        let state = match fitting.max() {
            Some((_, state)) => state.clone(),
            None => keep.begin(&claim, NOT_WHOLE).await?,
        };
        *keep.claimed.write().await = Some(Claimed {
            claim,
            gap: 0,
            state,
        });
        Ok(keep)
    }

    fn of(
        (namespace, plugin): (Arc<dyn Namespace>, Arc<str>),
        host: &str,
        (is_durable, is_shared): (bool, bool),
    ) -> Self {
        let claimed: Arc<RwLock<Option<Claimed>>> = Arc::default();
        let common = is_shared.then(|| {
            let names = (host, &*plugin);
            let claimed = Arc::clone(&claimed);
            let place = CommonPlace::new(Arc::clone(&namespace), is_durable, names, claimed);
            Arc::new(place)
        });
        Self {
            namespace,
            is_durable,
            is_shared,
            host: host.to_owned(),
            writer: own_writer(host),
            names: Names::new(host, is_shared),
            plugin,
            claimed,
            common,
            had_written: AtomicBool::new(true),
            begun_anew: AtomicU64::new(0),
            fence: Fence::default(),
            hosts: Hosts::default(),
        }
    }

    /// Met once somebody else has claimed the host's own id. Nothing is kept then until it is claimed again.
    pub(crate) fn fence(&self) -> &Fence {
        &self.fence
    }

    /// Claims the host's own id, after an instance of the plugin has claimed the writer's id and got this epoch. Calls that are under way
    /// end before.
    pub(crate) async fn claim(&self, epoch: u64) -> Result<(), kv::Error> {
        let mut claimed = self.claimed.write().await;
        let claim = self.namespace.claim(&self.writer).await?;
        self.fence.clear();
        let gap = epoch.wrapping_sub(claim.epoch);
        let goes_on = |before: &&Claimed| {
            if self.is_shared {
                // Nobody had the id in between.
                before.claim.epoch.checked_add(1) == Some(claim.epoch)
            } else {
                before.gap == gap
            }
        };
        let before = claimed.as_ref().filter(goes_on);
        let state = if let Some(before) = before {
            before.state.clone()
        } else {
            let is_first = claimed.is_none();
            let state = self.find_state(&claim, gap, is_first).await?;
            if !is_first {
                self.begun_anew.fetch_add(1, Ordering::SeqCst);
            }
            state
        };
        *claimed = Some(Claimed { claim, gap, state });
        Ok(())
    }

    /// The partition of the state that fits, or of a new one. Reclaims what no longer fits.
    async fn find_state(
        &self,
        claim: &Claim,
        gap: u64,
        is_first: bool,
    ) -> Result<String, kv::Error> {
        let (partitions, writers) =
            tokio::try_join!(self.namespace.partitions(), self.namespace.writers())?;
        if is_first {
            // No instance has been opened under the claim yet, and so none has written under it.
            let has_written = writers.contains(&self.host);
            self.had_written.store(has_written, Ordering::SeqCst);
        }
        let fitting = partitions.iter().filter_map(|partition| {
            let state = self.names.parse(partition)?;
            let fits = (self.is_shared || state.gap == gap) && state.plugin == &*self.plugin;
            fits.then_some((state.epoch, partition))
        });
        let found = fitting.max().map(|(_, partition)| partition);
        let groups = self.names.group("");
        let stale = partitions.iter().filter(|partition| {
            let is_stale_group = found.is_none() && partition.starts_with(&groups);
            let is_other_state = self.names.is_state(partition) && Some(*partition) != found;
            is_stale_group || is_other_state
        });
        for partition in stale {
            if self.is_shared && self.names.is_state(partition) {
                leave(&*self.namespace, claim, partition).await?;
            }
            self.namespace.reclaim(claim, partition).await?;
        }
        match found {
            Some(state) => {
                self.note_use(claim, state).await?;
                Ok(state.clone())
            }
            None => self.begin(claim, gap).await,
        }
    }

    /// The partition of a new state.
    async fn begin(&self, claim: &Claim, gap: u64) -> Result<String, kv::Error> {
        let state = self.names.state(StateName {
            gap,
            epoch: claim.epoch,
            plugin: &self.plugin,
        });
        self.note_use(claim, &state).await?;
        Ok(state)
    }

    /// Tells the other hosts of a shared store that a state is in use. Before an instance of the plugin writes anything, so that they find the
    /// state of each host that has written.
    async fn note_use(&self, claim: &Claim, state: &str) -> Result<(), kv::Error> {
        if !self.is_shared {
            return Ok(());
        }
        let in_use = Change::Put(Entry {
            sort: IN_USE.to_vec(),
            value: Vec::new(),
        });
        self.namespace
            .commit(&upkeep(claim), state, vec![in_use])
            .await
    }

    /// A page of a state, from a key on.
    async fn page(&self, state: &str, start: &[u8]) -> Result<Entries, Error> {
        let mut start = start.to_vec();
        if self.is_shared && *start <= *IN_USE {
            // The next key after the one that is not the observer's.
            start = [IN_USE, &[0]].concat();
        }
        page(&*self.namespace, state, start).await
    }
}

/// A page of a partition, from a key on.
async fn page(
    namespace: &dyn Namespace,
    partition: &str,
    start: Vec<u8>,
) -> Result<Entries, Error> {
    let scan = Scan {
        start,
        end: None,
        descending: false,
        max_entries: PAGE_ENTRIES,
        max_bytes: PAGE_BYTES,
    };
    let page = namespace.scan(partition, &scan).await;
    let page = page.map_err(|error| failed(&error))?;
    let entries = page.entries.into_iter();
    let entries = entries.map(|entry| (entry.sort, entry.value));
    Ok((entries.collect(), page.more))
}

/// The values of a group, as the partition has them.
fn objects(partition: &str, values: Vec<(Vec<u8>, Vec<u8>)>) -> Vec<Object> {
    let objects = values.into_iter().map(|(sort, value)| Object {
        key: Key {
            partition: partition.to_owned(),
            sort,
        },
        value,
    });
    objects.collect()
}

/// The keys of these names of a group.
fn keys(partition: &str, names: &[Vec<u8>]) -> Vec<Key> {
    let keys = names.iter().map(|sort| Key {
        partition: partition.to_owned(),
        sort: sort.clone(),
    });
    keys.collect()
}

/// Changes of a state, as they are committed.
fn committed_as(changes: Vec<KeepChange>) -> Vec<Change> {
    let changes = changes.into_iter().map(|change| match change {
        KeepChange::Put(sort, value) => Change::Put(Entry { sort, value }),
        KeepChange::Delete(sort) => Change::Delete(sort),
    });
    changes.collect()
}

/// The groups of which the partitions' names begin with this.
async fn groups(namespace: &dyn Namespace, prefix: &str) -> Result<Vec<String>, Error> {
    let partitions = namespace.partitions().await;
    let partitions = partitions.map_err(|error| failed(&error))?;
    let groups = partitions.iter().filter_map(|it| it.strip_prefix(prefix));
    Ok(groups.map(str::to_owned).collect())
}

fn failed(error: &kv::Error) -> Error {
    let kind = match error {
        kv::Error::Unavailable(_)
        | kv::Error::OutcomeUnknown(_)
        | kv::Error::Fenced
        | kv::Error::Held(_) => ErrorKind::Unavailable,
        kv::Error::QuotaExceeded(_) => ErrorKind::ResourceExhausted,
        kv::Error::DataLoss(_) => ErrorKind::DataLoss,
        kv::Error::TooLarge(_) | kv::Error::Other(_) => ErrorKind::Internal,
    };
    Error::new(
        kind,
        format!("what the host keeps of the tenant's data: {error}"),
    )
}

fn unclaimed() -> Error {
    let text = "nothing can be kept of the tenant's data before its plugin has been started; retry";
    Error::new(ErrorKind::Unavailable, text)
}

#[async_trait::async_trait]
impl Keep for NamespaceKeep {
    fn is_durable(&self) -> bool {
        self.is_durable
    }

    async fn put(&self, name: &str, values: Vec<(Vec<u8>, Vec<u8>)>) -> Result<(), Error> {
        let objects = objects(&self.names.group(name), values);
        let claimed = self.claimed.read().await;
        let claim = &claimed.as_ref().ok_or_else(unclaimed)?.claim;
        let put = self.namespace.put(claim, objects).await;
        self.fence.noted(put).map_err(|error| failed(&error))
    }

    async fn get(&self, name: &str, names: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>, Error> {
        let keys = keys(&self.names.group(name), names);
        let found = self.namespace.get(&keys).await;
        found.map_err(|error| failed(&error))
    }

    async fn commit(&self, changes: Vec<KeepChange>) -> Result<(), Error> {
        let generation = self.generation();
        let claimed = self.claimed.read().await;
        if self.generation() != generation {
            // What it was made of may have been changed by another process.
            return Err(failed(&kv::Error::Fenced));
        }
        let Claimed { claim, state, .. } = claimed.as_ref().ok_or_else(unclaimed)?;
        let committed = self
            .namespace
            .commit(claim, state, committed_as(changes))
            .await;
        self.fence.noted(committed).map_err(|error| failed(&error))
    }

    async fn scan(&self, start: &[u8]) -> Result<Entries, Error> {
        let claimed = self.claimed.read().await;
        let state = &claimed.as_ref().ok_or_else(unclaimed)?.state;
        self.page(state, start).await
    }

    async fn reclaim(&self, name: &str) -> Result<(), Error> {
        let claimed = self.claimed.read().await;
        let claim = &claimed.as_ref().ok_or_else(unclaimed)?.claim;
        let reclaimed = self.namespace.reclaim(claim, &self.names.group(name)).await;
        self.fence.noted(reclaimed).map_err(|error| failed(&error))
    }

    async fn groups(&self) -> Result<Vec<String>, Error> {
        groups(&*self.namespace, &self.names.group("")).await
    }

    fn generation(&self) -> u64 {
        let begun_anew = self.begun_anew.load(Ordering::SeqCst);
        self.namespace.generation().wrapping_add(begun_anew)
    }

    fn is_shared(&self) -> bool {
        self.is_shared
    }

    async fn is_whole(&self) -> bool {
        let claimed = self.claimed.read().await;
        let name = claimed.as_ref().and_then(|it| self.names.parse(&it.state));
        self.is_shared && name.is_some_and(StateName::is_whole)
    }

    async fn hosts(&self, keys: &[Vec<u8>]) -> Result<Vec<HostState>, Error> {
        if !self.is_shared {
            return Ok(Vec::new());
        }
        let read = self.hosts.read(&*self.namespace, &self.plugin, keys).await;
        read.map_err(|error| failed(&error))
    }

    async fn scan_host(&self, state: &str, start: &[u8]) -> Result<Entries, Error> {
        self.page(state, start).await
    }

    fn had_written(&self) -> bool {
        self.had_written.load(Ordering::SeqCst)
    }

    fn common(&self) -> Option<Arc<dyn Common>> {
        let common = Arc::clone(self.common.as_ref()?);
        Some(Arc::new(Shown(common)))
    }
}

#[cfg(test)]
mod tests;
