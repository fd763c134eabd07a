//! The answer of `/tenants`.

use larder_core::quotas;
use serde::Serialize;

use super::LoadedTenantConfig;
use crate::plugin;

/// One tenant, as it is now.
#[derive(Clone, Debug, Serialize)]
pub struct TenantStatus {
    /// Its name.
    pub name: String,
    /// Open, away or failed.
    pub state: Presence,
    /// Compressed size of its namespace in bytes; none if it has no namespace.
    pub stored_bytes: Option<u64>,
    /// Its plugin, while that is open.
    pub plugin: Option<plugin::Status>,
    /// Its limits, also while its plugin is not open.
    pub limits: TenantLimits,
}

/// The limits of a tenant, from the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TenantLimits {
    /// Which plugin it gets: a bundled one's name, or a path.
    pub plugin: String,
    /// Linear memory of one instance, in bytes.
    pub memory: u64,
    /// Time limit of one call of the plugin, in milliseconds.
    pub call_timeout_ms: u64,
    /// Bytes of writes that may wait for the plugin.
    pub queue_bytes: usize,
    /// The most writes that may wait for the plugin.
    pub queue_depth: usize,
    /// Its quotas.
    #[serde(flatten)]
    pub quotas: quotas::Limits,
}

/// The state of a tenant's plugin in the registry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Presence {
    /// It serves, or is being restarted: its own state says which.
    Open,
    /// It was not called lately, or never: the next call opens it.
    Away,
    /// It could not be opened; a later call tries again.
    Failed {
        /// The failure.
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
