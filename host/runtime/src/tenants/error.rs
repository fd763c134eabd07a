//! Errors of an operator's request about a tenant.

use larder_model::storage;

/// Says what to do, or has a source that does.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Tenancy is on, and neither the request nor `tenancy.default` names a tenant.
    #[error("missing tenant header: name one with `?tenant=NAME`")]
    Missing,
    /// There is no such tenant.
    #[error("unknown tenant {name:?}: `GET /tenants` lists those there are")]
    Unknown {
        /// The name that was asked for.
        name: String,
    },
    /// The tenant's storage failed.
    #[error("tenant `{tenant}`: {source}")]
    Storage {
        /// The name of the tenant.
        tenant: String,
        /// The storage's error.
        source: storage::Error,
    },
    /// A search over the tenant's storage failed.
    #[error(transparent)]
    Search(storage::Error),
}

// === impl Error ===

impl Error {
    pub(super) fn unknown(name: &str) -> Self {
        Self::Unknown {
            name: name.to_owned(),
        }
    }

    pub(super) fn storage(tenant: &str, source: storage::Error) -> Self {
        Self::Storage {
            tenant: tenant.to_owned(),
            source,
        }
    }
}
