//! What each tenant gets: a plugin with its settings and limits, and quotas. Made of a [`Plan`], and exchanged as a whole
//! (see [`Tenants::exchange`](super::Tenants::exchange)).

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use larder_core::quotas;
use larder_core::telemetry::Metrics;
use larder_model::TenantName;
use larder_store as kv;

use crate::plugin::{self, Opener, Runtime, Settings, Source};

/// What an operator decides about all tenants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// For who has nothing of its own.
    pub default: Wanted,
    /// For who has.
    pub own: BTreeMap<TenantName, Wanted>,
}

/// What an operator decides about one tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Its plugin.
    pub plugin: Settings,
    /// What it may use beside it.
    pub limits: quotas::Limits,
}

/// What plugins are loaded with.
#[derive(Clone)]
pub struct Workshop {
    /// What compiles them.
    pub runtime: Runtime,
    /// What keeps their data.
    pub kv: Arc<dyn kv::Driver>,
    /// Where they are counted.
    pub metrics: Arc<Metrics>,
}

/// What one tenant gets.
pub struct Blueprint {
    /// What opens its plugin.
    pub opener: Arc<Opener>,
    /// What it may use beside it.
    pub limits: quotas::Limits,
}

/// What every tenant gets.
pub struct Blueprints {
    default: Arc<Blueprint>,
    own: BTreeMap<TenantName, Arc<Blueprint>>,
}

/// A plugin that cannot be used, and whose it is.
#[derive(Debug, thiserror::Error)]
#[error("{}", .tenant.as_ref().map_or_else(
    || "cannot start the plugin".to_owned(),
    |tenant| format!("cannot start the plugin of the tenant `{tenant}`, which `tenancy.overrides.{tenant}` gives it"),
))]
pub struct Unusable {
    /// None where it is the one of all.
    pub tenant: Option<TenantName>,
    /// Why.
    pub source: plugin::Error,
}

/// Where the components of changed blueprints come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Components {
    /// From their files, which may have changed.
    Again,
    /// From those before, whatever has become of their files.
    Same,
}

/// The openers that have been made so far.
struct Openers<'a> {
    from: From<'a>,
    loaded: HashMap<Source, Arc<Opener>>,
    made: HashMap<Settings, Arc<Opener>>,
}

