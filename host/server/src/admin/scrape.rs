//! `GET /metrics`.

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use larder_core::telemetry::only_tenants;
use larder_edge::access::Caller;

use super::AdminState;

const PLAIN: &str = "text/plain; version=0.0.4; charset=utf-8";
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Series of one tenant are left out if the caller's token is not for that tenant, as they tell its name.
pub(super) async fn metrics(
    State(state): State<AdminState>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
) -> Response {
    if let Ok(opened) = state.opening.opened() {
        opened.backend.measure(&state.metrics).await;
    }
    if let Some(graphs) = &state.graphs {
        graphs.measure(&state.metrics);
    }
    let jump = state.clock.jump().map_or(0, |jump| jump.by.as_secs());
    state.metrics.clock_jump(jump);
    for tls in &state.certificates {
        let end = tls.certificate_end();
        state.metrics.certificate_end(end.setting, end.seconds);
    }
    let (kind, text) = if wants_open_metrics(&headers) {
        (OPEN_METRICS, state.metrics.encode())
    } else {
        (PLAIN, state.metrics.encode_plain())
    };
    let text = only_tenants(&text, |tenant| caller.is_for(tenant));
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

/// True if the client accepts `OpenMetrics`, as Prometheus does. Others get the older format.
fn wants_open_metrics(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|accepted| accepted.to_str().ok())
        .any(|accepted| accepted.contains("application/openmetrics-text"))
}
