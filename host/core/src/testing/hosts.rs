//! For tests of observers: the places of several hosts that share a store.

use std::collections::BTreeMap;
use std::sync::Arc;

use larder_model::storage::{Common, Error, ErrorKind, HostState, Keep, KeepChange};
use parking_lot::Mutex;

use super::MemoryKeep;

type Entries = (Vec<(Vec<u8>, Vec<u8>)>, bool);

/// The places of several hosts in one store.
#[derive(Clone, Default)]
pub struct MemoryHosts(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    hosts: BTreeMap<String, Host>,
    failure: Option<Error>,
    looks: usize,
    scans: usize,
    /// What all hosts keep together, and who holds it: the host, and the number of the times that it was taken hold of.
    common: Arc<MemoryKeep>,
    holder: Option<(String, u64)>,
    /// True if the holder has given it up.
    is_released: bool,
}

/// A host that has written.
#[derive(Default)]
struct Host {
    keep: Option<Arc<MemoryKeep>>,
    /// The number of its states so far.
    states: usize,
    /// The number of times that its id was claimed.
    epoch: u64,
    is_whole: bool,
    /// True if the others see no sign of life.
    is_dead: bool,
    /// True once it has written.
    has_written: bool,
}

/// The place of one process of a host. It keeps nothing more once another process of the host has begun.
pub struct HostKeep {
    hosts: MemoryHosts,
    host: String,
    epoch: u64,
    keep: Arc<MemoryKeep>,
    had_written: bool,
}

// === impl MemoryHosts ===

impl MemoryHosts {
    /// A process of a host begins.
    pub fn open(&self, host: &str) -> Arc<HostKeep> {
        let mut inner = self.0.lock();
        let found = inner.hosts.entry(host.to_owned()).or_default();
        found.epoch += 1;
        let keep = found.keep.get_or_insert_with(|| {
            found.states += 1;
            found.is_whole = found.epoch == 1;
            Arc::default()
        });
        Arc::new(HostKeep {
            hosts: self.clone(),
            host: host.to_owned(),
            epoch: found.epoch,
            keep: Arc::clone(keep),
            had_written: found.has_written,
        })
    }

    /// What a host has kept is gone, though it has written. The next process begins another state.
    pub fn lose(&self, host: &str) {
        let mut inner = self.0.lock();
        let found = inner.hosts.entry(host.to_owned()).or_default();
        found.keep = None;
        found.epoch += 1;
    }

    /// Nothing refers to a host any more.
    pub fn retire(&self, host: &str) {
        self.0.lock().hosts.remove(host);
    }

    /// Says whether the others see signs of life of a host.
    pub fn set_alive(&self, host: &str, is_alive: bool) {
        let mut inner = self.0.lock();
        inner.hosts.entry(host.to_owned()).or_default().is_dead = !is_alive;
    }

    /// What a host has kept, if it has a state.
    pub fn kept(&self, host: &str) -> Option<Arc<MemoryKeep>> {
        self.0.lock().hosts.get(host)?.keep.clone()
    }

    /// A host has written to the data.
    pub fn wrote(&self, host: &str) {
        let mut inner = self.0.lock();
        inner.hosts.entry(host.to_owned()).or_default().has_written = true;
    }

    /// The host that holds what all keep together.
    pub fn holder(&self) -> Option<String> {
        Some(self.0.lock().holder.clone()?.0)
    }

    /// What all hosts keep together.
    pub fn common(&self) -> Arc<MemoryKeep> {
        Arc::clone(&self.0.lock().common)
    }

    /// Has reads of other hosts' states fail with this error, or none.
    pub fn fail(&self, failure: Option<Error>) {
        self.0.lock().failure = failure;
    }

    /// Number of calls of [`Keep::hosts`] so far, and of [`Keep::scan_host`].
    pub fn reads(&self) -> (usize, usize) {
        let inner = self.0.lock();
        (inner.looks, inner.scans)
    }
}

// === impl HostKeep ===

impl HostKeep {
    /// The state and the groups of the host.
    pub fn kept(&self) -> &MemoryKeep {
        &self.keep
    }

    fn check(&self) -> Result<(), Error> {
        let inner = self.hosts.0.lock();
        let host = inner.hosts.get(&self.host);
        if host.is_none_or(|host| host.epoch != self.epoch) {
            let text = "another process has claimed the host's id";
            return Err(Error::new(ErrorKind::Unavailable, text));
        }
        Ok(())
    }
}

#[async_trait::async_trait]
impl Keep for HostKeep {
    fn is_durable(&self) -> bool {
        true
    }

    async fn put(&self, group: &str, values: Vec<(Vec<u8>, Vec<u8>)>) -> Result<(), Error> {
        self.check()?;
        self.keep.put(group, values).await
    }

