//! What the routes need of a server that has started.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;

use super::{AdminState, Backend, Explains, Reloads};

/// What a start opens. A handler that takes it answers 503 while the server is starting.
#[derive(Clone)]
pub struct Opened {
    /// For `/readyz`, `/plugin`, `/cluster`, `/tenants` and `/purge`.
    pub backend: Arc<dyn Backend>,
    /// For `/explain` and `/attributes`.
    pub explainer: Arc<dyn Explains>,
    /// For `/reload`.
    pub reloader: Arc<dyn Reloads>,
}

impl FromRequestParts<AdminState> for Opened {
    type Rejection = (StatusCode, String);

    async fn from_request_parts(
        _: &mut Parts,
        state: &AdminState,
    ) -> Result<Self, (StatusCode, String)> {
        let opened = state.opening.opened().cloned();
        opened.map_err(|not_open| (StatusCode::SERVICE_UNAVAILABLE, format!("{not_open}\n")))
    }
}
