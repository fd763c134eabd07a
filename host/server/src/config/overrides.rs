//! What a tenant has of its own: settings under the names that they have for the whole server.
//!
//! An override is kept as the path and text of each setting that it gives. So its values are read, checked and shown by the rows of
//! [`SETTINGS`](super::SETTINGS), and are laid over the configuration of all once every source has spoken.

use std::collections::BTreeMap;

use larder_model::TenantName;
use serde::{Serialize, Serializer};

use super::settings::{PLUGIN_SETTINGS, Setting};
use super::{Config, Tenancy};

/// Where the overrides stand in a file; what follows is a tenant's name, and a setting's path.
pub const OVERRIDES: &str = "tenancy.overrides";

/// What each tenant has of its own, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Overrides(BTreeMap<TenantName, Own>);

/// What one tenant has of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Own {
    /// By path, as the setting shows itself: empty where it is unset.
    values: BTreeMap<&'static str, String>,
    /// The plugin's own settings; none takes away what all have.
    settings: BTreeMap<String, Option<String>>,
}

// === impl Overrides ===

impl Overrides {
    /// Each tenant that has something of its own, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&TenantName, &Own)> {
        self.0.iter()
    }

    pub(super) fn of(&mut self, tenant: TenantName) -> &mut Own {
        self.0.entry(tenant).or_default()
    }

    /// A tenant that the list of tenants lacks.
    pub(super) fn stranger(tenancy: &Tenancy) -> Option<&TenantName> {
        let listed = &tenancy.tenants.0;
        let mut names = tenancy.overrides.0.keys();
        names.find(|name| !listed.is_empty() && !listed.contains(*name))
    }
}

// === impl Own ===

impl Own {
    /// Overrides a setting; no text means the setting's default, as in the rest of a file. The error says what is wrong with the text
    /// and does not name the setting.
    pub(super) fn set(&mut self, setting: &Setting, text: Option<&str>) -> Result<(), String> {
        let mut alone = Config::default();
        if let Some(text) = text {
            setting.read(text, &mut alone)?;
        }
        let shown = setting.show(&alone).unwrap_or_default();
        self.values.insert(setting.path, shown);
        Ok(())
    }

    /// Sets one of the plugin's own settings, or takes it away.
    pub(super) fn set_plugin_setting(&mut self, name: &str, text: Option<String>) {
        self.settings.insert(name.to_owned(), text);
    }

    /// What holds for the tenant where `all` holds for the others. Another plugin begins without the settings that all have.
    pub fn over(&self, all: &Config) -> Config {
        let mut config = all.clone();
        for (path, text) in &self.values {
            if let Some(setting) = Setting::at(path) {
                // It was read before, and shown as it is read.
                setting.read(text, &mut config).unwrap_or_default();
            }
        }
        let plugin = &mut config.plugin;
        if plugin.r#use != all.plugin.r#use {
            plugin.settings.clear();
        }
        for (name, text) in &self.settings {
            match text {
                Some(text) => plugin.settings.insert(name.clone(), text.clone()),
                None => plugin.settings.remove(name),
            };
        }
        config
    }
}

/// As it stands in a file.
impl Serialize for Own {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        #[serde(untagged)]
        enum Node<'a> {
            Number(u64),
            Text(Option<&'a str>),
            Settings(&'a BTreeMap<String, Option<String>>),
        }

        let mut sections: BTreeMap<&str, BTreeMap<&str, Node<'_>>> = BTreeMap::new();
        for (path, text) in &self.values {
            let (section, key) = path.rsplit_once('.').unwrap_or(("", path));
            let number = text.parse().ok();
            let node = match number.filter(|number: &u64| number.to_string() == *text) {
                Some(number) => Node::Number(number),
                None => Node::Text(Some(text.as_str()).filter(|text| !text.is_empty())),
            };
            sections.entry(section).or_default().insert(key, node);
        }
        if !self.settings.is_empty() {
            let (section, key) = PLUGIN_SETTINGS.split_once('.').unwrap_or_default();
            let settings = Node::Settings(&self.settings);
            sections.entry(section).or_default().insert(key, settings);
        }
        sections.serialize(to)
    }
}

// === impl Config ===

impl Config {
    /// What holds for every tenant that has nothing of its own.
    #[must_use]
    pub fn of_all(&self) -> Self {
        let mut all = self.clone();
        all.tenancy.overrides = Overrides::default();
        all
    }
}
