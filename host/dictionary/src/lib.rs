//! Keeps the dictionary of each tenant ([`larder_model::dictionary`]) durably beside the tenant's data.
//!
//! A value that a fragment calls listed is durable before the fragment is given to the plugin, and stays for as long as the fragment may be
//! found. Where that cannot be known, as for a store that an older release has used, [`Dictionary::snapshot`] gives nothing, and searches
//! look at every fragment with listed values.
//!
//! Where several hosts write to a tenant's data, each keeps what its own fragments call listed, and reads the logs of all for a search
//! (`followed.rs`).
//!
//! Architecture invariant: knows neither a kv driver nor a plugin; it has a [`Keep`] and is told of writes as an [`Observer`].

#![forbid(unsafe_code)]

mod ask;
mod entry;
mod followed;
mod log;
mod stamp;
mod tenant;

#[cfg(test)]
mod tests;

use std::sync::{Arc, Weak};

use larder_model::dictionary::{Bounds, Dictionaries, Dictionary};
use larder_model::storage::{Keep, Observer, Observers, StorageSource};

use tenant::TenantDictionary;

/// Keeps the dictionaries of tenants.
#[derive(Clone, Debug)]
pub struct Keeper {
    dictionaries: Dictionaries,
    bounds: Bounds,
}

// === impl Keeper ===

impl Keeper {
    /// Keeps dictionaries of these bounds, and puts them into `dictionaries` while their tenants are open.
    pub fn new(dictionaries: Dictionaries, bounds: Bounds) -> Self {
        Self {
            dictionaries,
            bounds,
        }
    }
}

#[async_trait::async_trait]
impl Observers for Keeper {
    async fn open(
        &self,
        tenant: &str,
        keep: Arc<dyn Keep>,
        storage: Weak<dyn StorageSource>,
    ) -> Arc<dyn Observer> {
        let dictionary = Dictionary::new(self.bounds);
        self.dictionaries.insert(tenant, dictionary.clone());
        let dictionaries = self.dictionaries.clone();
        TenantDictionary::open(tenant, (dictionaries, dictionary), keep, storage).await
    }
}
