//! A compiled and described plugin with its settings and limits. It is opened for each tenant without compiling again.

mod bundled;
mod checkup;
mod compiler;
mod config;
mod direct;
mod error;
mod load;
mod offline;
mod repair;
mod source;
mod status;
mod trial;

use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};

use larder_core::telemetry::{Metrics, PluginLabels};
use larder_model::storage::{Observers, Statistics};
use larder_store as kv;

use self::load::Loaded;
use self::trial::Trial;
use crate::instance::Plugin;
use crate::instance::starter::{self, OpenError, Starter};
use crate::sandbox::contract::{ContractVersion, Identity, Info, Role};
use crate::sandbox::guest::{Failure, Gauge, Granted, InstanceConfig};
use crate::sandbox::network::Network;
use crate::sandbox::{GuestError, Runtime, RuntimeConfig, refusal};

pub use checkup::Checkup;
pub use compiler::{CompileJob, Compiler};
pub use config::{Limits, PluginConfig};
pub use direct::{Direct, DirectResult, NoAnswer, Place};
pub use error::Error;
pub use repair::{Repair, forget_derived};
pub use source::Source;
pub use status::{GrantStatus, Instancing, State, Status};

/// The longest name and version that a plugin may give itself, in bytes.
const MAX_NAME_BYTES: usize = 64;

/// The parts of the server that plugins are loaded with and run on.
#[derive(Clone)]
pub struct Host {
    /// Compiles components and runs their instances.
    pub runtime: Runtime,
    /// Keeps the tenants' data.
    pub kv: Arc<dyn kv::Driver>,
    /// Counts calls, failures and broken rules.
    pub metrics: Arc<Metrics>,
    /// Told of what happens to the data of each tenant, to derive from it.
    pub observers: Option<Arc<dyn Observers>>,
}

/// A loaded plugin. It is immutable: a reload makes another one.
pub struct Component {
    host: Host,
    code: Arc<Loaded>,
    name: Arc<str>,
    version: String,
    instancing: Instancing,
    config: PluginConfig,
    /// Memory of an instance that was opened on an empty store, in bytes; unset until [`Component::try_out`] has succeeded.
    tried: OnceLock<u64>,
}

/// The checks that a component has to pass when it is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadChecks {
    /// It is instantiated and asked to describe itself.
    Describe,
    /// The same instance is then opened on an empty store, so that settings which the plugin refuses are found before a tenant calls.
    Open,
}

// === impl Component ===

impl Component {
    /// Compiles the plugin and checks that it fits the contract. No tenant's data is touched.
    ///
    /// # Errors
    /// Everything that makes the component unusable: see [`Error`].
    pub async fn load(
        host: &Host,
        config: PluginConfig,
        checks: LoadChecks,
    ) -> Result<Arc<Self>, Error> {
        let source = config.source.to_string();
        let code = Arc::new(compile(&host.runtime, &config).await?);
        let gauge = Gauge::default();
        let opening = instance_config(
            &host.runtime,
            &code,
            source.as_str().into(),
            &config,
            &gauge,
        );
        let start_error = |error: OpenError| error.into_error(&source);
        let mut trial = Trial::start(&opening).await.map_err(start_error)?;
        let described = trial.instance.describe().await;
        let info = described.map_err(|failure| start_error(OpenError::Failed(failure)))?;
        check_info(&info, &source)?;
        let component = Self {
            host: host.clone(),
            code,
            name: info.name.as_str().into(),
            version: info.version,
            instancing: info.instancing,
            config,
            tried: OnceLock::new(),
        };
        match checks {
            LoadChecks::Describe => {}
            LoadChecks::Open => {
                let opened = component.open_trial(trial, &gauge).await;
                opened.map_err(|error| error.into_error(&component.name))?;
            }
        }
        Ok(Arc::new(component))
    }

