//! `POST /explain`.

use axum::Json;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::AdminState;
use super::tenants::{Whose, refusal};

mod question;

use question::Question;

/// The plan and its cost: as text, or as JSON where the `Accept` header asks for it.
pub(super) async fn explain(
    State(state): State<AdminState>,
    Query(whose): Query<Whose>,
    headers: HeaderMap,
    body: String,
) -> Response {
    let query = match Question::read(&body) {
        Ok(query) => query,
        Err(wrong) => return (StatusCode::BAD_REQUEST, format!("{wrong}\n")).into_response(),
    };
    let wants_json = headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains("application/json"));
    match state.searcher.explain(whose.tenant.as_deref(), query).await {
        Ok(explanation) if wants_json => Json(explanation).into_response(),
        Ok(explanation) => explanation.to_string().into_response(),
        Err(error) => refusal(&error),
    }
}
