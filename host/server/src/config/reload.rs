//! What of a configuration a running server may take, and what it needs a restart for.

use std::collections::{BTreeMap, BTreeSet};

use super::Config;
use super::overrides::OVERRIDES;
use super::settings::{PLUGIN_SETTINGS, SETTINGS};

/// Settings of a tenant's plugin, which only a plugin that can be replaced takes; its own settings are such as well.
const OF_PLUGINS: &[&str] = &[
    "plugin.use",
    "limits.memory",
    "limits.call_timeout",
    "limits.log_bytes",
];

/// Settings of the server that are looked at anew by each request or connection, those of one tenant included.
const OF_REQUESTS: &[&str] = &[
    "limits.queue_bytes",
    "limits.queue_depth",
    "limits.spans_per_second",
    "limits.concurrent_queries",
    "kv.quota",
    "limits.query_timeout",
    "limits.query_judged_spans",
    "limits.query_read_bytes",
    "limits.max_search_depth",
    "limits.drain_timeout",
    "limits.connections",
    "limits.request_timeout",
    "admin.purge",
    "kv.min_free",
    "tenancy.header",
    "tenancy.tenants",
    "tenancy.max_tenants",
    "tenancy.idle_timeout",
    "tenancy.default",
    "tenancy.writer_default",
    "tenancy.resource_attribute",
];

/// The settings in which two configurations differ, by path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Of the plugin: taken if that can be replaced.
    pub of_plugins: Vec<String>,
    /// Taken.
    pub of_requests: Vec<String>,
    /// Looked at once, when the server starts.
    pub at_start: Vec<String>,
}

impl Config {
    /// In what `next` differs from this.
    pub fn changes(&self, next: &Self) -> Changes {
        let mut changes = Changes::default();
        for setting in SETTINGS {
            if setting.show(self) == setting.show(next) {
                continue;
            }
            let list = if OF_PLUGINS.contains(&setting.path) {
                &mut changes.of_plugins
            } else if OF_REQUESTS.contains(&setting.path) {
                &mut changes.of_requests
            } else {
                &mut changes.at_start
            };
            list.push(setting.path.to_owned());
        }
        let (now, then) = (&self.plugin.settings, &next.plugin.settings);
        let names = now
            .keys()
            .chain(then.keys().filter(|name| !now.contains_key(*name)));
        let changed = names.filter(|name| now.get(*name) != then.get(*name));
        let changed = changed.map(|name| format!("{PLUGIN_SETTINGS}.{name}"));
        changes.of_plugins.extend(changed);
        let overrides = [self, next].map(|it| &it.tenancy.overrides);
        let [now, then] = overrides.map(|it| it.iter().collect::<BTreeMap<_, _>>());
        let names: BTreeSet<_> = now.keys().chain(then.keys()).collect();
        let changed = names
            .into_iter()
            .filter(|name| now.get(*name) != then.get(*name));
        let changed = changed.map(|name| format!("{OVERRIDES}.{name}"));
        changes.of_requests.extend(changed);
        changes
    }

    /// This configuration with what each request looks at as `next` has it.
    #[must_use]
    pub fn with_requests_of(&self, next: &Self) -> Self {
        let mut config = self.clone();
        take(OF_REQUESTS, &mut config, next);
        let overrides = &next.tenancy.overrides;
        config.tenancy.overrides.clone_from(overrides);
        config
    }

    /// This configuration with what concerns plugins as `next` has it.
    #[must_use]
    pub fn with_plugins_of(&self, next: &Self) -> Self {
        let mut config = self.clone();
        take(OF_PLUGINS, &mut config, next);
        config.plugin.settings.clone_from(&next.plugin.settings);
        config
    }
}

fn take(paths: &[&str], config: &mut Config, next: &Config) {
    for setting in SETTINGS {
        if paths.contains(&setting.path) {
            // What one configuration shows, another reads.
            let text = setting.show(next).unwrap_or_default();
            setting.read(&text, config).unwrap_or_default();
        }
    }
}
