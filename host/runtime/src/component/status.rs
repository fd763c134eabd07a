//! The answer of `/plugin`.

use std::fmt;

use larder_model::storage::Statistics;
use serde::{Serialize, Serializer};

use crate::sandbox::ContractVersion;

/// One tenant's plugin, as it is now.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// The name that the plugin gives itself.
    pub name: String,
    /// The version that the plugin gives itself.
    pub version: String,
    /// Where it was loaded from: a bundled plugin's name, or a path.
    pub source: String,
    /// XXH3-128 of the component's bytes, in hexadecimal.
    pub hash: String,
    /// Bytes of the component.
    pub size: u64,
    /// The interfaces that it imports.
    pub imports: Vec<String>,
    /// The interfaces that it exports.
    pub exports: Vec<String>,
    /// What it asks for besides its sandbox, by its imports, and what it is granted.
    pub grants: Vec<GrantStatus>,
    /// The version of the contract that the component was built for.
    pub contract: ContractVersion,
    /// Where its data lives.
    pub instancing: Instancing,
    /// Ready, restarting or stopped.
    pub state: State,
    /// Restarts since it was opened.
    pub restarts: u64,
    /// Linear memory of all its instances, in bytes.
    pub memory_used: u64,
    /// Memory limit of each instance, in bytes.
    pub memory_limit: u64,
    /// Writes that have not been answered yet.
    pub queue_depth: u64,
    /// Their bytes.
    pub queue_bytes: u64,
    /// The counters that the plugin reports.
    #[serde(serialize_with = "statistics")]
    pub statistics: Statistics,
}

/// One kind of grant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GrantStatus {
    /// As in `plugin.grants`: `http`, `tcp`, `env` or `clock`.
    pub kind: &'static str,
    /// True if the plugin imports what the grant is of. Many compilers import the environment and the clock for all that they compile.
    pub is_imported: bool,
    /// What is granted, by name and never with a secret.
    pub granted: Vec<String>,
}

/// Where a plugin's data lives (`lifecycle.instancing`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Instancing {
    /// In the one instance's memory.
    Exclusive,
    /// In kv: one writer, and readers beside it.
    Replicated,
}

impl fmt::Display for Instancing {
    /// As the contract names it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Exclusive => "exclusive",
            Self::Replicated => "replicated",
        })
    }
}

/// The state of a plugin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Calls are served.
    Ready,
    /// The writer or the readers failed, and their next start has to wait.
    Restarting {
        /// The failure.
        reason: String,
    },
    /// The server is shutting down.
    Stopped,
}

fn statistics<S: Serializer>(statistics: &Statistics, serializer: S) -> Result<S::Ok, S::Error> {
    use serde::ser::SerializeStruct;

    let mut fields = serializer.serialize_struct("Statistics", 7)?;
    fields.serialize_field("traces", &statistics.traces)?;
    fields.serialize_field("spans", &statistics.spans)?;
    fields.serialize_field("bytes", &statistics.bytes)?;
    fields.serialize_field("evicted_traces", &statistics.evicted_traces)?;
    fields.serialize_field("evicted_spans", &statistics.evicted_spans)?;
    fields.serialize_field("expired_traces", &statistics.expired_traces)?;
    fields.serialize_field("expired_spans", &statistics.expired_spans)?;
    fields.end()
}
