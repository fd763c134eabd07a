//! `POST /reload`.

use axum::Json;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};

use super::Opened;
use super::guard::CallerName;
use crate::reload::{Outcome, Refused, Report};

/// Reloads the configuration.
#[async_trait::async_trait]
pub trait Reloads: Send + Sync + 'static {
    /// Reads everything again and applies what a running server can. `by` names the caller in the log.
    ///
    /// # Errors
    /// A configuration, file or plugin that cannot be used. Nothing has changed then.
    async fn reload(&self, by: &str) -> Result<Report, Refused>;
}

pub(super) async fn reload(opened: Opened, uri: Uri, CallerName(token): CallerName) -> Response {
    if let Some(query) = uri.query() {
        let text = format!("/reload is about the whole server: call it without `?{query}`\n");
        return (StatusCode::BAD_REQUEST, text).into_response();
    }
    let by = format!("POST /reload, token {token}");
    match opened.reloader.reload(&by).await {
        Ok(report) => {
            let status = match report.outcome {
                Outcome::Partial if !report.tenants.failed.is_empty() => StatusCode::CONFLICT,
                Outcome::Taken | Outcome::Unchanged | Outcome::Partial | Outcome::Refused => {
                    StatusCode::OK
                }
            };
            (status, Json(report)).into_response()
        }
        Err(refused) => {
            let text = format!("nothing has changed: {refused}\n");
            (StatusCode::UNPROCESSABLE_ENTITY, text).into_response()
        }
    }
}
