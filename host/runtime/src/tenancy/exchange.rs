//! The one place of what is decided about tenants, which can be exchanged while they are served.

use std::sync::{Arc, PoisonError, RwLock};

use super::Tenants;
use super::blueprints::{Blueprint, Blueprints};
use crate::plugin;

/// What holds now.
pub(super) struct Decided(RwLock<Arc<InUse>>);

pub(super) struct InUse {
    pub(super) blueprints: Blueprints,
    /// The plugin of all, apart from any tenant.
    pub(super) tried: plugin::Status,
}

// === impl Decided ===

impl Decided {
    pub(super) fn new(blueprints: Blueprints, tried: plugin::Status) -> Self {
        let in_use = InUse { blueprints, tried };
        Self(RwLock::new(Arc::new(in_use)))
    }

    /// What a tenant gets now.
    pub(super) fn of(&self, tenant: &str) -> Arc<Blueprint> {
        Arc::clone(self.now().blueprints.of(tenant))
    }

    /// What the plugin of all was when it was tried out.
    pub(super) fn tried(&self) -> plugin::Status {
        self.now().tried.clone()
    }

    pub(super) fn now(&self) -> Arc<InUse> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Tenants {
    /// Takes other decisions from now on, and gives those before. Quotas and the limits of queues hold at once.
    pub(super) fn decide(&self, next: Arc<InUse>) -> Arc<InUse> {
        let quotas = next.blueprints.kv_quotas();
        let before = {
            let mut now = self.decided.0.write();
            let now = now.as_mut().unwrap_or_else(|poisoned| poisoned.get_mut());
            self.kv.set_quotas(quotas);
            std::mem::replace(&mut **now, next)
        };
        // A tenant that is made, or whose plugin is opened, from here on sees the new ones itself.
        for slot in self.slots() {
            slot.keep_to(&self.decided.of(slot.name().as_str()));
        }
        before
    }
}
