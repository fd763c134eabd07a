//! `GET /tenants`, and the tenant parameter of other paths.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use larder_runtime::tenants::Error;
use serde::Deserialize;

use super::Opened;
use super::purge::status_code;

/// The query `?tenant=NAME`. Other parameters are refused.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TenantQuery {
    pub(super) tenant: Option<String>,
}

pub(super) async fn tenants(opened: Opened) -> Response {
    match opened.backend.tenants().await {
        Ok(tenants) => Json(tenants).into_response(),
        Err(error) => (status_code(error.kind()), format!("{error}\n")).into_response(),
    }
}

/// The admin column of the table "Errors on the wire" of `host/docs/architecture.md`.
pub(super) fn error_response(error: &Error) -> Response {
    let status = match error {
        Error::Missing => StatusCode::UNAUTHORIZED,
        Error::Unknown { .. } => StatusCode::FORBIDDEN,
        Error::Storage { source, .. } | Error::Search(source) => status_code(source.kind()),
    };
    (status, format!("{error}\n")).into_response()
}
