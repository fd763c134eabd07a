//! The host's own place in a tenant's namespace, where the observer of the tenant keeps what it derives from the data.
//!
//! | partition | contents |
//! |---|---|
//! | `_host/graph/state/GAP/EPOCH/PLUGIN` | the state |
//! | `_host/graph/group/NAME` | a group |
//!
//! What is kept must not be used after somebody wrote to the data without the observer: an older release, this one with the observer
//! turned off, another plugin, or a repair. Every instance that writes claims the writer's id, and an observed one has the host claim an id
//! of its own right after that. So the *gap* between the two epochs is the same for as long as all instances are observed, and grows with
//! each one that is not. It is part of the name of the state, with the plugin's name; a state of another gap, or of another plugin, is
//! reclaimed. The epoch in the name is that of the host's claim when the state was begun, so a name is never used twice.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use larder_model::storage::{Error, ErrorKind, Keep, KeepChange};
use larder_store::{
    self as kv, Change, Claim, Driver as _, Entry, HOST_PREFIX, Key, MemoryDriver, Namespace,
    Object, Scan,
};
use tokio::sync::RwLock;

/// Bytes of one page of the state.
const PAGE_BYTES: u32 = 1 << 20;
/// Entries of one page of the state.
const PAGE_ENTRIES: u32 = 1 << 16;

/// See the module.
pub(crate) struct NamespaceKeep {
    namespace: Arc<dyn Namespace>,
    is_durable: bool,
    /// The id of the host's own writer.
    writer: String,
    /// The name of the plugin whose data is observed.
    plugin: Arc<str>,
    /// Locked for writing while the id is claimed. `None` before the first claim.
    claimed: RwLock<Option<Claimed>>,
    /// The number of times that a new state took the place of one that was in use.
    begun_anew: AtomicU64,
}

struct Claimed {
    claim: Claim,
    gap: u64,
    /// The partition of the state.
    state: String,
}

/// What is in the name of a state's partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct StateName<'a> {
    gap: u64,
    epoch: u64,
    plugin: &'a str,
}

/// A new place in the memory of this process.
pub(crate) async fn in_memory() -> Result<Arc<dyn Keep>, kv::Error> {
    let driver = MemoryDriver::new();
    let namespace = driver.open("").await?;
    let keep = NamespaceKeep::new(namespace, false, &driver.writer_id(), "".into());
    keep.claim(0).await?;
    Ok(Arc::new(keep))
}

/// Gives back all that the host keeps in a tenant's namespace, so that it is derived anew. Nobody may have the tenant open. Returns `false`,
/// and changes nothing, if nothing is kept there.
///
/// # Errors
/// The driver's.
pub(crate) async fn forget(namespace: &dyn Namespace, writer: &str) -> Result<bool, kv::Error> {
    let partitions = namespace.partitions().await?;
    let mut own = partitions
        .iter()
        .filter(|name| name.starts_with(HOST_PREFIX))
        .peekable();
    if own.peek().is_none() {
        return Ok(false);
    }
    // Both, and in this order, so that the gap never shrinks.
    namespace.claim(writer).await?;
    let claim = namespace.claim(&own_writer(writer)).await?;
    for name in own {
        namespace.reclaim(&claim, name).await?;
    }
    Ok(true)
}

// === impl NamespaceKeep ===

impl NamespaceKeep {
    /// A place for what is derived from the data that `plugin` stores in a namespace. `writer` is the id under which it writes. Nothing can
    /// be kept before [`NamespaceKeep::claim`].
    pub(crate) fn new(
        namespace: Arc<dyn Namespace>,
        is_durable: bool,
        writer: &str,
        plugin: Arc<str>,
    ) -> Self {
        Self {
            namespace,
            is_durable,
            writer: own_writer(writer),
            plugin,
            claimed: RwLock::default(),
            begun_anew: AtomicU64::new(0),
        }
    }

    /// Claims the host's own id, after an instance of the plugin has claimed the writer's id and got this epoch. Calls that are under way
    /// end before.
    pub(crate) async fn claim(&self, epoch: u64) -> Result<(), kv::Error> {
        let mut claimed = self.claimed.write().await;
        let claim = self.namespace.claim(&self.writer).await?;
        let gap = epoch.wrapping_sub(claim.epoch);
        let state = match &*claimed {
            Some(before) if before.gap == gap => before.state.clone(),
            before => {
                let state = self.find_state(&claim, gap).await?;
                if before.is_some() {
                    self.begun_anew.fetch_add(1, Ordering::SeqCst);
                }
                state
            }
        };
        *claimed = Some(Claimed { claim, gap, state });
        Ok(())
    }

