//! Reloads the configuration while the server runs, at SIGHUP and `POST /reload`.
//!
//! Everything is read and tried first, so that an error changes nothing. Then the plugin's instances are replaced, and then the other
//! settings are applied. One reload runs at a time.

use std::sync::Arc;

use larder_core::telemetry::{Chain, Metrics};
use larder_edge::files::{PreparedReload, WatchedFiles};
use larder_runtime::plugin;
use larder_runtime::tenants::{ComponentFiles, LoadError, Reloaded, Tenants};
use tokio_util::sync::CancellationToken;

use super::hangups::Hangups;
use super::listeners::{PortConnections, anonymous_callers_may};
use super::live_settings::LiveSettings;
use super::{Error, limits};
use crate::admin;
use crate::config::{Changes, Config, Sources};
use crate::reload::{NeedsRestart, Outcome, PluginChange, Refused, Report};

/// The reason why a changed setting of a port, directory or driver needs a restart.
const AT_START: &str = "it is looked at once, when the server starts";

/// Runs reloads. Clones share their state.
#[derive(Clone)]
pub(super) struct Reloader(Arc<Parts>);

/// The sources of a reload, and the live values that it sets.
pub(super) struct Parts {
    pub(super) sources: Sources,
    /// The current configuration. A reload holds the lock until it ends.
    pub(super) config: tokio::sync::Mutex<Config>,
    pub(super) files: Vec<Arc<dyn WatchedFiles>>,
    pub(super) tenants: Arc<Tenants>,
    pub(super) settings: LiveSettings,
    /// The connection permits of each port.
    pub(super) connections: Vec<PortConnections>,
    /// True if other machines can reach the admin port and it requires no authentication.
    pub(super) anonymous_admin: bool,
    pub(super) metrics: Arc<Metrics>,
}

// === impl Reloader ===

impl Reloader {
    pub(super) fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    /// Reloads at each SIGHUP, until `stop`.
    pub(super) async fn follow(self, mut hangups: Hangups, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = hangups.next() => {}
            }
            // `reload` has logged the result.
            drop(self.reload("SIGHUP").await);
        }
    }

    /// Reloads, in a task of its own, so that a caller that goes away does not interrupt it.
    async fn reload(&self, by: &str) -> Result<Report, Refused> {
        let parts = Arc::clone(&self.0);
        let reloading = tokio::spawn(async move { parts.reload().await });
        let ended = reloading.await;
        let ended = ended.unwrap_or_else(|error| Err(Refused(format!("it ended early: {error}"))));
        let outcome = ended
            .as_ref()
            .map_or(Outcome::Refused, |report| report.outcome);
        self.0.metrics.reloaded(outcome.as_str());
        match &ended {
            Ok(report) => log(by, report),
            Err(refused) => tracing::error!(
                by,
                error = %refused,
                "the configuration is not reloaded; the last good ones stay in use"
            ),
        }
        ended
    }
}

#[async_trait::async_trait]
impl admin::Reloads for Reloader {
    async fn reload(&self, by: &str) -> Result<Report, Refused> {
        Self::reload(self, by).await
    }
}

// === impl Parts ===

impl Parts {
    async fn reload(&self) -> Result<Report, Refused> {
        let mut current = self.config.lock().await;
        let (next, fresh) = self.read().await?;
        let changes = current.changes(&next);

        let was = self.tenants.default_component();
        let without_plugins = current.with_requests_of(&next);
        let with_plugins = without_plugins.with_plugins_of(&next);
        let (tenants, held) = match self.replace(&with_plugins, ComponentFiles::Reread).await {
            Ok(taken) => (taken, None),
            Err(LoadError {
                source: error @ plugin::Error::NeedsRestart { .. },
                ..
            }) => {
                let taken = self.replace(&without_plugins, ComponentFiles::Keep).await;
                (taken.map_err(unusable)?, Some(error.to_string()))
            }
            Err(error) => return Err(unusable(error)),
        };

        let files = fresh.iter().map(|fresh| fresh.setting).collect();
        for fresh in fresh {
            (fresh.apply)();
        }
        *current = if held.is_none() {
            with_plugins
        } else {
            without_plugins
        };
        self.apply(&current).await;

        let plugin = PluginChange {
            was: was.identity(),
            is: self.tenants.default_component().identity(),
        };
        Ok(report(changes, files, plugin, tenants, held))
    }

