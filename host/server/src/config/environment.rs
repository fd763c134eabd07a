//! The variables `LARDER_…` as settings.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use super::error::{Error, Place, nearest};
use super::settings::{PLUGIN_SETTINGS, SETTINGS, Setting, variable};

/// Names the configuration file.
const FILE: &str = "LARDER_CONFIG";
/// The log filter; `telemetry` reads it, as logs come before the configuration.
const LOG: &str = "LARDER_LOG";

/// What the environment gives.
#[derive(Default)]
pub(super) struct Environment {
    pub(super) file: Option<PathBuf>,
    pub(super) given: Vec<Given>,
}

/// A setting that a variable gives.
pub(super) struct Given {
    pub(super) variable: String,
    pub(super) path: String,
    pub(super) value: String,
}

/// Reads every variable that begins with `LARDER_`; one that is none of ours is refused.
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
        let path = path_of(name).ok_or_else(|| unknown(name))?;
        let value = value.to_str().ok_or_else(|| Error::Invalid {
            setting: path.clone(),
            message: "expected UTF-8".to_owned(),
            place: Some(Place::Environment(name.to_owned())),
        })?;
        environment.given.push(Given {
            variable: name.to_owned(),
            path,
            value: value.to_owned(),
        });
    }
    Ok(environment)
}

/// The path of a variable's setting. A plugin's own settings are named in lower case, as variables have no other way.
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

/// Kubernetes gives every container variables for each service of its namespace. A service named `larder`, or `larder-grpc`,
/// must not keep the server from starting.
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
    let known = SETTINGS.iter().map(Setting::variable);
    let known = known.chain([FILE.to_owned(), LOG.to_owned()]);
    // `LARDER_MEMORY` is looked for as `..._MEMORY`.
    let nearest = nearest(name, '_', known.clone()).or_else(|| {
        let rest = name.strip_prefix("LARDER")?;
        known.into_iter().find(|known| known.ends_with(rest))
    });
    Error::UnknownVariable {
        variable: name.to_owned(),
        nearest,
    }
}
