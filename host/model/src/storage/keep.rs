//! Where the host keeps what it has derived from a tenant's data: beside that data, apart from what the plugin stores there.

use std::sync::Arc;

use super::Error;

/// Where the host keeps, beside a tenant's data, what it has derived from it.
///
/// There is a state, whose changes are atomic and in order with the plugin's writes: a change that was committed before a write is durable
/// whenever that write is. Beside it there are groups of values that are written once.
///
/// What is kept is given as it was left, or not at all: it is empty where somebody may have written to the tenant's data without the
/// observer, such as an older release or a repair. A group that was reclaimed, or is lost, is like one that was never put.
///
/// Where several hosts write to the data, each has a state and groups of its own, and reads the states of the others.
#[async_trait::async_trait]
pub trait Keep: Send + Sync + 'static {
    /// True if what is kept survives a restart of the process.
    fn is_durable(&self) -> bool;

    /// Stores write-once values, each of at most 5 MiB, in a group. Not atomic; safe to repeat.
    async fn put(&self, group: &str, values: Vec<(Vec<u8>, Vec<u8>)>) -> Result<(), Error>;

    /// The values of these names in a group, in the order of the names.
    ///
    /// `None` for a value that is not there, also where its whole group is gone: whoever refers to it has to derive it anew. A group that
    /// was reclaimed a short time ago, for as long as a query may last, is still there.
    async fn get(&self, group: &str, names: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>, Error>;

    /// Applies all changes to the state or none; keys and values of at most 256 KiB together.
    async fn commit(&self, changes: Vec<KeepChange>) -> Result<(), Error>;

    /// Entries of the state from `start` on, at most about 1 MiB of them, in the order of their keys; and whether there are more.
    async fn scan(&self, start: &[u8]) -> Result<(Vec<(Vec<u8>, Vec<u8>)>, bool), Error>;

    /// Gives a group back; its name must not be used again.
    async fn reclaim(&self, group: &str) -> Result<(), Error>;

    /// Every group that has been put to and not reclaimed.
    async fn groups(&self) -> Result<Vec<String>, Error>;

    /// Changes each time what was not durable has been lost. The state is then to be read again before it is changed.
    fn generation(&self) -> u64;

    /// True if other hosts may write to the same data, and keep beside it what they derive from their own writes.
    fn is_shared(&self) -> bool {
        false
    }

    /// True if it is known that this host had written nothing to the data when the state began, so that all that it has written since was
    /// observed.
    async fn is_whole(&self) -> bool {
        false
    }

    /// Every host that has written to the data, this one among them, with the values that its state has of these keys. What was committed,
    /// by any host, before the call is seen. Empty where the data is not shared.
    ///
    /// # Errors
    /// `Unavailable` also for data that was purged.
    async fn hosts(&self, _keys: &[Vec<u8>]) -> Result<Vec<HostState>, Error> {
        Ok(Vec::new())
    }

    /// As [`Keep::scan`], of the state of this name, which [`Keep::hosts`] has told.
    async fn scan_host(
        &self,
        _state: &str,
        _start: &[u8],
    ) -> Result<(Vec<(Vec<u8>, Vec<u8>)>, bool), Error> {
        Ok((Vec::new(), false))
    }

    /// True if this host may have written to the data before it first opened this place.
    fn had_written(&self) -> bool {
        true
    }

    /// The place that all hosts have together; `None` where the data is not shared.
    fn common(&self) -> Option<Arc<dyn Common>> {
        None
    }
}

/// A place that all hosts have together, beside data that they share.
#[async_trait::async_trait]
pub trait Common: Send + Sync + 'static {
    /// Its state and its groups. Every host reads them; changes are taken from the host that holds the place alone, and are else
    /// `Unavailable`.
    fn keep(&self) -> Arc<dyn Keep>;

    /// Takes hold of the place, unless another host that is alive has it. Returns a number if this host holds it now, another one each time that
    /// it was taken hold of. What the holder before has under way changes nothing any more once this has returned.
    ///
    /// # Errors
    /// `Unavailable` if the store cannot be reached.
    async fn hold(&self) -> Result<Option<u64>, Error>;

    /// Lets another host take hold of the place at once, if this one holds it.
    ///
    /// # Errors
    /// As of [`Common::hold`]: others then have it once this host is dead.
    async fn release(&self) -> Result<(), Error>;
}

/// What a host keeps beside data that several hosts share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostState {
    /// The host's id.
    pub host: String,
    /// The name of its state, which no other one has; `None` if the host has written to the data and there is no state of it.
    pub state: Option<String>,
    /// [`Keep::is_whole`] of the state.
    pub is_whole: bool,
    /// The values of the keys that were asked for, in their order; none without a state.
    pub values: Vec<Option<Vec<u8>>>,
}

/// One step of [`Keep::commit`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeepChange {
    /// Sets the value of a key.
    Put(Vec<u8>, Vec<u8>),
    /// Removes a key, if it exists.
    Delete(Vec<u8>),
}
