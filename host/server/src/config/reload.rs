//! The difference between two configurations, and the part of it that a reload applies.

use std::collections::{BTreeMap, BTreeSet};

use super::Config;
use super::overrides::OVERRIDES;
use super::settings::{PLUGIN_SETTINGS, Reload, SETTINGS};

/// The paths of the settings in which two configurations differ.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Applied by a reload if the plugin can be replaced.
    pub of_plugins: Vec<String>,
    /// Applied by a reload.
    pub of_requests: Vec<String>,
    /// Applied by a restart only.
    pub at_start: Vec<String>,
}

impl Config {
    /// The settings whose values in `next` are other than here.
    pub fn changes(&self, next: &Self) -> Changes {
        let mut changes = Changes::default();
        for setting in SETTINGS {
            if setting.show(self) == setting.show(next) {
                continue;
            }
            let list = match setting.reload {
                Reload::AtStart => &mut changes.at_start,
                Reload::Requests => &mut changes.of_requests,
                Reload::Plugin => &mut changes.of_plugins,
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

    /// This configuration with the settings of requests, the overrides included, taken from `next`.
    #[must_use]
    pub fn with_requests_of(&self, next: &Self) -> Self {
        let mut config = self.clone();
        copy(Reload::Requests, &mut config, next);
        let overrides = &next.tenancy.overrides;
        config.tenancy.overrides.clone_from(overrides);
        config
    }

    /// This configuration with the settings of plugins taken from `next`.
    #[must_use]
    pub fn with_plugins_of(&self, next: &Self) -> Self {
        let mut config = self.clone();
        copy(Reload::Plugin, &mut config, next);
        config.plugin.settings.clone_from(&next.plugin.settings);
        config
    }
}

/// Copies the settings that have this kind of reload.
fn copy(reload: Reload, config: &mut Config, next: &Config) {
    for setting in SETTINGS.iter().filter(|row| row.reload == reload) {
        // A value is always read back from its own text.
        let text = setting.show(next).unwrap_or_default();
        setting.read(&text, config).unwrap_or_default();
    }
}
