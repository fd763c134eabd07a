//! What is wrong with a configuration: where it stands, which setting it is, what to do.

use std::fmt;
use std::path::PathBuf;

/// Where a value was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
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

impl fmt::Display for Place {
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

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read the configuration file {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not YAML, or not the YAML of a configuration.
    #[error("{place}: {message}")]
    Syntax {
        /// Where.
        place: Place,
        /// What is wrong there.
        message: String,
    },
    /// No setting has this path.
    #[error("unknown config key `{key}` ({place}){}", did_you_mean(.nearest.as_deref()))]
    UnknownKey {
        /// The whole path.
        key: String,
        /// Where it stands.
        place: Place,
        /// The known path that is most like it, where one is.
        nearest: Option<String>,
    },
    /// A variable of our prefix that sets nothing.
    #[error("unknown environment variable {variable}{}", did_you_mean(.nearest.as_deref()))]
    UnknownVariable {
        /// Its name.
        variable: String,
        /// The known variable that is most like it, where one is.
        nearest: Option<String>,
    },
    /// A value that cannot be.
    #[error("invalid config `{setting}`: {message}{}", .place.as_ref().map(|place| format!(" ({place})")).unwrap_or_default())]
    Invalid {
        /// The setting's path.
        setting: String,
        /// What is wrong with its value.
        message: String,
        /// Where it was given; none for a default.
        place: Option<Place>,
    },
}

fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |name| format!(", did you mean `{name}`?"))
}

/// The candidate that is most like `name`: few letters apart, or at home in another section (`memory` for `limits.memory`).
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
