//! The sources, one after the other: defaults, file, environment, flags.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::error::{Error, Place, nearest};
use super::file::{self, Raw};
use super::settings::{self, PLUGIN_SETTINGS, SETTINGS, Setting};
use super::{Config, environment};

/// What the process was started with.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The YAML file; without one, the variable `LARDER_CONFIG` may name it.
    pub file: Option<PathBuf>,
    /// The environment, as `std::env::vars_os` gives it; what does not begin with `LARDER_` is not looked at.
    pub environment: Vec<(OsString, OsString)>,
    /// Settings given by flags; a later one wins.
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
    /// The configuration of all sources, each setting from the last that gives it.
    ///
    /// Raises the first mistake met: an unreadable file, an unknown name, a value that cannot be.
    pub fn load(sources: &Sources) -> Result<Self, Error> {
        let mut loader = Loader::default();
        let environment = environment::read(&sources.environment)?;
        let file = sources.file.as_deref().or(environment.file.as_deref());
        if let Some(path) = file {
            loader.file(path)?;
        }
        for given in environment.given {
            let place = Place::Environment(given.variable);
            loader.set(&given.path, &given.value, place)?;
        }
        for flag in &sources.flags {
            loader.set(&flag.path, &flag.value, Place::Flag(flag.name))?;
        }
        loader.finish()
    }

    /// The configuration as a YAML file that gives the same again.
    pub fn to_yaml(&self) -> Result<String, serde_saphyr::SerializeError> {
        serde_saphyr::to_string(self)
    }
}

/// The configuration so far, and where each setting was given.
#[derive(Default)]
struct Loader {
    config: Config,
    places: BTreeMap<String, Place>,
}

impl Loader {
    fn file(&mut self, path: &Path) -> Result<(), Error> {
        let yaml = std::fs::read_to_string(path).map_err(|source| Error::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        for given in file::settings(path, &yaml)? {
            let message = match (given.raw, settings::is_section(&given.path)) {
                (_, false) if !is_known(&given.path) => {
                    return Err(unknown_key(given.path, given.key));
                }
                (Raw::Text(text), false) => {
                    self.set(&given.path, &text, given.value)?;
                    continue;
                }
                // An element with a comma would become two.
                (Raw::List(texts), false)
                    if is_list(&given.path) && !texts.iter().any(|text| text.contains(',')) =>
                {
                    self.set(&given.path, &texts.join(","), given.value)?;
                    continue;
                }
                (Raw::List(texts), false) if is_list(&given.path) => {
                    format!("expected {}, got {texts:?}", kind(&given.path))
                }
                (Raw::List(_), false) => format!("expected {}, got a list", kind(&given.path)),
                (Raw::List(_), true) => "expected a mapping of settings, got a list".to_owned(),
                (Raw::Null, false) => {
                    self.unset(&given.path, given.value)?;
                    continue;
                }
                (Raw::Other(what), false) => format!("expected {}, got {what}", kind(&given.path)),
                (Raw::Text(text), true) => format!("expected a mapping of settings, got `{text}`"),
                (Raw::Null, true) => "expected a mapping of settings, got nothing".to_owned(),
                (Raw::Other(what), true) => format!("expected a mapping of settings, got {what}"),
            };
            return Err(Error::Invalid {
                setting: given.path,
                message,
                place: Some(given.value),
            });
        }
        Ok(())
    }

    fn set(&mut self, path: &str, text: &str, place: Place) -> Result<(), Error> {
        if let Some(name) = plugin_setting(path) {
            let settings = &mut self.config.plugin.settings;
            settings.insert(name.to_owned(), text.to_owned());
        } else if let Some(setting) = Setting::at(path) {
            if let Err(message) = setting.read(text, &mut self.config) {
                return Err(Error::Invalid {
                    setting: path.to_owned(),
                    message,
                    place: Some(place),
                });
            }
        } else {
            return Err(unknown_key(path.to_owned(), place));
        }
        self.places.insert(path.to_owned(), place);
        Ok(())
    }

    /// A null: the default again, which is "unset" where a setting has no other.
    fn unset(&mut self, path: &str, place: Place) -> Result<(), Error> {
        if let Some(name) = plugin_setting(path) {
            self.config.plugin.settings.remove(name);
            return Ok(());
        }
        let default = Setting::at(path).and_then(|setting| setting.show(&Config::default()));
        self.set(path, default.as_deref().unwrap_or_default(), place)
    }

    fn finish(mut self) -> Result<Config, Error> {
        if let Some((path, message)) = settings::contradiction(&self.config) {
            return Err(Error::Invalid {
                setting: path.to_owned(),
                message,
                place: self.places.remove(path),
            });
        }
        Ok(self.config)
    }
}

/// The name of a plugin's own setting, if that is what a path leads to.
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

fn unknown_key(key: String, place: Place) -> Error {
    // A section may be misspelt as well as a setting.
    let known = SETTINGS.iter().flat_map(|setting| {
        let sections = setting.path.match_indices('.');
        let sections = sections.filter_map(|(at, _)| setting.path.get(..at));
        sections.chain([setting.path])
    });
    let known = known.chain([PLUGIN_SETTINGS]).map(str::to_owned);
    Error::UnknownKey {
        nearest: nearest(&key, '.', known),
        key,
        place,
    }
}
