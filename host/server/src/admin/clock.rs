//! `POST /clock`.

use axum::extract::State;

use super::guard::CallerName;
use super::{AdminState, Opened};

/// Has retention believe the system's clock at once.
pub(super) async fn confirm(
    State(state): State<AdminState>,
    _: Opened,
    CallerName(token): CallerName,
) -> String {
    match state.clock.confirm() {
        Some(jump) => {
            tracing::warn!(token, by = ?jump.by, "an operator has confirmed the system's clock: retention goes by it");
            format!(
                "the system's clock is believed, {} s {} the time believed before\n",
                jump.by.as_secs(),
                if jump.is_ahead { "ahead of" } else { "behind" }
            )
        }
        None => "the system's clock was believed already\n".to_owned(),
    }
}
