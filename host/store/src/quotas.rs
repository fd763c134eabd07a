//! Limits of the bytes that each tenant may store.

use std::collections::HashMap;

use super::Error;

/// Bytes by which commits, but not puts, may exceed the quota. Upkeep that frees space has to commit records of it.
const SLACK: u64 = 16 << 20;

/// Kind of a write that grows a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Growth {
    /// A put, which the quota bounds strictly.
    Put,
    /// A commit, which may exceed the quota a little.
    Commit,
}

/// Quotas of all tenants, in compressed bytes. `None` means no limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quotas {
    /// Quota of tenants without a quota of their own.
    pub default: Option<u64>,
    /// Quotas of single tenants, by name.
    pub own: HashMap<String, Option<u64>>,
}

// === impl Quotas ===

impl Quotas {
    /// Creates quotas that are the same for every tenant.
    pub fn of_all(quota: Option<u64>) -> Self {
        Self {
            default: quota,
            own: HashMap::new(),
        }
    }

    /// The quota of a tenant.
    pub fn of(&self, tenant: &str) -> Option<u64> {
        self.own.get(tenant).copied().unwrap_or(self.default)
    }
}

/// Returns an error if a tenant that has stored this many bytes has used up its quota. For drivers.
///
/// # Errors
/// [`Error::QuotaExceeded`].
pub fn check(quota: Option<u64>, stored: u64, growth: Growth) -> Result<(), Error> {
    let Some(quota) = quota else {
        return Ok(());
    };
    let max = match growth {
        Growth::Put => quota,
        Growth::Commit => quota.saturating_add(SLACK),
    };
    if stored < max {
        return Ok(());
    }
    Err(Error::QuotaExceeded(format!(
        "the tenant has stored the {quota} bytes that `kv.quota` allows"
    )))
}
