//! `POST /explain`.

use std::fmt::Display;

use axum::Json;
use axum::extract::Query;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use larder_runtime::tenants;
use serde::Serialize;

use super::Opened;
use super::tenant_list::{TenantQuery, error_response};

mod object;
mod request;

use request::{Asked, ExplainRequest};

/// Answers with the plan, or the sources, and the cost: as text, or as JSON if the `Accept` header asks for it.
pub(super) async fn explain(
    opened: Opened,
    Query(tenant): Query<TenantQuery>,
    headers: HeaderMap,
    body: String,
) -> Response {
    let asked = match ExplainRequest::read(&body) {
        Ok(asked) => asked,
        Err(error) => return (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response(),
    };
    let wants_json = headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains("application/json"));
    let (explainer, tenant) = (&opened.explainer, tenant.tenant.as_deref());
    match asked {
        Asked::Search(search) => answer(explainer.explain(tenant, *search).await, wants_json),
        Asked::Dependencies(request) => {
            let explained = explainer.explain_dependencies(tenant, request).await;
            answer(explained, wants_json)
        }
    }
}

fn answer<T: Display + Serialize>(
    explained: Result<T, tenants::Error>,
    wants_json: bool,
) -> Response {
    match explained {
        Ok(explanation) if wants_json => Json(explanation).into_response(),
        Ok(explanation) => explanation.to_string().into_response(),
        Err(error) => error_response(&error),
    }
}
