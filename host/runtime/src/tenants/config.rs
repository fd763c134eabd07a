//! The configuration of all tenants: a default, and overrides by name. [`Config::load`] replaces each plugin's configuration by its
//! loaded [`Component`].

use std::collections::BTreeMap;
use std::sync::Arc;

use larder_core::quotas;
use larder_model::TenantName;
use larder_store as kv;

use crate::plugin::{self, Component, Host, LoadChecks, PluginConfig, Source};

/// The configuration of all tenants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config<P = PluginConfig> {
    /// For tenants without an override.
    pub default: TenantConfig<P>,
    /// By tenant.
    pub overrides: BTreeMap<TenantName, TenantConfig<P>>,
}

/// The configuration of one tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantConfig<P = PluginConfig> {
    /// Its plugin.
    pub plugin: P,
    /// Its quotas, which the host enforces.
    pub quotas: quotas::Limits,
}

/// A configuration whose components are loaded. Tenants with the same plugin configuration share a component, and components from the
/// same source share their compiled code.
pub type LoadedConfig = Config<Arc<Component>>;

/// The configuration of one tenant with its loaded component.
pub type LoadedTenantConfig = TenantConfig<Arc<Component>>;

/// A plugin that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}", .tenant.as_ref().map_or_else(
    || "cannot start the plugin".to_owned(),
    |tenant| format!("cannot start the plugin of the tenant `{tenant}`, which `tenancy.overrides.{tenant}` gives it"),
))]
pub struct LoadError {
    /// The tenant whose override names the plugin; none for the default.
    pub tenant: Option<TenantName>,
    /// The reason.
    pub source: plugin::Error,
}

/// The treatment of component files at a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ComponentFiles {
    /// Files are read again, as they may have changed.
    Reread,
    /// Components that are loaded stay as they are, even if their files have changed.
    Keep,
}

/// Loads the components of one configuration.
struct Loader<'a> {
    host: &'a Host,
    /// The configuration before a reload.
    before: Option<(&'a LoadedConfig, ComponentFiles)>,
    loaded: Vec<Arc<Component>>,
}

// === impl Config ===

impl<P> Config<P> {
    /// The configuration of one tenant.
    pub fn of(&self, tenant: &str) -> &TenantConfig<P> {
        self.overrides.get(tenant).unwrap_or(&self.default)
    }

    /// The most bytes that each tenant may store.
    pub fn kv_quotas(&self) -> kv::Quotas {
        let own = self.overrides.iter();
        let own = own.map(|(name, tenant)| (name.to_string(), tenant.quotas.kv_quota));
        kv::Quotas {
            default: self.default.quotas.kv_quota,
            own: own.collect(),
        }
    }
}

impl Config {
    /// Loads every component that the configuration names, each once, and opens each on an empty store.
    ///
    /// # Errors
    /// The first component that cannot be loaded, or that refuses its settings.
    pub async fn load(self, host: &Host) -> Result<LoadedConfig, LoadError> {
        Loader::new(host, None).config(self).await
    }
}

impl LoadedConfig {
    /// The same for all tenants.
    pub fn of_all(component: Arc<Component>, quotas: quotas::Limits) -> Self {
        Self {
            default: TenantConfig {
                plugin: component,
                quotas,
            },
            overrides: BTreeMap::new(),
        }
    }

    /// Loads a changed configuration. A component is compiled only if its bytes are not those of the one that is loaded from its source.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub async fn reload(&self, config: Config, files: ComponentFiles) -> Result<Self, LoadError> {
        let host = self.default.plugin.host();
        Loader::new(host, Some((self, files))).config(config).await
    }

    /// A loaded component from the same source.
    fn component_from(&self, source: &Source) -> Option<&Arc<Component>> {
        let all = [&self.default].into_iter().chain(self.overrides.values());
        let mut components = all.map(|tenant| &tenant.plugin);
        components.find(|component| component.config().source == *source)
    }

    /// The driver of all tenants' data.
    pub fn kv(&self) -> &Arc<dyn kv::Driver> {
        &self.default.plugin.host().kv
    }
}

// === impl Loader ===

impl<'a> Loader<'a> {
    fn new(host: &'a Host, before: Option<(&'a LoadedConfig, ComponentFiles)>) -> Self {
        Self {
            host,
            before,
            loaded: Vec::new(),
        }
    }

    async fn config(mut self, config: Config) -> Result<LoadedConfig, LoadError> {
        let default = self.tenant(config.default).await;
        let default = default.map_err(|source| LoadError::new(None, source))?;
        let mut overrides = BTreeMap::new();
        for (name, tenant) in config.overrides {
            let tenant = self.tenant(tenant).await;
            let tenant = tenant.map_err(|source| LoadError::new(Some(&name), source))?;
            overrides.insert(name, tenant);
        }
        Ok(Config { default, overrides })
    }

    async fn tenant(&mut self, config: TenantConfig) -> Result<LoadedTenantConfig, plugin::Error> {
        let TenantConfig { plugin, quotas } = config;
        let plugin = self.component(plugin).await?;
        self.loaded.push(Arc::clone(&plugin));
        Ok(TenantConfig { plugin, quotas })
    }

    async fn component(&self, plugin: PluginConfig) -> Result<Arc<Component>, plugin::Error> {
        if let Some(same) = self.loaded.iter().find(|it| *it.config() == plugin) {
            return Ok(Arc::clone(same));
        }
        let of_source = |it: &&Arc<Component>| it.config().source == plugin.source;
        let before = self.before.and_then(|(before, files)| {
            let component = before.component_from(&plugin.source)?;
            Some((component, files))
        });
        let compiled = match (self.loaded.iter().find(of_source), before) {
            (Some(compiled), _) | (None, Some((compiled, ComponentFiles::Keep))) => compiled,
            (None, Some((compiled, ComponentFiles::Reread))) => {
                return compiled.reload(plugin, LoadChecks::Open).await;
            }
            (None, None) => return Component::load(self.host, plugin, LoadChecks::Open).await,
        };
        let component = compiled.with(plugin);
        component.try_out().await?;
        Ok(component)
    }
}

// === impl LoadError ===

impl LoadError {
    /// For the tenant whose override names the plugin, or for the default.
    pub fn new(tenant: Option<&TenantName>, source: plugin::Error) -> Self {
        let tenant = tenant.cloned();
        Self { tenant, source }
    }
}
