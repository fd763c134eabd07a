//! Errors of a plugin that cannot be used at all. A call that fails later returns a [`storage::Error`](larder_model::storage::Error).

use std::io;
use std::path::PathBuf;

use larder_store as kv;

use crate::sandbox::guest::Cause;
use crate::sandbox::refusal;

/// A plugin that cannot be started; each says what to change.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The sandbox itself cannot be set up on this machine.
    #[error("cannot set up the wasm runtime: {reason}")]
    Runtime {
        /// Its message.
        reason: String,
    },
    /// No bundled plugin has this name.
    #[error(
        "unknown plugin `{name}`: the bundled ones are {bundled}; a file must be given as a path, such as `./{name}.wasm`"
    )]
    Unknown {
        /// The name that was asked for.
        name: String,
        /// The names of the bundled plugins.
        bundled: String,
    },
    /// The file cannot be read.
    #[error("cannot read the plugin `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The bytes are no component that could be compiled.
    #[error("`{plugin}` is no wasm component: {reason}")]
    Load {
        /// The plugin's source.
        plugin: String,
        /// The fault, and its remedy.
        reason: String,
    },
    /// The component cannot be compiled within the bounds.
    #[error("`{plugin}` was not compiled: {reason}")]
    Compile {
        /// The plugin's source.
        plugin: String,
        /// The exceeded limit, and the remedy.
        reason: String,
    },
    /// A component, but not one of the world `larder:storage/plugin` in a version that the host has.
    #[error("`{plugin}` does not fit the world `larder:storage/plugin`: {reason}")]
    World {
        /// The plugin's source.
        plugin: String,
        /// The import or export that does not fit.
        reason: String,
    },
    /// The plugin failed while it was started.
    #[error("the plugin `{plugin}` failed while it was started: {cause}: {detail}")]
    Start {
        /// The plugin's source.
        plugin: String,
        /// A trap, or the limit that it ran into.
        cause: String,
        /// The same as metrics name it.
        error_type: &'static str,
        /// For the operator: where, and what the guest said last.
        detail: String,
    },
    /// It cannot take the place of what runs while the server does.
    #[error(
        "the plugin `{plugin}` is not replaced while the server runs: {reason}; restart the server to take the change"
    )]
    NeedsRestart {
        /// The plugin that runs.
        plugin: String,
        /// The data that would be lost.
        reason: String,
    },
    /// It was stopped before it could be replaced.
    #[error("the plugin `{plugin}` was stopped before it could be replaced; ask again")]
    Stopping {
        /// The plugin that ran.
        plugin: String,
    },
    /// The plugin's `open` raised an error, such as for a setting that it does not know.
    #[error("the plugin `{plugin}` refused to open: {reason}")]
    Refused {
        /// The plugin's name.
        plugin: String,
        /// Its message.
        reason: String,
    },
    /// The plugin did not come to the end of its `check`.
    #[error("the plugin `{plugin}` could not check what it has stored: {reason}")]
    Check {
        /// The plugin's name.
        plugin: String,
        /// The trap, the rule that it broke, or what it said.
        reason: String,
    },
    /// The plugin did not come to the end of its `repair`.
    #[error("the plugin `{plugin}` could not repair what it has stored: {reason}")]
    Repair {
        /// The plugin's name.
        plugin: String,
        /// The trap, the rule that it broke, or what it said.
        reason: String,
    },
    /// The kv driver failed.
    #[error("cannot open the storage of the plugin `{plugin}`")]
    Kv {
        /// The plugin's name.
        plugin: String,
        /// The driver's error.
        source: kv::Error,
    },
}

// === impl Error ===

impl Error {
    /// The text for clients. It has neither the guest's backtrace nor the last lines that it printed.
    pub fn brief(&self) -> String {
        match self {
            Self::Start { plugin, cause, .. } => {
                format!("the plugin `{plugin}` failed while it was started: {cause}")
            }
            Self::Runtime { .. }
            | Self::Unknown { .. }
            | Self::Read { .. }
            | Self::Load { .. }
            | Self::Compile { .. }
            | Self::World { .. }
            | Self::NeedsRestart { .. }
            | Self::Stopping { .. }
            | Self::Refused { .. }
            | Self::Check { .. }
            | Self::Repair { .. }
            | Self::Kv { .. } => self.to_string(),
        }
    }

    /// True if the plugin did not reach its store, so that the same may succeed later.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Kv { source, .. } => source.may_pass(),
            Self::Refused { reason, .. } => refusal::is_unavailable(reason),
            _ => false,
        }
    }

    /// The `error.type` label of metrics: one of a fixed set, never a guest's text.
    pub fn error_type(&self) -> &'static str {
        match self {
            Self::Start { error_type, .. } => error_type,
            Self::Refused { .. } => Cause::Open.as_str(),
            Self::Kv { .. } => Cause::Kv.as_str(),
            Self::Runtime { .. } => "runtime",
            Self::Unknown { .. } | Self::Read { .. } | Self::Load { .. } | Self::Compile { .. } => {
                "load"
            }
            Self::World { .. } => "world",
            Self::NeedsRestart { .. } | Self::Stopping { .. } => "stopping",
            Self::Check { .. } => "check",
            Self::Repair { .. } => "repair",
        }
    }
}
