//! Reads settings from environment variables.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use super::error::{Error, Origin, nearest};
use super::overrides::OVERRIDES;
use super::settings::{OF_BUNDLED, PLUGIN_SETTINGS, SETTINGS, Setting, variable};

/// The variable with the path of the configuration file.
const FILE: &str = "LARDER_CONFIG";
/// The variable with the log filter. `telemetry` reads it, as logging starts before the configuration is loaded.
const LOG: &str = "LARDER_LOG";

/// The settings of the environment.
#[derive(Default)]
pub(super) struct Environment {
    pub(super) file: Option<PathBuf>,
    pub(super) variables: Vec<Variable>,
    /// Variables that name no setting, each as [`Error::UnknownVariable`] or [`Error::OverridesVariable`].
    pub(super) unknown: Vec<Error>,
}

/// A setting given by a variable.
pub(super) struct Variable {
    pub(super) name: String,
    pub(super) path: String,
    pub(super) value: String,
}

/// Reads every variable with the prefix `LARDER_`. One that names no setting is no error: images, shells and orchestrators set such
/// variables for reasons of their own.
pub(super) fn read(variables: &[(OsString, OsString)]) -> Result<Environment, Error> {
    let mut environment = Environment::default();
    for (name, value) in variables {
        let Some(name) = name.to_str().filter(|name| name.starts_with("LARDER_")) else {
            continue;
        };
        if name == LOG || is_service_link(name, value) {
            continue;
        }
        if name == FILE {
            environment.file =
                Some(PathBuf::from(value)).filter(|path| !path.as_os_str().is_empty());
            continue;
        }
        let Some(path) = path_of(name) else {
            environment.unknown.push(unknown(name));
            continue;
        };
        let value = value.to_str().ok_or_else(|| Error::Invalid {
            setting: path.clone(),
            message: "expected UTF-8".to_owned(),
            origin: Some(Origin::Environment(name.to_owned())),
        })?;
        environment.variables.push(Variable {
            name: name.to_owned(),
            path,
            value: value.to_owned(),
        });
    }
    Ok(environment)
}

/// The path of a variable's setting. The names of a plugin's own settings become lower case.
fn path_of(name: &str) -> Option<String> {
    if let Some(setting) = SETTINGS.iter().find(|setting| setting.variable() == name) {
        return Some(setting.path.to_owned());
    }
    let own = name
        .strip_prefix(&variable(PLUGIN_SETTINGS))?
        .strip_prefix('_')
        .filter(|own| !own.is_empty())?;
    Some(format!("{PLUGIN_SETTINGS}.{}", own.to_lowercase()))
}

/// True for a variable that Kubernetes sets in every container for a service of the namespace. With a service named `larder` or
/// `larder-grpc` such variables have our prefix.
fn is_service_link(name: &str, value: &OsStr) -> bool {
    let address = value
        .to_str()
        .and_then(|value| value.split_once("://"))
        .is_some_and(|(scheme, _)| matches!(scheme, "tcp" | "udp" | "sctp"));
    let of_a_port = name.split("_PORT_").skip(1).any(|rest| {
        rest.split_once('_').is_some_and(|(number, rest)| {
            number.parse::<u16>().is_ok()
                && ["TCP", "UDP", "SCTP"]
                    .iter()
                    .any(|kind| rest.starts_with(kind))
        })
    });
    name.ends_with("_SERVICE_HOST")
        || name.ends_with("_SERVICE_PORT")
        || name.contains("_SERVICE_PORT_")
        || of_a_port
        || (name.ends_with("_PORT") && address)
}

fn unknown(name: &str) -> Error {
    let below = name.strip_prefix(&variable(OVERRIDES));
    if below.is_some_and(|below| below.is_empty() || below.starts_with('_')) {
        return Error::OverridesVariable {
            variable: name.to_owned(),
        };
    }
    let known = SETTINGS.iter().map(Setting::variable);
    let own = OF_BUNDLED.iter().map(|setting| variable(setting.path));
    let known = known.chain(own).chain([FILE.to_owned(), LOG.to_owned()]);
    // For `LARDER_MEMORY` suggest a variable that ends in `_MEMORY`.
    let nearest = nearest(name, '_', known.clone()).or_else(|| {
        let rest = name.strip_prefix("LARDER")?;
        known.into_iter().find(|known| known.ends_with(rest))
    });
    Error::UnknownVariable {
        variable: name.to_owned(),
        nearest,
    }
}
