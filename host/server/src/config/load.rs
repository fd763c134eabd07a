//! Loads the configuration from its sources in order: defaults, file, environment, flags.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use larder_model::TenantName;

use super::error::{Error, Origin, nearest};
use super::file::{self, Entry, Raw};
use super::overrides::{OVERRIDES, Overrides};
use super::settings::{self, OF_BUNDLED, PLUGIN_SETTINGS, SETTINGS, Scope, Setting};
use super::value::Value as _;
use super::{Config, environment};

/// The inputs of the configuration, as the process was started with them.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The YAML file of `--config`. If unset, `LARDER_CONFIG` can name it.
    pub file: Option<PathBuf>,
    /// The environment, as of `std::env::vars_os`. Variables without the prefix `LARDER_` are ignored.
    pub environment: Vec<(OsString, OsString)>,
    /// Settings given by flags. Of two with one path the later one applies.
    pub flags: Vec<Flag>,
}

/// A setting given on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flag {
    /// The flag, for messages: `--grpc-endpoint`.
    pub name: &'static str,
    /// The setting's path: `grpc.endpoint`.
    pub path: String,
    /// The value as text.
    pub value: String,
}

impl Config {
    /// Loads the configuration. A setting has the value of the last source that gives it.
    ///
    /// # Errors
    /// The first error found: an unreadable file, an unknown name, an invalid value.
    pub fn load(sources: &Sources) -> Result<Self, Error> {
        let mut loader = Loader::default();
        let environment = environment::read(&sources.environment)?;
        let file = sources.file.as_deref().or(environment.file.as_deref());
        if let Some(path) = file {
            loader.file(path)?;
        }
        for variable in environment.variables {
            let origin = Origin::Environment(variable.name);
            loader.set(&variable.path, &variable.value, origin)?;
        }
        for flag in &sources.flags {
            loader.set(&flag.path, &flag.value, Origin::Flag(flag.name))?;
        }
        let config = loader.finish()?;
        let mut unknown = environment.unknown.into_iter();
        match unknown.next() {
            Some(first) if config.strict_environment => Err(first),
            _ => Ok(config),
        }
    }

    /// The configuration as YAML. Loading it gives an equal configuration.
    pub fn to_yaml(&self) -> Result<String, serde_saphyr::SerializeError> {
        serde_saphyr::to_string(self)
    }
}

// === impl Sources ===

impl Sources {
    /// The variables with the prefix `LARDER_` that name no setting, each as [`Error::UnknownVariable`] or [`Error::OverridesVariable`].
    pub fn unknown_variables(&self) -> Vec<Error> {
        let environment = environment::read(&self.environment);
        // A variable that cannot be read is an error of `Config::load`.
        environment.map_or_else(|_| Vec::new(), |environment| environment.unknown)
    }
}

/// The configuration so far, and the origin of each setting.
#[derive(Default)]
struct Loader {
    config: Config,
    origins: BTreeMap<String, Origin>,
}

