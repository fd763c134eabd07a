//! The configuration in use, which a reload replaces while tenants are served.

use std::sync::Arc;

use parking_lot::RwLock;

use super::Tenants;
use super::config::{LoadedConfig, LoadedTenantConfig};

/// The configuration in use.
pub(super) struct Current(RwLock<Arc<LoadedConfig>>);

// === impl Current ===

impl Current {
    pub(super) fn new(config: LoadedConfig) -> Self {
        Self(RwLock::new(Arc::new(config)))
    }

    /// One tenant's configuration.
    pub(super) fn of(&self, tenant: &str) -> LoadedTenantConfig {
        self.get().of(tenant).clone()
    }

    pub(super) fn get(&self) -> Arc<LoadedConfig> {
        Arc::clone(&self.0.read())
    }
}

impl Tenants {
    /// Replaces the configuration and returns the one before. Quotas and the limits of queues hold at once.
    pub(super) fn replace_config(&self, next: Arc<LoadedConfig>) -> Arc<LoadedConfig> {
        let quotas = next.kv_quotas();
        let before = {
            let mut current = self.current.0.write();
            self.kv.set_quotas(quotas);
            std::mem::replace(&mut *current, next)
        };
        // A slot that is made, or a plugin that is opened, after this point reads the new configuration itself.
        for slot in self.slots() {
            slot.apply(&self.current.of(slot.name().as_str()));
        }
        before
    }
}
