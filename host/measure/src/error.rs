//! Why a plugin is not measured.

use std::fmt;

use larder_runtime::plugin;

use crate::answer::Found;

/// A plugin that is not measured; each says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It cannot be loaded.
    #[error(transparent)]
    Load(plugin::Error),
    /// A call failed, or its answer breaks the contract.
    #[error(
        "`{plugin}` cannot be measured; `larder plugin test` says what it has to do, and shows the calls: {what}"
    )]
    Call {
        /// The name that the plugin gives itself.
        plugin: String,
        /// The call or the search, and what came of it.
        what: String,
    },
    /// It answers another than the bundled plugin of the same spans.
    #[error(
        "`{plugin}` answers the search \"{search}\" wrongly: it finds {found}, and `{beside}` finds {expected} in the same spans; run `larder plugin test`, which shows the calls that are wrong"
    )]
    Answer {
        /// The name that the plugin gives itself.
        plugin: String,
        /// The plugin beside it.
        beside: String,
        /// The search.
        search: String,
        /// What it found.
        found: Found,
        /// What had to be found.
        expected: Found,
    },
    /// It finds as much as the bundled plugin of the same spans, and something else.
    #[error(
        "`{plugin}` answers the search \"{search}\" wrongly: it finds {found}, as many as `{beside}`, but not the same ones; run `larder plugin test`, which shows the calls that are wrong"
    )]
    Content {
        /// The name that the plugin gives itself.
        plugin: String,
        /// The plugin beside it.
        beside: String,
        /// The search.
        search: String,
        /// How much both have found.
        found: Found,
    },
    /// It refused the first Export.
    #[error(
        "`{plugin}` has stored nothing: it refused the first Export of {spans} spans: {reason}"
    )]
    Empty {
        /// The name that the plugin gives itself.
        plugin: String,
        /// The spans of the Export.
        spans: u64,
        /// The plugin's text.
        reason: String,
    },
    /// This machine, or the host.
    #[error("cannot measure: {what}: {reason}")]
    Setup {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        reason: String,
    },
}

// === impl Error ===

impl Error {
    pub(crate) fn setup(what: &'static str, reason: &dyn fmt::Display) -> Self {
        Self::Setup {
            what,
            reason: reason.to_string(),
        }
    }
}
