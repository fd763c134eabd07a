//! The states of all hosts that write to one namespace.
//!
//! A host that writes with this plugin has a state before: it is begun with the claim that comes before its first write. So a writer
//! without one was not observed, and nobody knows what would have been derived of its data.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use larder_model::storage::HostState;
use larder_store::{Error, HOST_PREFIX, Key, Namespace};
use parking_lot::Mutex;

use super::names::{Names, StateName};

/// An entry that each state of a shared store has for as long as it is in use. A state without it was replaced by another. The keys of
/// observers begin with other bytes.
pub(super) const IN_USE: &[u8] = b"\0";

/// Time after which a state is looked for again that was not there.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// Where the hosts' states are, as it was last seen.
#[derive(Debug, Default)]
pub(super) struct Hosts(Mutex<Arc<Known>>);

#[derive(Debug, Default)]
struct Known {
    /// By the hosts' ids; `None` for a host that has none.
    states: BTreeMap<String, Option<Place>>,
    looked: Option<Instant>,
}

#[derive(Clone, Debug)]
struct Place {
    partition: String,
    is_whole: bool,
}

// === impl Hosts ===

impl Hosts {
    /// Every host that has written, with the values of these keys in its state. One round trip, unless a state has come or gone.
    ///
    /// # Errors
    /// [`Error::Unavailable`] also if the namespace was purged.
    pub(super) async fn read(
        &self,
        namespace: &dyn Namespace,
        plugin: &str,
        keys: &[Vec<u8>],
    ) -> Result<Vec<HostState>, Error> {
        let known = Arc::clone(&self.0.lock());
        if let Some(found) = known.read(namespace, keys).await? {
            return Ok(found);
        }
        let found = Arc::new(Known::look(namespace, plugin).await?);
        *self.0.lock() = Arc::clone(&found);
        // What has come or gone since has no state for now.
        let read = found.read_all(namespace, keys).await?;
        Ok(read.into_iter().map(Read::into_state).collect())
    }
}

// === impl Known ===

impl Known {
    /// Finds the states of all hosts.
    async fn look(namespace: &dyn Namespace, plugin: &str) -> Result<Self, Error> {
        // A host that writes has its state before.
        let writers = writers(namespace).await?;
        let partitions = namespace.partitions().await?;
        let states = writers.into_iter().map(|host| {
            let names = Names::new(&host, true);
            let states = partitions.iter().filter_map(|partition| {
                let name = names.parse(partition)?;
                (name.plugin == plugin).then_some((name, partition))
            });
            let newest = states.max_by_key(|(name, _)| name.epoch);
            let place = newest.map(|(name, partition): (StateName<'_>, &String)| Place {
                partition: partition.clone(),
                is_whole: name.is_whole(),
            });
            (host, place)
        });
        Ok(Self {
            states: states.collect(),
            looked: Some(Instant::now()),
        })
    }

    /// Every host that has written; `None` if the states have to be looked for again.
    async fn read(
        &self,
        namespace: &dyn Namespace,
        keys: &[Vec<u8>],
    ) -> Result<Option<Vec<HostState>>, Error> {
        let read = self.read_all(namespace, keys).await?;
        let is_old = self.looked.is_none_or(|it| it.elapsed() >= LOOK_AGAIN);
        let is_outdated = read.iter().any(|it| match it {
            Read::Unknown(_) | Read::Gone(_) => true,
            Read::Without(_) => is_old,
            Read::State(_) => false,
        });
        let states = read.into_iter().map(Read::into_state);
        Ok((!is_outdated).then(|| states.collect()))
    }

    async fn read_all(
        &self,
        namespace: &dyn Namespace,
        keys: &[Vec<u8>],
    ) -> Result<Vec<Read>, Error> {
        let places = || {
            let states = self.states.iter();
            states.filter_map(|(host, place)| Some((host, place.as_ref()?)))
        };
        let wanted = places().flat_map(|(_, place)| {
            let sorts = std::iter::once(IN_USE).chain(keys.iter().map(Vec::as_slice));
            sorts.map(|sort| Key {
                partition: place.partition.clone(),
                sort: sort.to_vec(),
            })
        });
        let wanted: Vec<Key> = wanted.collect();
        // All of this was true at some moment since the call began.
        let (is_current, writers, mut values) = tokio::try_join!(
            namespace.is_current(),
            writers(namespace),
            namespace.get(&wanted)
        )?;
        if !is_current {
            let text = "the tenant was purged, and is opened anew; retry";
            return Err(Error::Unavailable(text.to_owned()));
        }
        let mut values = values.drain(..);
        let found: BTreeMap<_, _> = places()
            .map(|(host, _)| {
                let is_in_use = values.next().flatten().is_some();
                let values: Vec<_> = values.by_ref().take(keys.len()).collect();
                (host.as_str(), is_in_use.then_some(values))
            })
            .collect();
        let read = writers
            .into_iter()
            .map(|host| match self.states.get(&host) {
                None => Read::Unknown(host),
                Some(None) => Read::Without(host),
                Some(Some(place)) => match found.get(host.as_str()).cloned().flatten() {
                    None => Read::Gone(host),
                    Some(values) => Read::State(HostState {
                        host,
                        state: Some(place.partition.clone()),
                        is_whole: place.is_whole,
                        values,
                    }),
                },
            });
        Ok(read.collect())
    }
}

/// The ids of the hosts that have written.
async fn writers(namespace: &dyn Namespace) -> Result<Vec<String>, Error> {
    let mut writers = namespace.writers().await?;
    writers.retain(|id| !id.starts_with(HOST_PREFIX));
    Ok(writers)
}

/// What there is of a host.
enum Read {
    /// It was not there when states were looked for.
    Unknown(String),
    /// It had no state then.
    Without(String),
    /// Its state is no longer in use.
    Gone(String),
    State(HostState),
}

// === impl Read ===

impl Read {
    fn into_state(self) -> HostState {
        match self {
            Self::State(state) => state,
            Self::Unknown(host) | Self::Without(host) | Self::Gone(host) => HostState {
                host,
                state: None,
                is_whole: false,
                values: Vec::new(),
            },
        }
    }
}