impl Loader {
    fn file(&mut self, path: &Path) -> Result<(), Error> {
        let yaml = std::fs::read_to_string(path).map_err(|source| Error::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        for entry in file::settings(path, &yaml)? {
            match entry.tenant {
                Some(_) => self.set_override(entry)?,
                None => self.set_common(entry)?,
            }
        }
        Ok(())
    }

    /// Applies an entry of the file that is for all tenants.
    fn set_common(&mut self, entry: Entry) -> Result<(), Error> {
        let Entry {
            path,
            raw,
            key,
            value,
            ..
        } = entry;
        if let Some(name) = path.strip_prefix(OVERRIDES)
            && let Some(name) = name.strip_prefix('.')
        {
            let message = format!("expected {}, got `{name}`", TenantName::KIND);
            return Err(invalid(path, message, key));
        }
        if !settings::is_section(&path) && !is_known(&path) {
            return Err(unknown_key(path, key));
        }
        match text(raw, &path) {
            Ok(Some(text)) => self.set(&path, &text, value),
            Ok(None) => self.unset(&path, value),
            Err(message) => Err(invalid(path, message, value)),
        }
    }

    /// Applies an entry of the file that is for one tenant.
    fn set_override(&mut self, entry: Entry) -> Result<(), Error> {
        let Some(tenant) = entry.tenant else {
            return Ok(());
        };
        let whose = format!("{OVERRIDES}.{tenant}");
        let origin = self.origins.entry(whose.clone());
        origin.or_insert_with(|| entry.key.clone());
        let path = entry.path;
        let whole = if path.is_empty() {
            whose.clone()
        } else {
            format!("{whose}.{path}")
        };
        let setting = Setting::at(&path);
        if setting.is_some_and(|setting| setting.scope == Scope::Server) {
            let message = format!(
                "this is of the whole server; a tenant may have {} and `{PLUGIN_SETTINGS}` of its own",
                settings::overridable_in_words()
            );
            return Err(invalid(whole, message, entry.key));
        }
        if !path.is_empty() && !settings::is_section(&path) && !is_known(&path) {
            let nearest = nearest(&path, '.', paths(settings::overridable()));
            return Err(Error::UnknownKey {
                nearest: nearest.map(|path| format!("{whose}.{path}")),
                key: whole,
                origin: entry.key,
            });
        }
        let set = text(entry.raw, &path).and_then(|text| {
            let own = self.config.tenancy.overrides.entry(tenant);
            match (plugin_setting(&path), setting) {
                (Some(name), _) => own.set_plugin_setting(name, text),
                (None, Some(setting)) => own.set(setting, text.as_deref())?,
                (None, None) => {}
            }
            Ok(())
        });
        set.map_err(|message| invalid(whole, message, entry.value))
    }

    fn set(&mut self, path: &str, text: &str, origin: Origin) -> Result<(), Error> {
        if let Some(name) = plugin_setting(path) {
            let settings = &mut self.config.plugin.settings;
            settings.insert(name.to_owned(), text.to_owned());
        } else if let Some(setting) = Setting::at(path) {
            if let Err(message) = setting.read(text, &mut self.config) {
                return Err(invalid(path.to_owned(), message, origin));
            }
        } else {
            return Err(unknown_key(path.to_owned(), origin));
        }
        self.origins.insert(path.to_owned(), origin);
        Ok(())
    }

    /// Applies a null, which resets the setting to its default.
    fn unset(&mut self, path: &str, origin: Origin) -> Result<(), Error> {
        if let Some(name) = plugin_setting(path) {
            self.config.plugin.settings.remove(name);
            return Ok(());
        }
        let default = Setting::at(path).and_then(|setting| setting.show(&Config::default()));
        self.set(path, default.as_deref().unwrap_or_default(), origin)
    }

    fn finish(mut self) -> Result<Config, Error> {
        if let Some((path, message)) = settings::contradiction(&self.config) {
            return Err(Error::Invalid {
                setting: path.to_owned(),
                message,
                origin: self.origins.remove(path),
            });
        }
        if let Some(tenant) = Overrides::unlisted(&self.config.tenancy) {
            let setting = format!("{OVERRIDES}.{tenant}");
            return Err(Error::Invalid {
                message: format!("`{tenant}` is not in `tenancy.tenants`"),
                origin: self.origins.remove(&setting),
                setting,
            });
        }
        Ok(self.config)
    }
}

/// The text of a value, `None` for a null. The error says which type is expected. The empty path is a tenant's section.
fn text(raw: Raw, path: &str) -> Result<Option<String>, String> {
    let is_section = path.is_empty() || settings::is_section(path);
    if is_section {
        let what = match raw {
            Raw::Null => "nothing".to_owned(),
            Raw::Text(text) => format!("`{text}`"),
            Raw::List(_) => "a list".to_owned(),
            Raw::Map(_) => "a mapping".to_owned(),
            Raw::Other(what) => what.to_owned(),
        };
        return Err(format!("expected a mapping of settings, got {what}"));
    }
    let kind = kind(path);
    match raw {
        Raw::Null => Ok(None),
        Raw::Text(text) => Ok(Some(text)),
        Raw::List(_) if !is_list(path) => Err(format!("expected {kind}, got a list")),
        // Commas separate the elements of the joined text.
        Raw::List(texts) if texts.iter().any(|text| text.contains(',')) => {
            Err(format!("expected {kind}, got one with a comma"))
        }
        Raw::List(texts) => Ok(Some(texts.join(","))),
        Raw::Map(pairs) if pairs.is_empty() => {
            Err(format!("expected {kind}, got an empty mapping"))
        }
        Raw::Map(pairs) => {
            let pairs = pairs.iter().map(|(key, value)| format!("{key}:{value}"));
            Ok(Some(pairs.collect::<Vec<_>>().join(",")))
        }
        Raw::Other(what) => Err(format!("expected {kind}, got {what}")),
    }
}

fn invalid(setting: String, message: String, origin: Origin) -> Error {
    Error::Invalid {
        setting,
        message,
        origin: Some(origin),
    }
}

/// The name of a plugin's own setting, if the path is one.
fn plugin_setting(path: &str) -> Option<&str> {
    path.strip_prefix(PLUGIN_SETTINGS)?
        .strip_prefix('.')
        .filter(|name| !name.is_empty())
}

fn is_known(path: &str) -> bool {
    plugin_setting(path).is_some() || Setting::at(path).is_some()
}

fn is_list(path: &str) -> bool {
    Setting::at(path).is_some_and(|setting| setting.is_list)
}

fn kind(path: &str) -> &'static str {
    Setting::at(path).map_or("a text or a number", |setting| setting.kind)
}

fn unknown_key(key: String, origin: Origin) -> Error {
    let all = SETTINGS.iter().map(|setting| setting.path);
    let known = paths(all).chain([OVERRIDES.to_owned()]);
    Error::UnknownKey {
        nearest: nearest(&key, '.', known),
        key,
        origin,
    }
}

/// The paths of these settings and of their sections, as a section can be misspelt too.
fn paths(settings: impl Iterator<Item = &'static str>) -> impl Iterator<Item = String> {
    let paths = settings.flat_map(|path| {
        let sections = path.match_indices('.');
        let sections = sections.filter_map(|(at, _)| path.get(..at));
        sections.chain([path]).map(str::to_owned)
    });
    let own = OF_BUNDLED.iter().map(|setting| setting.path.to_owned());
    let paths = paths.chain([PLUGIN_SETTINGS.to_owned()]).chain(own);
    let paths: Vec<String> = paths.collect();
    paths.into_iter()
}