    async fn get(&self, group: &str, names: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>, Error> {
        self.keep.get(group, names).await
    }

    async fn commit(&self, changes: Vec<KeepChange>) -> Result<(), Error> {
        self.check()?;
        self.keep.commit(changes).await
    }

    async fn scan(&self, start: &[u8]) -> Result<Entries, Error> {
        self.keep.scan(start).await
    }

    async fn reclaim(&self, group: &str) -> Result<(), Error> {
        self.check()?;
        self.keep.reclaim(group).await
    }

    async fn groups(&self) -> Result<Vec<String>, Error> {
        self.keep.groups().await
    }

    fn generation(&self) -> u64 {
        self.keep.generation()
    }

    fn is_shared(&self) -> bool {
        true
    }

    async fn is_whole(&self) -> bool {
        let inner = self.hosts.0.lock();
        inner.hosts.get(&self.host).is_some_and(|it| it.is_whole)
    }

    async fn hosts(&self, keys: &[Vec<u8>]) -> Result<Vec<HostState>, Error> {
        // Others go on meanwhile.
        tokio::task::yield_now().await;
        let mut inner = self.hosts.0.lock();
        inner.looks += 1;
        if let Some(failure) = &inner.failure {
            return Err(failure.clone());
        }
        let states = inner.hosts.iter().map(|(id, host)| {
            let entries: BTreeMap<_, _> = match &host.keep {
                Some(keep) => keep.entries().into_iter().collect(),
                None => BTreeMap::new(),
            };
            let is_there = host.keep.is_some();
            HostState {
                host: id.clone(),
                state: is_there.then(|| format!("{id}/{}", host.states)),
                is_whole: host.is_whole,
                values: if is_there {
                    keys.iter().map(|key| entries.get(key).cloned()).collect()
                } else {
                    Vec::new()
                },
            }
        });
        Ok(states.collect())
    }

    async fn scan_host(&self, state: &str, start: &[u8]) -> Result<Entries, Error> {
        tokio::task::yield_now().await;
        let keep = {
            let mut inner = self.hosts.0.lock();
            inner.scans += 1;
            if let Some(failure) = &inner.failure {
                return Err(failure.clone());
            }
            let mut hosts = inner.hosts.iter();
            let found = hosts.find(|(id, host)| format!("{id}/{}", host.states) == state);
            found.and_then(|(_, host)| host.keep.clone())
        };
        match keep {
            Some(keep) => keep.scan(start).await,
            None => Ok((Vec::new(), false)),
        }
    }

    fn had_written(&self) -> bool {
        self.had_written
    }

    fn common(&self) -> Option<Arc<dyn Common>> {
        Some(Arc::new(CommonKeep {
            hosts: self.hosts.clone(),
            host: self.host.clone(),
            epoch: self.epoch,
            held: Arc::default(),
        }))
    }
}

/// What all hosts keep together, for one of them.
struct CommonKeep {
    hosts: MemoryHosts,
    host: String,
    epoch: u64,
    /// The number of the time that it was taken hold of here.
    held: Arc<Mutex<Option<u64>>>,
}

/// The same, to read and to change it.
struct Together {
    hosts: MemoryHosts,
    keep: Arc<MemoryKeep>,
    held: Arc<Mutex<Option<u64>>>,
}

#[async_trait::async_trait]
impl Common for CommonKeep {
    fn keep(&self) -> Arc<dyn Keep> {
        Arc::new(Together {
            hosts: self.hosts.clone(),
            keep: self.hosts.common(),
            held: Arc::clone(&self.held),
        })
    }

    async fn hold(&self) -> Result<Option<u64>, Error> {
        tokio::task::yield_now().await;
        let mut inner = self.hosts.0.lock();
        let is_own = |inner: &Inner| {
            let host = inner.hosts.get(&self.host);
            host.is_some_and(|host| host.epoch == self.epoch)
        };
        if !is_own(&inner) {
            return Ok(None);
        }
        let held = *self.held.lock();
        let next = match &inner.holder {
            Some((_, number)) if held == Some(*number) => return Ok(held),
            Some((host, number)) => {
                let is_dead = inner.hosts.get(host).is_none_or(|it| it.is_dead);
                if *host != self.host && !is_dead && !inner.is_released {
                    return Ok(None);
                }
                number + 1
            }
            None => 1,
        };
        inner.holder = Some((self.host.clone(), next));
        *self.held.lock() = Some(next);
        inner.is_released = false;
        Ok(Some(next))
    }

    async fn release(&self) -> Result<(), Error> {
        let mut inner = self.hosts.0.lock();
        let held = self.held.lock().take();
        let number = inner.holder.as_ref().map(|(_, number)| *number);
        inner.is_released |= held.is_some() && held == number;
        Ok(())
    }
}

impl Together {
    fn check(&self) -> Result<(), Error> {
        let inner = self.hosts.0.lock();
        let held = *self.held.lock();
        let number = inner.holder.as_ref().map(|(_, number)| *number);
        if held.is_none() || held != number {
            let text = "another host holds what all keep together";
            return Err(Error::new(ErrorKind::Unavailable, text));
        }
        Ok(())
    }
}

#[async_trait::async_trait]
impl Keep for Together {
    fn is_durable(&self) -> bool {
        true
    }

    async fn put(&self, group: &str, values: Vec<(Vec<u8>, Vec<u8>)>) -> Result<(), Error> {
        tokio::task::yield_now().await;
        self.check()?;
        self.keep.put(group, values).await
    }

    async fn get(&self, group: &str, names: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>, Error> {
        self.keep.get(group, names).await
    }

    async fn commit(&self, changes: Vec<KeepChange>) -> Result<(), Error> {
        tokio::task::yield_now().await;
        self.check()?;
        self.keep.commit(changes).await
    }

    async fn scan(&self, start: &[u8]) -> Result<Entries, Error> {
        tokio::task::yield_now().await;
        self.keep.scan(start).await
    }

    async fn reclaim(&self, group: &str) -> Result<(), Error> {
        self.check()?;
        self.keep.reclaim(group).await
    }

    async fn groups(&self) -> Result<Vec<String>, Error> {
        self.keep.groups().await
    }

    fn generation(&self) -> u64 {
        self.keep.generation()
    }

    fn is_shared(&self) -> bool {
        true
    }
}
