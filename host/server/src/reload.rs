//! The result of a reload.

use larder_runtime::tenants::Reloaded;
use serde::Serialize;

/// The result of a reload: the JSON answer of `POST /reload`, and a line of the log.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The result in one word.
    pub outcome: Outcome,
    /// The changed settings that the server has applied.
    pub taken: Vec<String>,
    /// The settings whose files were read again.
    pub files: Vec<&'static str>,
    /// The changed settings that need a restart.
    pub needs_restart: Vec<NeedsRestart>,
    /// The plugin before and after.
    pub plugin: PluginChange,
    /// The tenants with an open plugin, by result.
    pub tenants: Reloaded,
}

/// The result of a reload in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Every change is applied.
    Taken,
    /// Nothing has changed.
    Unchanged,
    /// A change needs a restart, or a tenant keeps its old plugin.
    Partial,
    /// The new configuration cannot be used; the old one stays.
    Refused,
}

/// A changed setting that needs a restart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NeedsRestart {
    /// The setting's path.
    pub setting: String,
    /// The reason.
    pub reason: String,
}

/// The plugin before and after a reload, each as name, version and hash of the component.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PluginChange {
    /// Before.
    pub was: String,
    /// After; the same if it was not replaced.
    pub is: String,
}

/// The text of the error that kept a reload from changing anything; a start would print the same.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub String);

// === impl Outcome ===

impl Outcome {
    /// The `outcome` label of metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::Unchanged => "unchanged",
            Self::Partial => "partial",
            Self::Refused => "refused",
        }
    }
}
