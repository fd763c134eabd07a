//! The place where the host keeps what it has derived from a tenant's data.

use super::Error;

/// Where the host keeps, beside a tenant's data, what it has derived from it: write-once values in groups, and a small state that changes.
///
/// What is kept becomes durable in the order of the calls, together with what the plugin writes in between.
#[async_trait::async_trait]
pub trait Keep: Send + Sync + 'static {
    /// True if what is kept survives a restart of the process.
    fn is_durable(&self) -> bool;

    /// Stores write-once values, each of at most 5 MiB, in a group. Not atomic.
    async fn put(&self, group: &str, values: Vec<(Vec<u8>, Vec<u8>)>) -> Result<(), Error>;

    /// The values of these names in a group.
    async fn get(&self, group: &str, names: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>, Error>;

    /// Applies all changes to the state or none; keys and values of at most 256 KiB together.
    async fn commit(&self, changes: Vec<KeepChange>) -> Result<(), Error>;

    /// All entries of the state from `start` on, at most about 1 MiB of them, in the order of their keys, and whether there are more.
    async fn scan(&self, start: &[u8]) -> Result<(Vec<(Vec<u8>, Vec<u8>)>, bool), Error>;

    /// Gives a group back; its name must not be used again. What was in it stays readable for as long as a query may last.
    async fn reclaim(&self, group: &str) -> Result<(), Error>;

    /// Every group that has been put to and not reclaimed.
    async fn groups(&self) -> Result<Vec<String>, Error>;

    /// Changes each time what was not durable has been lost.
    fn generation(&self) -> u64;
}

/// A change of the state of a [`Keep`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeepChange {
    /// Sets the value of a key.
    Put(Vec<u8>, Vec<u8>),
    /// Removes a key, if it is there.
    Delete(Vec<u8>),
}
