//! HTTP for operators: health, metrics, the plugin, and `POST /purge`.
//!
//! | path | answer |
//! |---|---|
//! | `GET /livez` | 200 while the process runs |
//! | `GET /readyz` | 200 while calls are served, 503 and the reason otherwise; a stop turns it first |
//! | `GET /metrics` | Prometheus text, or `OpenMetrics` where the `Accept` header asks for it |
//! | `GET /plugin` | JSON: what [`plugin::Status`] says, of the default tenant |
//! | `GET /tenants` | JSON: every tenant that is known, as [`TenantStatus`] |
//! | `POST /explain?tenant=NAME` | how a search is answered: its plan, and what each step took; the body is the query, as JSON |
//! | `POST /purge` | forgets every trace, service and operation; off unless the configuration turns it on |
//! | `POST /purge?tenant=NAME` | the same, of one tenant; its name is forgotten too, unless the configuration has it |
//! | `POST /reload` | reads the configuration, the plugin, tokens and certificates again; JSON: what [`Report`](crate::reload::Report) says |
//!
//! With `access.tokens` set, `/livez` and `/readyz` stay open, and all else needs a token with the right `admin`.
//!
//! Architecture invariant: this knows HTTP, and of what stores and searches only the traits [`Plugin`] and [`Explains`].

mod explain;
mod guard;
mod purge;
mod reload;
mod scrape;
mod serve;
mod tenants;

use std::sync::Arc;
use std::time::Duration;

use axum::http::{StatusCode, Uri};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router, extract::State};
use larder_core::Live;
use larder_core::telemetry::Metrics;
use larder_edge::access::Access;
use larder_model::storage;
use larder_proto::storage::v2::TraceQueryParameters;
use larder_runtime::plugin;
use larder_runtime::tenants::{self, TenantStatus, Tenants};
use larder_search::{self as search, Explanation, Searcher};
use tokio_util::sync::CancellationToken;

pub use serve::serve;

/// What there is, for whoever asks for something else.
const PATHS: &str = "GET /livez\nGET /readyz\nGET /metrics\nGET /plugin\nGET /tenants\nPOST /explain\nPOST /purge\nPOST /reload\n";

pub use reload::Reloads;

/// What the operator is told about, and may purge.
#[async_trait::async_trait]
pub trait Plugin: Send + Sync + 'static {
    /// How it is now: the default tenant's, or what it is apart from any.
    fn status(&self) -> plugin::Status;

    /// Whether the server can take calls. Cheap: asked at every probe.
    fn state(&self) -> plugin::State;

    /// Tells what all tenants come to at this moment. Asked at every scrape.
    fn measure(&self, metrics: &Metrics);

    /// Every tenant that is known, by name.
    async fn tenants(&self) -> Result<Vec<TenantStatus>, storage::Error>;

    /// Forgets everything, of one tenant or of all; a write that is acknowledged after this returns is kept.
    async fn purge(&self, tenant: Option<&str>) -> Result<(), tenants::Error>;
}

/// What runs a search and tells how.
#[async_trait::async_trait]
pub trait Explains: Send + Sync + 'static {
    /// As [`Searcher::explain`](larder_search::Searcher::explain), of one tenant or of the default one.
    async fn explain(
        &self,
        tenant: Option<&str>,
        query: TraceQueryParameters,
    ) -> Result<Explanation, tenants::Error>;
}

/// Runs a search over a tenant's storage.
pub struct Explainer {
    /// Whose storage there is.
    pub tenants: Arc<Tenants>,
    /// What a query may cost.
    pub limits: Live<search::Limits>,
    /// Where its cost is counted.
    pub metrics: Arc<Metrics>,
}

