//! What `/tenants` shows.

use larder_core::quotas;
use serde::Serialize;

use super::LoadedTenantConfig;
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
    /// What it gets and may use, whether or not its plugin is open.
    pub limits: TenantLimits,
}

/// The limits of a tenant, from the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TenantLimits {
    /// Which plugin it gets: a bundled one's name, or a path.
    pub plugin: String,
    /// Linear memory of one instance, in bytes.
    pub memory: u64,
    /// How long one call of the plugin may take, in milliseconds.
    pub call_timeout_ms: u64,
    /// Bytes of writes that may wait for the plugin.
    pub queue_bytes: usize,
    /// How many writes may wait for the plugin.
    pub queue_depth: usize,
    /// What it may use beside the plugin.
    #[serde(flatten)]
    pub quotas: quotas::Limits,
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

// === impl TenantLimits ===

impl From<&LoadedTenantConfig> for TenantLimits {
    fn from(config: &LoadedTenantConfig) -> Self {
        let plugin::Limits {
            memory,
            call_timeout,
            queue_bytes,
            queue_depth,
            ..
        } = *config.plugin.limits();
        Self {
            plugin: config.plugin.config().source.to_string(),
            memory,
            call_timeout_ms: u64::try_from(call_timeout.as_millis()).unwrap_or(u64::MAX),
            queue_bytes,
            queue_depth,
            quotas: config.quotas.clone(),
        }
    }
}
