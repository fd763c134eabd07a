//! Errors of a configuration. Each names the setting, its origin and what to change.

use std::fmt;
use std::path::PathBuf;

/// The origin of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// In the configuration file.
    File {
        /// The file.
        path: PathBuf,
        /// Line and column, both from 1; none for the file as a whole.
        position: Option<(u64, u64)>,
    },
    /// In the environment, by this variable.
    Environment(String),
    /// On the command line, by this flag.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File {
                path,
                position: Some((line, column)),
            } => write!(f, "{}:{line}:{column}", path.display()),
            Self::File {
                path,
                position: None,
            } => write!(f, "{}", path.display()),
            Self::Environment(variable) => write!(f, "environment variable {variable}"),
            Self::Flag(flag) => write!(f, "flag {flag}"),
        }
    }
}

/// An invalid configuration.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read the configuration file {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The file is not YAML, or not the YAML of a configuration.
    #[error("{origin}: {message}")]
    Syntax {
        /// The position of the error.
        origin: Origin,
        /// The error at that position.
        message: String,
    },
    /// No setting has this path.
    #[error("unknown config key `{key}` ({origin}){}", did_you_mean(.nearest.as_deref()))]
    UnknownKey {
        /// The whole path.
        key: String,
        /// The position of the key.
        origin: Origin,
        /// The most similar known path, if one is similar.
        nearest: Option<String>,
    },
    /// A variable with the prefix `LARDER_` that is not one of ours: a warning, or an error with `strict_environment`.
    #[error("unknown environment variable {variable}{}", did_you_mean(.nearest.as_deref()))]
    UnknownVariable {
        /// Its name.
        variable: String,
        /// The most similar known variable, if one is similar.
        nearest: Option<String>,
    },
    /// A variable below [`OVERRIDES`](super::OVERRIDES), which no variable can set: a warning or an error, as an unknown one.
    #[error(
        "environment variable {variable}: overrides can only be set in the file, as `{}.TENANT.SETTING`",
        super::OVERRIDES
    )]
    OverridesVariable {
        /// Its name.
        variable: String,
    },
    /// An invalid value.
    #[error("invalid config `{setting}`: {message}{}", .origin.as_ref().map(|origin| format!(" ({origin})")).unwrap_or_default())]
    Invalid {
        /// The setting's path.
        setting: String,
        /// The error in its value.
        message: String,
        /// The origin of the value; none for a default.
        origin: Option<Origin>,
    },
}

fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |name| format!(", did you mean `{name}`?"))
}

/// The candidate most similar to `name`: few letters apart, or with the same last part (`limits.memory` for `memory`).
pub(super) fn nearest(
    name: &str,
    separator: char,
    candidates: impl IntoIterator<Item = String>,
) -> Option<String> {
    let candidates: Vec<String> = candidates.into_iter().collect();
    let (distance, closest) = candidates
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        .min_by_key(|(distance, _)| *distance)?;
    if distance <= 2.max(name.len() / 5) {
        return Some(closest.clone());
    }
    let last = name.rsplit(separator).next()?;
    let elsewhere = |candidate: &&String| {
        candidate
            .strip_suffix(last)
            .is_some_and(|rest| rest.ends_with(separator))
    };
    candidates.iter().find(elsewhere).cloned()
}