    /// The same compiled code with this configuration; the same component if it has that already.
    #[must_use]
    pub fn with(self: &Arc<Self>, config: PluginConfig) -> Arc<Self> {
        if self.config == config {
            return Arc::clone(self);
        }
        Arc::new(Self {
            host: self.host.clone(),
            code: Arc::clone(&self.code),
            name: Arc::clone(&self.name),
            version: self.version.clone(),
            instancing: self.instancing,
            config,
            tried: OnceLock::new(),
        })
    }

    /// A component for a changed configuration, on the same host. The file is read again, but compiled only if its bytes have changed.
    ///
    /// # Errors
    /// As [`Component::load`].
    pub async fn reload(
        self: &Arc<Self>,
        config: PluginConfig,
        checks: LoadChecks,
    ) -> Result<Arc<Self>, Error> {
        let source = config.source.clone();
        let hash = blocking(move || source.hash()).await?;
        if hash != self.code.hash {
            return Self::load(&self.host, config, checks).await;
        }
        let same = self.with(config);
        match checks {
            LoadChecks::Describe => {}
            LoadChecks::Open => same.try_out().await?,
        }
        Ok(same)
    }

    /// Opens the plugin on an empty store and drops it again, unless that was done when it was loaded.
    ///
    /// # Errors
    /// A plugin that fails or refuses to open.
    pub async fn try_out(&self) -> Result<(), Error> {
        if self.tried.get().is_some() {
            return Ok(());
        }
        let gauge = Gauge::default();
        let tried = async {
            let trial = Trial::start(&self.instance_config(&gauge, Granted::nothing())).await?;
            self.open_trial(trial, &gauge).await
        };
        tried.await.map_err(|error| error.into_error(&self.name))
    }

    /// Opens the plugin for one tenant, by the name of its namespace.
    ///
    /// # Errors
    /// A plugin that fails or refuses to open, a namespace that cannot be opened or claimed.
    pub async fn open(self: &Arc<Self>, tenant: &str) -> Result<Arc<Plugin>, Error> {
        let starter = self.starter(tenant).await?;
        let lane = starter.lane().clone();
        lane.gated(Plugin::start(starter)).await
    }

    /// Starts instances for one tenant. Each tenant's memory is counted by itself.
    pub(crate) async fn starter(self: &Arc<Self>, tenant: &str) -> Result<Starter, Error> {
        let lane = self.host.runtime.scheduler().lane(tenant);
        let starter = Starter::new(Arc::clone(self), lane).await;
        starter.map_err(|error| OpenError::Kv(error).into_error(&self.name))
    }

    /// The parts of the server that it runs on.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// What is told of the tenants' data. Nothing is for a plugin that may keep data elsewhere, unless kv is shared: what is derived of this
    /// host's writes would be taken for all of it, while other hosts may write there too.
    pub(crate) fn observers(&self) -> Option<&Arc<dyn Observers>> {
        let knows_all = self.host.kv.is_shared() || !self.config.grants.reaches_out();
        self.host.observers.as_ref().filter(|_| knows_all)
    }

    /// Its source, settings and limits.
    pub fn config(&self) -> &PluginConfig {
        &self.config
    }

    /// The limits of its instances and of the queue before them.
    pub fn limits(&self) -> &Limits {
        &self.config.limits
    }

    /// The name that the plugin gives itself.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The version that the plugin gives itself.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// XXH3-128 of the component's bytes, in hexadecimal.
    pub fn hash(&self) -> &str {
        &self.code.hash
    }

    /// The version of the contract that the component was built for.
    pub fn contract(&self) -> ContractVersion {
        self.code.component.version()
    }