/// What components are loaded with.
#[derive(Clone, Copy)]
enum From<'a> {
    Workshop(&'a Workshop),
    Before(&'a Blueprints, Components),
}

// === impl Plan ===

impl Plan {
    /// What is decided about a tenant.
    pub fn of(&self, tenant: &str) -> &Wanted {
        self.own.get(tenant).unwrap_or(&self.default)
    }
}

// === impl Blueprints ===

impl Blueprints {
    /// The same for everybody.
    pub fn of_all(opener: Opener, limits: quotas::Limits) -> Self {
        let opener = Arc::new(opener);
        Self {
            default: Arc::new(Blueprint { opener, limits }),
            own: BTreeMap::new(),
        }
    }

    /// Loads every component that the plan names, each once.
    ///
    /// # Errors
    /// The first that cannot be loaded.
    pub async fn load(plan: Plan, workshop: &Workshop) -> Result<Self, Unusable> {
        Self::make(plan, From::Workshop(workshop)).await
    }

    /// Those of a changed plan. A component is compiled only if it is another one than before.
    ///
    /// # Errors
    /// As [`Blueprints::load`].
    pub async fn redrawn(&self, plan: Plan, components: Components) -> Result<Self, Unusable> {
        Self::make(plan, From::Before(self, components)).await
    }

    async fn make(plan: Plan, from: From<'_>) -> Result<Self, Unusable> {
        let mut openers = Openers {
            from,
            loaded: HashMap::new(),
            made: HashMap::new(),
        };
        let mut blueprint = async |tenant: Option<&TenantName>, wanted: Wanted| {
            let Wanted { plugin, limits } = wanted;
            match openers.make(plugin).await {
                Ok(opener) => Ok(Arc::new(Blueprint { opener, limits })),
                Err(source) => Err(Unusable::new(tenant, source)),
            }
        };
        let default = blueprint(None, plan.default).await?;
        let mut own = BTreeMap::new();
        for (name, wanted) in plan.own {
            let blueprint = blueprint(Some(&name), wanted).await?;
            own.insert(name, blueprint);
        }
        Ok(Self { default, own })
    }

    /// What a tenant gets.
    pub fn of(&self, tenant: &str) -> &Arc<Blueprint> {
        self.own.get(tenant).unwrap_or(&self.default)
    }

    /// Opens every plugin on nothing, so that a setting which one refuses is told before its tenant calls. Gives what the plugin of all is.
    ///
    /// # Errors
    /// The first that does not open.
    pub async fn try_out(&self) -> Result<plugin::Status, Unusable> {
        let tried = self.default.opener.try_out().await;
        let tried = tried.map_err(|source| Unusable::new(None, source))?;
        let mut seen = vec![&self.default.opener];
        for (name, blueprint) in &self.own {
            let opener = &blueprint.opener;
            if seen.iter().any(|other| Arc::ptr_eq(other, opener)) {
                continue;
            }
            let tried = opener.try_out().await;
            tried.map_err(|source| Unusable::new(Some(name), source))?;
            seen.push(opener);
        }
        Ok(tried)
    }

    /// What opens the plugin of who has none of its own.
    pub fn default_opener(&self) -> &Arc<Opener> {
        &self.default.opener
    }

    /// An opener of the component from this source.
    fn opener_from(&self, source: &str) -> Option<&Arc<Opener>> {
        let all = [&self.default].into_iter().chain(self.own.values());
        let mut openers = all.map(|blueprint| &blueprint.opener);
        openers.find(|opener| opener.source() == source)
    }

    /// What keeps all tenants' data.
    pub fn kv(&self) -> &Arc<dyn kv::Driver> {
        self.default.opener.kv()
    }

    /// How much each tenant may store.
    pub fn kv_quotas(&self) -> kv::Quotas {
        let own = self.own.iter();
        let own = own.map(|(name, blueprint)| (name.to_string(), blueprint.limits.kv_quota));
        kv::Quotas {
            default: self.default.limits.kv_quota,
            own: own.collect(),
        }
    }
}

// === impl Openers ===

impl Openers<'_> {
    /// Tenants with the same settings and limits share an opener, and those with the same source what was compiled.
    async fn make(&mut self, settings: Settings) -> Result<Arc<Opener>, plugin::Error> {
        if let Some(made) = self.made.get(&settings) {
            return Ok(Arc::clone(made));
        }
        let opener = match self.loaded.get(&settings.source) {
            Some(same) => same.with(settings.settings.clone(), settings.limits.clone()),
            None => self.from.opener(settings.clone()).await?,
        };
        let opener = Arc::new(opener);
        let loaded = self.loaded.entry(settings.source.clone());
        loaded.or_insert_with(|| Arc::clone(&opener));
        self.made.insert(settings, Arc::clone(&opener));
        Ok(opener)
    }
}

// === impl From ===

impl From<'_> {
    /// Of a component that has not been loaded yet.
    async fn opener(self, settings: Settings) -> Result<Opener, plugin::Error> {
        match self {
            Self::Workshop(Workshop {
                runtime,
                kv,
                metrics,
            }) => {
                let (kv, metrics) = (Arc::clone(kv), Arc::clone(metrics));
                Opener::load(runtime, settings, kv, metrics).await
            }
            Self::Before(before, components) => {
                match (before.opener_from(&settings.source.to_string()), components) {
                    (Some(same), Components::Same) => {
                        Ok(same.with(settings.settings, settings.limits))
                    }
                    (Some(same), Components::Again) => same.reloaded(settings).await,
                    (None, _) => before.default.opener.reloaded(settings).await,
                }
            }
        }
    }
}

// === impl Unusable ===

impl Unusable {
    /// Of a tenant, or of all.
    pub fn new(tenant: Option<&TenantName>, source: plugin::Error) -> Self {
        let tenant = tenant.cloned();
        Self { tenant, source }
    }
}