    /// The partition of the state that fits, or the name of a new one. Reclaims what no longer fits.
    async fn find_state(&self, claim: &Claim, gap: u64) -> Result<String, kv::Error> {
        let partitions = self.namespace.partitions().await?;
        let fitting = partitions.iter().filter_map(|name| {
            let state = StateName::parse(name)?;
            let fits = state.gap == gap && state.plugin == &*self.plugin;
            fits.then_some((state.epoch, name))
        });
        let found = fitting.max().map(|(_, name)| name);
        let stale = partitions.iter().filter(|name| {
            let is_stale_group = found.is_none() && name.starts_with(&group(""));
            let is_other_state = name.starts_with(&states()) && Some(*name) != found;
            is_stale_group || is_other_state
        });
        for name in stale {
            self.namespace.reclaim(claim, name).await?;
        }
        Ok(found.cloned().unwrap_or_else(|| {
            let name = StateName {
                gap,
                epoch: claim.epoch,
                plugin: &self.plugin,
            };
            name.to_string()
        }))
    }
}

/// The id of the host's own writer beside the plugin's.
fn own_writer(writer: &str) -> String {
    format!("{HOST_PREFIX}graph/{writer}")
}

/// The beginning of the names of states.
fn states() -> String {
    format!("{HOST_PREFIX}graph/state/")
}

/// The partition of a group.
fn group(name: &str) -> String {
    format!("{HOST_PREFIX}graph/group/{name}")
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
        let partition = group(name);
        let objects = values.into_iter().map(|(sort, value)| Object {
            key: Key {
                partition: partition.clone(),
                sort,
            },
            value,
        });
        let claimed = self.claimed.read().await;
        let claim = &claimed.as_ref().ok_or_else(unclaimed)?.claim;
        let put = self.namespace.put(claim, objects.collect()).await;
        put.map_err(|error| failed(&error))
    }

    async fn get(&self, name: &str, names: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>, Error> {
        let partition = group(name);
        let keys = names.iter().map(|sort| Key {
            partition: partition.clone(),
            sort: sort.clone(),
        });
        let keys: Vec<Key> = keys.collect();
        self.namespace
            .get(&keys)
            .await
            .map_err(|error| failed(&error))
    }

    async fn commit(&self, changes: Vec<KeepChange>) -> Result<(), Error> {
        let changes = changes.into_iter().map(|change| match change {
            KeepChange::Put(sort, value) => Change::Put(Entry { sort, value }),
            KeepChange::Delete(sort) => Change::Delete(sort),
        });
        let claimed = self.claimed.read().await;
        let Claimed { claim, state, .. } = claimed.as_ref().ok_or_else(unclaimed)?;
        let committed = self.namespace.commit(claim, state, changes.collect()).await;
        committed.map_err(|error| failed(&error))
    }

    async fn scan(&self, start: &[u8]) -> Result<(Vec<(Vec<u8>, Vec<u8>)>, bool), Error> {
        let scan = Scan {
            start: start.to_vec(),
            end: None,
            descending: false,
            max_entries: PAGE_ENTRIES,
            max_bytes: PAGE_BYTES,
        };
        let claimed = self.claimed.read().await;
        let state = &claimed.as_ref().ok_or_else(unclaimed)?.state;
        let page = self
            .namespace
            .scan(state, &scan)
            .await
            .map_err(|error| failed(&error))?;
        let entries = page.entries.into_iter();
        let entries = entries.map(|entry| (entry.sort, entry.value));
        Ok((entries.collect(), page.more))
    }

    async fn reclaim(&self, name: &str) -> Result<(), Error> {
        let claimed = self.claimed.read().await;
        let claim = &claimed.as_ref().ok_or_else(unclaimed)?.claim;
        let reclaimed = self.namespace.reclaim(claim, &group(name)).await;
        reclaimed.map_err(|error| failed(&error))
    }

    async fn groups(&self) -> Result<Vec<String>, Error> {
        let prefix = group("");
        let partitions = self
            .namespace
            .partitions()
            .await
            .map_err(|error| failed(&error))?;
        let groups = partitions
            .iter()
            .filter_map(|name| name.strip_prefix(&prefix));
        Ok(groups.map(str::to_owned).collect())
    }

    fn generation(&self) -> u64 {
        let begun_anew = self.begun_anew.load(Ordering::SeqCst);
        self.namespace.generation().wrapping_add(begun_anew)
    }
}

// === impl StateName ===

impl<'a> StateName<'a> {
    fn parse(name: &'a str) -> Option<Self> {
        let mut parts = name.strip_prefix(&states())?.splitn(3, '/');
        let mut number = || u64::from_str_radix(parts.next()?, 16).ok();
        let (gap, epoch) = (number()?, number()?);
        Some(Self {
            gap,
            epoch,
            plugin: parts.next()?,
        })
    }
}

impl fmt::Display for StateName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { gap, epoch, plugin } = self;
        write!(f, "{}{gap:x}/{epoch:x}/{plugin}", states())
    }
}

#[cfg(test)]
mod tests;
