//! What `/tenants` shows.

use serde::Serialize;

use crate::plugin;

/// One tenant, as it is now.
#[derive(Clone, Debug, Serialize)]
pub struct TenantStatus {
    /// Its name.
    pub name: String,
    /// Whether its plugin is open.
    pub state: Presence,
    /// What its namespace takes up, compressed, in bytes; none where it has no namespace.
    pub stored_bytes: Option<u64>,
    /// Its plugin, while that is open.
    pub plugin: Option<plugin::Status>,
}

/// Whether a tenant's plugin is open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Presence {
    /// It serves, or is being restarted: its own state says which.
    Open,
    /// It was not called lately, or never: the next call opens it.
    Away,
    /// It could not be opened; a later call tries again.
    Failed {
        /// Why.
        reason: String,
    },
}
