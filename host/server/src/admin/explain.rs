//! `POST /explain`.

use axum::Json;
use axum::extract::Query;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::Opened;
use super::tenant_list::{TenantQuery, error_response};

mod object;
mod request;

use request::ExplainRequest;

/// Answers with the plan and its cost: as text, or as JSON if the `Accept` header asks for it.
pub(super) async fn explain(
    opened: Opened,
    Query(tenant): Query<TenantQuery>,
    headers: HeaderMap,
    body: String,
) -> Response {
    let search = match ExplainRequest::read(&body) {
        Ok(search) => search,
        Err(error) => return (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response(),
    };
    let wants_json = headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains("application/json"));
    match opened
        .explainer
        .explain(tenant.tenant.as_deref(), search)
        .await
    {
        Ok(explanation) if wants_json => Json(explanation).into_response(),
        Ok(explanation) => explanation.to_string().into_response(),
        Err(error) => error_response(&error),
    }
}
