//! `POST /purge`.

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use larder_core::telemetry::Chain;
use larder_model::storage::ErrorKind;

use super::guard::CallerName;
use super::tenant_list::{TenantQuery, error_response};
use super::{AdminState, Opened};

/// The answer of Jaeger's storage cleaner.
const DONE: &str = "Purge request processed successfully";
const OFF: &str =
    "purge is off, as it destroys data; start with --enable-purge, or set admin.purge: true\n";

pub(super) async fn purge(
    State(state): State<AdminState>,
    opened: Opened,
    Query(query): Query<TenantQuery>,
    caller: CallerName,
) -> Response {
    if !*state.purge.get() {
        return (StatusCode::FORBIDDEN, OFF).into_response();
    }
    let tenant = query.tenant.as_deref();
    match opened.backend.purge(tenant).await {
        Ok(()) => {
            tracing::warn!(
                token = caller.0,
                tenant.id = tenant.unwrap_or("(all)"),
                "purged: every trace, service and operation is forgotten"
            );
            DONE.into_response()
        }
        Err(error) => {
            tracing::error!(error = %Chain(&error), "purge failed");
            error_response(&error)
        }
    }
}

/// The admin column of the table "Errors on the wire" of `host/docs/architecture.md`.
pub(super) fn status_code(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::InvalidArgument
        | ErrorKind::InvalidFilter
        | ErrorKind::InvalidPagination
        | ErrorKind::UnsupportedPagination
        | ErrorKind::InvalidOrdering => StatusCode::BAD_REQUEST,
        ErrorKind::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::QueryBudget
        | ErrorKind::AnswerTooLarge
        | ErrorKind::ContractBroken
        | ErrorKind::Poison
        | ErrorKind::DataLoss
        | ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
