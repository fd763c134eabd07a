//! `POST /snapshot`.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use axum::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use larder_core::telemetry::Chain;
use larder_store::{self as kv, Made, SnapshotError, SnapshotName, SnapshotRequest};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::guard::CallerName;
use super::{AdminState, Backend, Opened};

const OFF: &str = "snapshots are off, as they take space: set `kv.snapshot_dir` to the folder below which they may be written\n";
const NAMELESS: &str = "the snapshot needs a name: POST /snapshot?to=NAME\n";

/// The query `?to=NAME`. Other parameters are refused.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SnapshotQuery {
    to: Option<String>,
}

/// A finished snapshot, as the answer has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SnapshotReport {
    /// The folder.
    pub(crate) path: PathBuf,
    /// The moment, in UTC.
    pub(crate) moment: String,
    /// Time that it took, in milliseconds.
    pub(crate) took_ms: u64,
    /// Files that are hard links to those of the store.
    pub(crate) linked: Files,
    /// Files that are copies.
    pub(crate) copied: Files,
    /// Files that the store lacks, and the snapshot as well.
    pub(crate) missing_files: u64,
}

/// A number of files and their bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Files {
    pub(crate) files: u64,
    pub(crate) bytes: u64,
}

/// Makes a snapshot, in a task of its own, so that a caller that goes away does not interrupt it. A stop of the server does.
pub(super) async fn snapshot(
    State(state): State<AdminState>,
    opened: Opened,
    Query(query): Query<SnapshotQuery>,
    CallerName(token): CallerName,
) -> Response {
    let Some(below) = (*state.snapshot_dir.get()).clone() else {
        return (StatusCode::FORBIDDEN, OFF).into_response();
    };
    let Some(to) = query.to else {
        return (StatusCode::BAD_REQUEST, NAMELESS).into_response();
    };
    let name: SnapshotName = match to.parse() {
        Ok(name) => name,
        Err(wrong) => return (StatusCode::BAD_REQUEST, format!("{wrong}\n")).into_response(),
    };
    let request = SnapshotRequest::new(below, name);
    let making = tokio::spawn(make(opened, state.stopping, request, token));
    match making.await {
        Ok(Ok(report)) => Json(report).into_response(),
        Ok(Err(error)) => (status_code(&error), format!("{error}\n")).into_response(),
        Err(error) => {
            let text = format!("the snapshot ended early: {error}\n");
            (StatusCode::INTERNAL_SERVER_ERROR, text).into_response()
        }
    }
}

async fn make(
    opened: Opened,
    stopping: CancellationToken,
    request: SnapshotRequest,
    token: String,
) -> Result<SnapshotReport, SnapshotError> {
    let (name, stop) = (request.name.clone(), Arc::clone(&request.stop));
    tracing::info!(token, %name, "a snapshot was asked for");
    let started = Instant::now();
    let mut making = Backend::snapshot(&*opened.backend, request);
    let made = tokio::select! {
        made = &mut making => made,
        () = stopping.cancelled() => {
            stop.store(true, Ordering::Relaxed);
            making.await
        }
    };
    let made = made.inspect_err(|error| {
        // A refusal is the caller's to mend, like those of calls.
        if status_code(error).is_client_error() {
            tracing::warn!(token, %name, reason = %error, "a snapshot was refused");
        } else {
            tracing::error!(token, %name, error = %Chain(error), "no snapshot was made");
        }
    })?;
    let report = SnapshotReport::new(made, started);
    tracing::info!(
        token,
        %name,
        took_ms = report.took_ms,
        linked_bytes = report.linked.bytes,
        copied_bytes = report.copied.bytes,
        "a snapshot was made"
    );
    Ok(report)
}

/// The admin column of the table "Errors on the wire" of `host/docs/architecture.md`.
fn status_code(error: &SnapshotError) -> StatusCode {
    let is_full = |error: &io::Error| {
        use io::ErrorKind::{QuotaExceeded, StorageFull};
        matches!(error.kind(), StorageFull | QuotaExceeded)
    };
    match error {
        SnapshotError::NothingOnDisk(_) => StatusCode::BAD_REQUEST,
        SnapshotError::InStore(_) => StatusCode::FORBIDDEN,
        SnapshotError::Exists(_) | SnapshotError::Busy(_) => StatusCode::CONFLICT,
        SnapshotError::NoRoom { .. } => StatusCode::TOO_MANY_REQUESTS,
        SnapshotError::Disk { error, .. } if is_full(error) => StatusCode::TOO_MANY_REQUESTS,
        SnapshotError::Stopped | SnapshotError::Store(kv::Error::Unavailable(_)) => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

// === impl SnapshotReport ===

impl SnapshotReport {
    fn new(made: Made, started: Instant) -> Self {
        let files = |amount: kv::Amount| Files {
            files: amount.files,
            bytes: amount.bytes,
        };
        Self {
            path: made.path,
            moment: humantime::format_rfc3339_millis(made.moment).to_string(),
            took_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
            linked: files(made.linked),
            copied: files(made.copied),
            missing_files: made.missing,
        }
    }
}
