//! How much each tenant may store.

use std::collections::HashMap;

use super::Error;

/// What a commit may bring beyond the quota, and a put may not: upkeep that gives space back has to record it.
const SLACK: u64 = 16 << 20;

/// How a tenant is about to grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Growth {
    Put,
    Commit,
}

/// In bytes, compressed; none is no limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quotas {
    /// Of a tenant that has no quota of its own.
    pub default: Option<u64>,
    /// Of those that have, by name.
    pub own: HashMap<String, Option<u64>>,
}

// === impl Quotas ===

impl Quotas {
    /// The same for every tenant.
    pub fn of_all(quota: Option<u64>) -> Self {
        Self {
            default: quota,
            own: HashMap::new(),
        }
    }

    /// What this tenant may store.
    pub fn of(&self, tenant: &str) -> Option<u64> {
        self.own.get(tenant).copied().unwrap_or(self.default)
    }
}

/// Refuses a tenant that has stored as much as it may.
pub(super) fn check(quota: Option<u64>, stored: u64, growth: Growth) -> Result<(), Error> {
    let Some(quota) = quota else {
        return Ok(());
    };
    let most = match growth {
        Growth::Put => quota,
        Growth::Commit => quota.saturating_add(SLACK),
    };
    if stored < most {
        return Ok(());
    }
    Err(Error::QuotaExceeded(format!(
        "the tenant has stored the {quota} bytes that `kv.quota` allows"
    )))
}
