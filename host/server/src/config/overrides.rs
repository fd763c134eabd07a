//! Settings of single tenants.
//!
//! An override is stored as paths and texts of settings. So the rows of [`SETTINGS`](super::SETTINGS) read, check and show its values,
//! and it is applied to the common configuration after all sources have been read.

use std::collections::BTreeMap;

use larder_model::TenantName;
use serde::{Serialize, Serializer};

use super::settings::{PLUGIN_GRANTS, PLUGIN_SETTINGS, Setting};
use super::{Config, Grants, Tenancy};

/// The section of the overrides: below it come a tenant's name and a setting's path.
pub const OVERRIDES: &str = "tenancy.overrides";

/// The overrides by tenant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Overrides(BTreeMap<TenantName, Override>);

/// The settings of one tenant that differ from the common ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Override {
    /// The text of each setting by path, empty if the setting is unset.
    values: BTreeMap<&'static str, String>,
    /// The plugin's own settings. `None` removes a common one.
    settings: BTreeMap<String, Option<String>>,
}

// === impl Overrides ===

impl Overrides {
    /// The tenants that have overrides, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&TenantName, &Override)> {
        self.0.iter()
    }

    pub(super) fn entry(&mut self, tenant: TenantName) -> &mut Override {
        self.0.entry(tenant).or_default()
    }

    /// A tenant with overrides that is not in the list of tenants.
    pub(super) fn unlisted(tenancy: &Tenancy) -> Option<&TenantName> {
        let listed = &tenancy.tenants.0;
        let mut names = tenancy.overrides.0.keys();
        names.find(|name| !listed.is_empty() && !listed.contains(*name))
    }
}

// === impl Override ===

impl Override {
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

    /// Sets one of the plugin's own settings, or removes it.
    pub(super) fn set_plugin_setting(&mut self, name: &str, text: Option<String>) {
        self.settings.insert(name.to_owned(), text);
    }

    /// The tenant's configuration, from the common one. With another plugin, the common plugin settings and grants do not
    /// apply.
    pub fn over(&self, all: &Config) -> Config {
        let mut config = all.clone();
        for (path, text) in &self.values {
            if let Some(setting) = Setting::at(path) {
                // The text is a value's own text, so reading it cannot fail.
                setting.read(text, &mut config).unwrap_or_default();
            }
        }
        if config.plugin.r#use != all.plugin.r#use {
            config.plugin.settings.clear();
            // What another plugin was granted is not this one's.
            config.plugin.grants = Grants::default();
            let own = self.values.iter();
            let own = own.filter(|(path, _)| path.starts_with(PLUGIN_GRANTS));
            for (setting, text) in own.filter_map(|(path, text)| Some((Setting::at(path)?, text))) {
                setting.read(text, &mut config).unwrap_or_default();
            }
        }
        let plugin = &mut config.plugin;
        for (name, text) in &self.settings {
            match text {
                Some(text) => plugin.settings.insert(name.clone(), text.clone()),
                None => plugin.settings.remove(name),
            };
        }
        config
    }
}

/// Writes the form that a file has.
impl Serialize for Override {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut root = BTreeMap::new();
        for (path, text) in &self.values {
            let number = text.parse().ok();
            let node = match number.filter(|number: &u64| number.to_string() == *text) {
                Some(number) => Yaml::Number(number),
                None => Yaml::Text(Some(text.as_str()).filter(|text| !text.is_empty())),
            };
            insert(&mut root, path, node);
        }
        if !self.settings.is_empty() {
            insert(&mut root, PLUGIN_SETTINGS, Yaml::Settings(&self.settings));
        }
        root.serialize(to)
    }
}

/// A node of the file's form.
#[derive(Serialize)]
#[serde(untagged)]
enum Yaml<'a> {
    Number(u64),
    Text(Option<&'a str>),
    Settings(&'a BTreeMap<String, Option<String>>),
    Section(BTreeMap<&'a str, Yaml<'a>>),
}

/// Puts a node at a path, in the sections that the path names.
fn insert<'a>(into: &mut BTreeMap<&'a str, Yaml<'a>>, path: &'a str, node: Yaml<'a>) {
    let Some((section, rest)) = path.split_once('.') else {
        into.insert(path, node);
        return;
    };
    let section = into.entry(section);
    let section = section.or_insert_with(|| Yaml::Section(BTreeMap::new()));
    if let Yaml::Section(inner) = section {
        insert(inner, rest, node);
    }
}

// === impl Config ===

impl Config {
    /// The common configuration, without overrides.
    #[must_use]
    pub fn of_all(&self) -> Self {
        let mut all = self.clone();
        all.tenancy.overrides = Overrides::default();
        all
    }
}
