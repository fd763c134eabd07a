//! `GET /cluster`.

use std::collections::BTreeSet;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use larder_runtime::tenants::StoreStatus;
use larder_store::{self as kv, HostStatus, Reach, WriterStatus};
use serde::Serialize;

use super::Opened;

/// The store behind `kv` and the hosts that share it, as the answer has it.
#[derive(Debug, Serialize)]
struct ClusterReport {
    /// `kv.driver`.
    driver: &'static str,
    /// True if several hosts may use the store.
    shared: bool,
    reach: ReachReport,
    /// By writer id.
    hosts: Vec<HostReport>,
    /// By writer id.
    writers: Vec<WriterReport>,
    /// Why there are no hosts.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    /// Why the hosts, or the writers, are not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// Null for calls that reach the store, else the reason why they do not.
#[derive(Debug, Serialize)]
struct ReachReport {
    writes: Option<String>,
    reads: Option<String>,
}

#[derive(Debug, Serialize)]
struct HostReport {
    writer: String,
    address: String,
    version: String,
    silent_seconds: f64,
    is_this: bool,
}

#[derive(Debug, Serialize)]
struct WriterReport {
    writer: String,
    tenants: u64,
    bytes: u64,
    kept_up_by: BTreeSet<String>,
}

/// The answer is 503 if the store does not tell its hosts, or what they have stored, and has all else.
pub(super) async fn cluster(opened: Opened) -> Response {
    let report = ClusterReport::from(opened.backend.store().await);
    let status = if report.error.is_some() {
        StatusCode::SERVICE_UNAVAILABLE
    } else {
        StatusCode::OK
    };
    (status, Json(report)).into_response()
}

/// The calls that do not reach the store, a line for each kind; `None` if all do.
pub(super) fn unreached(reach: &Reach) -> Option<String> {
    let line = |calls, reason: &Option<String>| {
        let reason = reason.as_ref()?;
        Some(format!("{calls} do not reach the store: {reason}"))
    };
    let lines = [line("writes", &reach.writes), line("reads", &reach.reads)];
    let lines: Vec<String> = lines.into_iter().flatten().collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

// === impl ClusterReport ===

impl From<StoreStatus> for ClusterReport {
    fn from(status: StoreStatus) -> Self {
        let StoreStatus {
            driver,
            is_shared,
            reach,
            hosts,
            writers,
        } = status;
        let note = (!is_shared).then(|| {
            format!(
                "`kv.driver` is `{driver}`, whose store has one process: there are no other hosts"
            )
        });
        let error = hosts.as_ref().err().or(writers.as_ref().err());
        let error = error.map(kv::Error::to_string);
        Self {
            driver,
            shared: is_shared,
            reach: ReachReport {
                writes: reach.writes,
                reads: reach.reads,
            },
            hosts: hosts.into_iter().flatten().map(HostReport::from).collect(),
            writers: writers
                .into_iter()
                .flatten()
                .map(WriterReport::from)
                .collect(),
            note,
            error,
        }
    }
}

// === impl HostReport ===

impl From<HostStatus> for HostReport {
    fn from(host: HostStatus) -> Self {
        Self {
            writer: host.writer,
            address: host.address,
            version: host.version,
            silent_seconds: host.silent.as_secs_f64(),
            is_this: host.is_this,
        }
    }
}

// === impl WriterReport ===

impl From<WriterStatus> for WriterReport {
    fn from(status: WriterStatus) -> Self {
        Self {
            writer: status.writer,
            tenants: status.tenants,
            bytes: status.bytes,
            kept_up_by: status.kept_up_by,
        }
    }
}
