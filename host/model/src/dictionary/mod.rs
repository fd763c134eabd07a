//! The values that attributes of a tenant have, and the names and status messages of its spans: few enough of them are *listed*, so that a
//! search can look through them in place of the spans.
//!
//! `ingest` lists the values of a request with [`Listing`], and gives each fragment the term that tells whether an attribute's value is
//! listed. What is new goes with the batch, as [`ListedValues`]. Before the batch is given to the plugin, `larder-dictionary` makes the
//! values durable and [`Dictionary::record`]s them. So each value that a stored fragment calls listed is in every later [`Snapshot`].
//! Nothing here does IO. Where several hosts write to a tenant's data, each has a dictionary of what it has written itself, and a search
//! asks the [`Follower`] for the values of all.

mod bounds;
mod follower;
mod listing;
mod shared;
mod snapshot;
mod source;
mod state;
mod texts;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

pub use bounds::Bounds;
pub use follower::Follower;
pub use listing::{ListedValues, Listing};
pub use shared::Dictionary;
pub use snapshot::{Attribute, Snapshot, Values};
pub use source::Source;
pub use state::Contents;

/// The day of a time in nanoseconds since 1970.
pub fn day(time: u64) -> u32 {
    const DAY: u64 = 86_400_000_000_000;
    u32::try_from(time / DAY).unwrap_or(u32::MAX)
}

/// The dictionaries of the tenants that are open. Clones share everything.
#[derive(Clone, Debug, Default)]
pub struct Dictionaries(Arc<RwLock<HashMap<String, Dictionary>>>);

// === impl Dictionaries ===

impl Dictionaries {
    /// The dictionary of a tenant; `None` if the tenant is not open.
    pub fn get(&self, tenant: &str) -> Option<Dictionary> {
        let dictionaries = self.0.read().unwrap_or_else(PoisonError::into_inner);
        dictionaries.get(tenant).cloned()
    }

    /// What is listed of a tenant, for a search that has begun: every value that is called listed in a fragment whose write, by whatever
    /// host, had ended before the call. `None` if the tenant is not open, or these cannot be told. Then a listed value may be any.
    pub async fn snapshot(&self, tenant: &str) -> Option<Snapshot> {
        let dictionary = self.get(tenant)?;
        match dictionary.follower() {
            None => dictionary.snapshot(),
            Some(follower) => follower.upgrade()?.follow().await,
        }
    }

    /// Adds the dictionary of a tenant that is opened. It takes the place of an earlier one.
    pub fn insert(&self, tenant: &str, dictionary: Dictionary) {
        let mut dictionaries = self.0.write().unwrap_or_else(PoisonError::into_inner);
        dictionaries.insert(tenant.to_owned(), dictionary);
    }

    /// Removes the dictionary of a tenant that is closed, unless another has taken its place.
    pub fn remove(&self, tenant: &str, dictionary: &Dictionary) {
        let mut dictionaries = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if dictionaries
            .get(tenant)
            .is_some_and(|known| known.is_same(dictionary))
        {
            dictionaries.remove(tenant);
        }
    }
}
