//! What a reload has done, for whoever asked for it.

use larder_runtime::tenants::Reloaded;
use serde::Serialize;

/// What `POST /reload` answers, as JSON; after SIGHUP the log has it.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Whether all is as the configuration says now.
    pub outcome: Outcome,
    /// The settings whose change is taken.
    pub taken: Vec<String>,
    /// What was read again: the settings that name the files.
    pub files: Vec<&'static str>,
    /// What is not taken while the server runs.
    pub needs_restart: Vec<NeedsRestart>,
    /// The plugin: its name, its version and the hash of its component.
    pub plugin: Plugin,
    /// Those whose plugin is open.
    pub tenants: Reloaded,
}

/// How a reload ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// There was something to take, and it is taken.
    Taken,
    /// There was nothing to take.
    Unchanged,
    /// Something needs a restart, or a tenant goes on with the plugin that it had.
    Partial,
    /// Something cannot be used, and nothing has changed.
    Refused,
}

/// A change that is not taken while the server runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NeedsRestart {
    /// The setting's path.
    pub setting: String,
    /// Why.
    pub reason: String,
}

/// The plugin before and after.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Plugin {
    /// Before.
    pub was: String,
    /// After; the same, where it was not replaced.
    pub is: String,
}

/// Why nothing has changed: the error's text, as a start would tell it.
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
