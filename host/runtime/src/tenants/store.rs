//! The store behind all tenants, as an operator sees it.

use larder_store::{self as kv, HostStatus, Reach, WriterStatus};

use super::Tenants;
use super::health::Taken;
use crate::plugin::Instancing;

/// The answer of `/cluster`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreStatus {
    /// The driver's name in the configuration.
    pub driver: &'static str,
    /// True if other hosts may use the store at the same time.
    pub is_shared: bool,
    /// What this host reaches of it.
    pub reach: Reach,
    /// Every host that has used it lately, by writer id; none of a driver that is not shared.
    pub hosts: Result<Vec<HostStatus>, kv::Error>,
    /// What is stored under each id, by writer id; none of a driver that is not shared.
    pub writers: Result<Vec<WriterStatus>, kv::Error>,
}

impl Tenants {
    /// What calls reach of the store now. Everything, if the plugin keeps its data in its own memory.
    pub fn reach(&self) -> Reach {
        self.taken().reach
    }

    /// The store, and the hosts that share it.
    pub async fn store(&self) -> StoreStatus {
        let hosts = self.kv.hosts().await.map(|mut hosts| {
            hosts.sort_by(|one, other| one.writer.cmp(&other.writer));
            hosts
        });
        StoreStatus {
            driver: self.kv.name(),
            is_shared: self.kv.is_shared(),
            reach: self.kv.reach(),
            hosts,
            writers: self.kv.writers().await,
        }
    }

    /// What the store takes now, for health checks.
    pub(super) fn taken(&self) -> Taken {
        taken(&*self.kv, self.status().instancing)
    }
}

/// What a driver takes of the calls of such a plugin.
pub(super) fn taken(kv: &dyn kv::Driver, instancing: Instancing) -> Taken {
    match instancing {
        Instancing::Exclusive => Taken::default(),
        Instancing::Replicated => Taken {
            is_full: !kv.has_room(),
            reach: kv.reach(),
        },
    }
}
