//! Opens a plugin on the data of a stopped server, to check or to repair it.

use std::sync::Arc;

use larder_core::telemetry::Metrics;
use larder_store as kv;

use super::{Component, Error, Host, Instancing, LoadChecks, PluginConfig};
use crate::instance::starter::Starter;
use crate::sandbox::Runtime;
use crate::sandbox::guest::Instance;

/// The role of the instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OfflineRole {
    /// It reads.
    Reader,
    /// It reads and replaces what is damaged.
    Repairer,
}

/// A plugin that was opened for one tenant of a stopped server.
pub(super) struct Offline {
    /// The name that the plugin gives itself.
    pub(super) name: Arc<str>,
    /// The version that the plugin gives itself.
    pub(super) version: String,
    /// None for a plugin that keeps its data in memory alone.
    pub(super) instance: Option<Instance>,
    pub(super) starter: Starter,
}

// === impl Offline ===

impl Offline {
    /// Loads the plugin, and opens it for one tenant in this role if it keeps anything in `kv`.
    ///
    /// # Errors
    /// Everything that makes the plugin unusable, or its store: see [`Error`]. [`Error::Repair`] for a repairer of a version of the
    /// contract without `repair`.
    pub(super) async fn open(
        runtime: &Runtime,
        settings: PluginConfig,
        kv: Arc<dyn kv::Driver>,
        (tenant, role): (&str, OfflineRole),
    ) -> Result<Self, Error> {
        let host = Host {
            runtime: runtime.clone(),
            kv,
            metrics: Arc::new(Metrics::new()),
            observers: None,
        };
        let component = Component::load(&host, settings, LoadChecks::Describe).await?;
        let name = Arc::clone(component.name());
        let starter = component.starter(tenant).await?;
        let instance = match component.instancing() {
            Instancing::Exclusive => None,
            Instancing::Replicated => {
                let opened = match role {
                    OfflineRole::Reader => starter.reader(&component).await,
                    OfflineRole::Repairer => {
                        let has_repair = component.check_repair();
                        has_repair.map_err(|lacks| Error::Repair {
                            plugin: name.to_string(),
                            reason: lacks.to_owned(),
                        })?;
                        starter.repairer(&component).await
                    }
                };
                Some(opened.map_err(|error| error.into_error(&name))?)
            }
        };
        Ok(Self {
            name,
            version: component.version().to_owned(),
            instance,
            starter,
        })
    }
}