    /// Gives the tenants the plugins and quotas of a configuration.
    async fn replace(&self, config: &Config, files: ComponentFiles) -> Result<Reloaded, LoadError> {
        let loaded = self.tenants.load(limits::tenant_configs(config)?, files);
        self.tenants.reload(loaded.await?).await
    }

    /// Reads the configuration, the certificates and the tokens.
    async fn read(&self) -> Result<(Config, Vec<PreparedReload>), Refused> {
        let (sources, files) = (self.sources.clone(), self.files.clone());
        let read = tokio::task::spawn_blocking(move || {
            let next = Config::load(&sources).map_err(|error| refused(&error))?;
            let fresh = files.into_iter().map(|files| {
                let prepared = files.prepare();
                prepared.map_err(|error| refused(&*error))
            });
            Ok((next, fresh.collect::<Result<Vec<_>, Refused>>()?))
        });
        let read = read.await;
        read.unwrap_or_else(|error| Err(Refused(format!("reading it ended early: {error}"))))
    }

    /// Applies the settings of requests.
    async fn apply(&self, config: &Config) {
        for port in &self.connections {
            port.set_limit(config.limits.connections);
        }
        self.tenants.keep_free(config.kv.min_free.bytes());
        let purges = config.admin.purge && !*self.settings.purge.get();
        let copies = config.kv.snapshot_dir.is_some() && self.settings.snapshot_dir.get().is_none();
        if self.anonymous_admin && (purges || copies) {
            let may = anonymous_callers_may(config);
            tracing::warn!("admin.allow_anonymous: anyone who reaches the admin port {may}");
        }
        self.settings.set(config);
        self.tenants.set(limits::tenants(config)).await;
    }
}

fn refused(error: &(dyn std::error::Error + 'static)) -> Refused {
    Refused(Chain(error).to_string())
}

fn unusable(error: LoadError) -> Refused {
    refused(&Error::Plugin(error))
}

fn report(
    changes: Changes,
    files: Vec<&'static str>,
    plugin: PluginChange,
    tenants: Reloaded,
    held: Option<String>,
) -> Report {
    let Changes {
        mut of_plugins,
        of_requests,
        at_start,
    } = changes;
    let mut taken = of_requests;
    let mut needs_restart: Vec<NeedsRestart> = Vec::new();
    match held {
        None => taken.extend(of_plugins),
        Some(reason) => {
            if of_plugins.is_empty() {
                // No setting has changed, but the plugin's file has.
                of_plugins.push("plugin.use".to_owned());
            }
            let held = of_plugins.into_iter().map(|setting| NeedsRestart {
                setting,
                reason: reason.clone(),
            });
            needs_restart.extend(held);
        }
    }
    needs_restart.extend(at_start.into_iter().map(|setting| NeedsRestart {
        setting,
        reason: AT_START.to_owned(),
    }));
    let outcome = if !needs_restart.is_empty() || !tenants.failed.is_empty() {
        Outcome::Partial
    } else if taken.is_empty() && tenants.replaced.is_empty() && plugin.was == plugin.is {
        Outcome::Unchanged
    } else {
        Outcome::Taken
    };
    Report {
        outcome,
        taken,
        files,
        needs_restart,
        plugin,
        tenants,
    }
}

fn log(by: &str, report: &Report) {
    let replaced = report.tenants.replaced.len();
    tracing::info!(
        by,
        outcome = report.outcome.as_str(),
        taken = report.taken.join(", "),
        files = report.files.join(", "),
        plugin = report.plugin.is,
        replaced,
        "the configuration is reloaded"
    );
    for NeedsRestart { setting, reason } in &report.needs_restart {
        tracing::warn!(setting, reason, "a changed setting needs a restart");
    }
    for failed in &report.tenants.failed {
        tracing::warn!(
            tenant.id = %failed.tenant,
            reason = failed.reason,
            "a tenant goes on with the plugin that it had"
        );
    }
}