    /// Whether it has `repair`.
    ///
    /// # Errors
    /// The reason why the plugin cannot repair.
    pub fn check_repair(&self) -> Result<(), &'static str> {
        self.code.component.check_repair()
    }

    /// Where the plugin's data lives.
    pub fn instancing(&self) -> Instancing {
        self.instancing
    }

    /// Name, version and hash, for a log line.
    pub fn identity(&self) -> String {
        format!("{} {} ({})", self.name, self.version, self.code.hash)
    }

    /// The plugin apart from any tenant: as it was when it was tried out.
    pub fn status(&self) -> Status {
        self.status_with(self.tried.get().copied().unwrap_or_default())
    }

    /// The status of a plugin that was just opened; `memory_used` in bytes.
    pub(crate) fn status_with(&self, memory_used: u64) -> Status {
        Status {
            name: self.name.to_string(),
            version: self.version.clone(),
            source: self.config.source.to_string(),
            hash: self.code.hash.clone(),
            size: self.code.size as u64,
            imports: self.code.names.imports.clone(),
            exports: self.code.names.exports.clone(),
            grants: self.grants(),
            contract: self.contract(),
            instancing: self.instancing,
            state: State::Ready,
            restarts: 0,
            memory_used,
            memory_limit: self.config.limits.memory,
            queue_depth: 0,
            queue_bytes: 0,
            statistics: Statistics::default(),
        }
    }

    fn grants(&self) -> Vec<GrantStatus> {
        let shown = self.config.grants.shown().into_iter();
        let grants = shown.map(|(kind, import, granted)| GrantStatus {
            kind,
            is_imported: self
                .code
                .names
                .imports
                .iter()
                .any(|it| it.starts_with(import)),
            granted,
        });
        grants.collect()
    }

    /// True if instances of both are the same. The limits of the queue are not compared: they change without new instances
    /// ([`Plugin::set_queue`]).
    pub fn is_same_as(&self, other: &Self) -> bool {
        let (one, two) = (&self.config, &other.config);
        self.code.hash == other.code.hash
            && one.source == two.source
            && one.settings == two.settings
            && one.limits.memory == two.limits.memory
            && one.limits.call_timeout == two.limits.call_timeout
            && one.limits.log_bytes == two.limits.log_bytes
            && one.grants == two.grants
    }

    /// Checks that `next` may replace this component while tenants are open.
    ///
    /// # Errors
    /// [`Error::NeedsRestart`], with the reason.
    pub fn may_become(&self, next: &Self) -> Result<(), Error> {
        if self.is_same_as(next) {
            return Ok(());
        }
        let (name, other) = (&self.name, &next.name);
        let reason = match (self.instancing, next.instancing) {
            (Instancing::Exclusive, Instancing::Exclusive | Instancing::Replicated) => {
                "it holds its data in its one instance, so a change of it loses all that it holds"
                    .to_owned()
            }
            (Instancing::Replicated, Instancing::Exclusive) => format!(
                "`{other}` would hold its data in its one instance, and see nothing of what is stored"
            ),
            (Instancing::Replicated, Instancing::Replicated) if name != other => format!(
                "`{other}` is another plugin, which may not be able to read what `{name}` has stored"
            ),
            (Instancing::Replicated, Instancing::Replicated) => return Ok(()),
        };
        Err(Error::NeedsRestart {
            plugin: name.to_string(),
            reason,
        })
    }

    /// Everything that an instance is started with; its memory is counted in `gauge`.
    pub(crate) fn instance_config(&self, gauge: &Gauge, granted: Granted) -> InstanceConfig {
        let name = Arc::clone(&self.name);
        InstanceConfig {
            granted,
            ..instance_config(&self.host.runtime, &self.code, name, &self.config, gauge)
        }
    }

    /// What an instance of this tenant is granted, with the values that variables have now.
    pub(crate) fn granted(&self, tenant: &str) -> Result<Granted, OpenError> {
        let grants = &self.config.grants;
        let labels = PluginLabels {
            tenant: tenant.into(),
            plugin: Arc::clone(&self.name),
        };
        let metrics = Arc::clone(&self.host.metrics);
        Ok(Granted {
            variables: grants.values().map_err(OpenError::Refused)?,
            clock: grants.clock,
            network: Network::granted(grants.clone(), labels, metrics),
        })
    }

    /// True if something that `before` is granted is not granted here.
    pub(crate) fn withdraws_from(&self, before: &Self) -> bool {
        !self.config.grants.has_all_of(&before.config.grants)
    }

    /// True if the plugin may keep data where the host does not reach.
    pub(crate) fn reaches_out(&self) -> bool {
        self.config.grants.reaches_out()
    }

    /// Opens an instance that was started on an empty store, notes the memory that it takes, and drops it. It has no grants, so that nothing
    /// outside is touched; one that needs them may say so with `unavailable`.
    async fn open_trial(&self, mut trial: Trial, gauge: &Gauge) -> Result<(), OpenError> {
        self.config.grants.values().map_err(OpenError::Refused)?;
        let claim = trial.claim().await?;
        let role = Role::Writer(Identity::from(&claim));
        match starter::raised_by_open(&mut trial.instance, &self.config, "", role).await {
            Ok(Ok(())) => {}
            Ok(Err(GuestError::Unavailable(_))) if self.reaches_out() => {}
            Ok(Err(raised)) => return Err(OpenError::Refused(refusal::describe(&raised))),
            Err(failure) => return Err(OpenError::Failed(failure)),
        }
        self.tried.get_or_init(|| gauge.load(Ordering::Relaxed));
        Ok(())
    }
}