/// What the routes look at.
#[derive(Clone)]
pub struct AdminState {
    /// What `/metrics` tells.
    pub metrics: Arc<Metrics>,
    /// What `/plugin` and `/readyz` tell, and what `/purge` empties.
    pub plugin: Arc<dyn Plugin>,
    /// What `/explain` runs.
    pub searcher: Arc<dyn Explains>,
    /// What `/reload` asks.
    pub reloader: Arc<dyn Reloads>,
    /// Cancelled when the server begins to stop: readiness goes first.
    pub stopping: CancellationToken,
    /// Whether `POST /purge` is allowed (`admin.purge`).
    pub purge: Live<bool>,
    /// Whether there is more than one tenant (`tenancy.enabled`).
    pub tenancy: bool,
    /// Who may call.
    pub access: Arc<Access>,
    /// How long a client may take to send a request (`limits.request_timeout`).
    pub request_timeout: Live<Duration>,
}

/// The routes.
pub fn router(state: AdminState) -> Router {
    let looked_at = Router::new()
        .route("/metrics", get(scrape::metrics))
        .route_layer(from_fn_with_state(state.clone(), guard::operator));
    let of_all = Router::new()
        .route("/plugin", get(status))
        .route("/reload", post(reload::reload))
        .route_layer(from_fn_with_state(state.clone(), guard::server_operator));
    let changed = Router::new()
        .route("/tenants", get(tenants::tenants))
        .route("/explain", post(explain::explain))
        .route("/purge", post(purge::purge))
        .route_layer(from_fn_with_state(state.clone(), guard::tenants_operator));
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .merge(looked_at)
        .merge(of_all)
        .merge(changed)
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
        .with_state(state)
}

async fn livez() -> &'static str {
    "ok\n"
}

async fn readyz(State(state): State<AdminState>) -> Response {
    match state.not_ready() {
        None => "ok\n".into_response(),
        Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response(),
    }
}

async fn status(State(state): State<AdminState>) -> Json<plugin::Status> {
    Json(state.plugin.status())
}

async fn unknown(uri: Uri) -> Response {
    let text = format!("nothing is at {}; there is\n{PATHS}", uri.path());
    (StatusCode::NOT_FOUND, text).into_response()
}

async fn wrong_method(uri: Uri) -> Response {
    let text = format!("not by this method: {}; there is\n{PATHS}", uri.path());
    (StatusCode::METHOD_NOT_ALLOWED, text).into_response()
}

// === impl AdminState ===

impl AdminState {
    /// Why calls are not served, if they are not.
    fn not_ready(&self) -> Option<String> {
        if self.stopping.is_cancelled() {
            return Some("the server is stopping".to_owned());
        }
        match self.plugin.state() {
            plugin::State::Ready => None,
            plugin::State::Restarting { reason } => {
                Some(format!("the plugin is being restarted: {reason}"))
            }
            plugin::State::Stopped => Some("the plugin is stopped".to_owned()),
        }
    }
}

#[async_trait::async_trait]
impl Plugin for Tenants {
    fn status(&self) -> plugin::Status {
        Self::status(self)
    }

    fn state(&self) -> plugin::State {
        Self::state(self)
    }

    fn measure(&self, metrics: &Metrics) {
        Self::measure(self, metrics);
    }

    async fn tenants(&self) -> Result<Vec<TenantStatus>, storage::Error> {
        self.list().await
    }

    async fn purge(&self, tenant: Option<&str>) -> Result<(), tenants::Error> {
        match tenant {
            Some(tenant) => Self::purge(self, tenant).await,
            None => self.purge_all().await,
        }
    }
}

#[async_trait::async_trait]
impl Explains for Explainer {
    async fn explain(
        &self,
        tenant: Option<&str>,
        query: TraceQueryParameters,
    ) -> Result<Explanation, tenants::Error> {
        let storage = self.tenants.named(tenant).await?;
        let searcher = Searcher::new(storage, *self.limits.get(), Arc::clone(&self.metrics));
        searcher
            .explain(query)
            .await
            .map_err(tenants::Error::Search)
    }
}

#[cfg(test)]
mod tests;