fn instance_config(
    runtime: &Runtime,
    code: &Loaded,
    name: Arc<str>,
    config: &PluginConfig,
    gauge: &Gauge,
) -> InstanceConfig {
    InstanceConfig {
        component: code.component.clone(),
        name,
        memory: config.limits.memory,
        timeout: config.limits.call_timeout,
        log_bytes: config.limits.log_bytes,
        gauge: Arc::clone(gauge),
        clock: Arc::clone(runtime.clock()),
        instances: Arc::clone(runtime.instances()),
        granted: Granted::nothing(),
    }
}

fn check_info(info: &Info, source: &str) -> Result<(), Error> {
    for (field, text) in [("name", &info.name), ("version", &info.version)] {
        let well_formed = !text.is_empty()
            && text.len() <= MAX_NAME_BYTES
            && text.chars().all(|c| c.is_ascii_graphic());
        if !well_formed {
            return Err(Error::World {
                plugin: source.to_owned(),
                reason: format!(
                    "`describe` gives a {field} that is not 1 to {MAX_NAME_BYTES} printable ASCII characters without spaces"
                ),
            });
        }
    }
    Ok(())
}

/// Compiles off the tasks that serve. A file is compiled by another process first.
async fn compile(runtime: &Runtime, config: &PluginConfig) -> Result<Loaded, Error> {
    let source = config.source.clone();
    let bytes = blocking(move || load::read(&source)).await?;
    let RuntimeConfig {
        cache_dir,
        compiler,
        ..
    } = runtime.config();
    if let (Source::File(_), Some(compiler)) = (&config.source, compiler) {
        let plugin = config.source.to_string();
        let compiled = compiler.compile(&plugin, Arc::clone(&bytes), cache_dir.as_deref());
        compiled.await?;
    }
    let (runtime, source) = (runtime.clone(), config.source.clone());
    blocking(move || load::load(&runtime, &source, &bytes)).await
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| {
        Err(Error::Runtime {
            reason: format!("reading or compiling the plugin ended early: {error}"),
        })
    })
}

fn start_error(plugin: &str, failure: &Failure) -> Error {
    Error::Start {
        plugin: plugin.to_owned(),
        cause: failure.cause.to_string(),
        error_type: failure.cause.as_str(),
        detail: failure.detail.clone(),
    }
}

// === impl OpenError ===

impl OpenError {
    /// The error of a plugin that cannot be used at all.
    pub(crate) fn into_error(self, plugin: &str) -> Error {
        let plugin = plugin.to_owned();
        match self {
            Self::Failed(failure) => start_error(&plugin, &failure),
            Self::Refused(reason) => Error::Refused { plugin, reason },
            Self::Kv(source) => Error::Kv { plugin, source },
        }
    }
}
