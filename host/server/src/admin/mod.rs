//! HTTP for operators: health, metrics, the plugin, and `POST /purge`.
//!
//! | path | answer |
//! |---|---|
//! | `GET /livez` | 200 while the process runs |
//! | `GET /readyz` | 200 while reads and writes are served, otherwise 503 with the reason, as during a start; a shutdown makes it fail first |
//! | `GET /metrics` | Prometheus text, or `OpenMetrics` if the `Accept` header asks for it |
//! | `GET /cluster` | the store and the hosts that share it, as JSON |
//! | `GET /plugin` | the [`plugin::Status`] of the default tenant, as JSON |
//! | `GET /tenants` | the [`TenantStatus`] of every known tenant, as JSON |
//! | `POST /explain?tenant=NAME` | runs a search, or a request for dependencies: its plan, or its sources, and the cost of each step; the body is the query, as JSON |
//! | `GET /attributes?tenant=NAME` | keys of attributes whose values are listed, as JSON |
//! | `GET /attributes/{key}/values?tenant=NAME` | the listed values of an attribute, each with the fragments that have it, as JSON |
//! | `POST /purge` | deletes all traces, services and operations; off by default |
//! | `POST /purge?tenant=NAME` | the same for one tenant; its name is deleted too, unless the configuration has it |
//! | `POST /clock` | has retention believe the system's clock, after a jump, at once |
//! | `POST /snapshot?to=NAME` | copies the store, as it stands at one moment; what was made, as JSON; off by default |
//! | `POST /reload` | reads configuration, plugin, tokens and certificates again; a [`Report`](crate::reload::Report) as JSON |
//!
//! With `access.tokens` set, all but `/livez` and `/readyz` needs a token with the right `admin`, or `metrics` for `/metrics`, and `read` for
//! `/attributes`. While the
//! server is starting, all that needs its store or its plugin is 503; `/livez` and `/metrics` are not.
//!
//! Architecture invariant: this module knows storage and search only through the traits [`Backend`] and [`Explains`].

mod attributes;
mod clock;
mod cluster;
mod explain;
mod guard;
mod opened;
mod purge;
mod reload;
mod scrape;
mod serve;
mod snapshot;
mod tenant_list;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{StatusCode, Uri};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router, extract::State};
use larder_core::clock::TrustedClock;
use larder_core::quotas::QueryPermit;
use larder_core::telemetry::Metrics;
use larder_core::{Live, Opening};
use larder_edge::access::Access;
use larder_edge::listeners::Tls;
use larder_grpc::KeptOfTenants;
use larder_model::dictionary::Dictionaries;
use larder_model::storage;
use larder_proto::storage::v2::GetDependenciesRequest;
use larder_runtime::plugin;
use larder_runtime::tenants::{self, StoreStatus, TenantStatus, Tenants};
use larder_search::{
    self as search, AttributeKeys, AttributeValues, DependenciesExplanation, Explained,
    Explanation, KeysQuery, QueryKind, Searcher, ValuesQuery,
};
use larder_store::{Made, Reach, SnapshotError, SnapshotRequest};
use tokio_util::sync::CancellationToken;

pub use opened::Opened;
pub use serve::serve;

/// The paths, for the answer to a request for another one.
const PATHS: &str = "GET /livez\nGET /readyz\nGET /metrics\nGET /plugin\nGET /cluster\nGET /tenants\nPOST /explain\nGET /attributes\nGET /attributes/{key}/values\nPOST /purge\nPOST /clock\nPOST /reload\nPOST /snapshot\n";

pub use reload::Reloads;
#[cfg(test)]
pub(crate) use snapshot::Files;
pub(crate) use snapshot::SnapshotReport;

/// The storage of all tenants, as an operator sees it.
#[async_trait::async_trait]
pub trait Backend: Send + Sync + 'static {
    /// The status of the default tenant's plugin; if none is open, that of the configured plugin.
    fn status(&self) -> plugin::Status;

    /// The state for readiness. It is cheap, as every probe asks for it.
    fn state(&self) -> plugin::State;

    /// What calls reach of the store, for readiness. Cheap as well.
    fn reach(&self) -> Reach;

    /// The store, and the hosts that share it.
    async fn store(&self) -> StoreStatus;

    /// Sets the gauges of all tenants. Called at every scrape.
    async fn measure(&self, metrics: &Metrics);

    /// Every known tenant, ordered by name.
    async fn tenants(&self) -> Result<Vec<TenantStatus>, storage::Error>;

    /// Deletes all data of one tenant, or of all. A write that is acknowledged after this returns is kept.
    async fn purge(&self, tenant: Option<&str>) -> Result<(), tenants::Error>;

    /// Copies the store of all tenants, as it stands at one moment during the call.
    async fn snapshot(&self, request: SnapshotRequest) -> Result<Made, SnapshotError>;
}

/// The calls that are kept of the tenants' traces.
pub trait Graphs: Send + Sync + 'static {
    /// Sets their metrics. Called at every scrape.
    fn measure(&self, metrics: &Metrics);
}

/// Runs searches and explains them, and tells what may be searched for.
#[async_trait::async_trait]
pub trait Explains: Send + Sync + 'static {
    /// Runs [`Searcher::explain`](larder_search::Searcher::explain) for one tenant, or for the default one. It counts as a query of the
    /// tenant (`limits.concurrent_queries`) and waits for its turn like any other.
    async fn explain(
        &self,
        tenant: Option<&str>,
        search: Explained,
    ) -> Result<Explanation, tenants::Error>;

    /// Runs [`Searcher::explain_dependencies`](larder_search::Searcher::explain_dependencies) as a query of the tenant, with what is kept
    /// of its traces.
    async fn explain_dependencies(
        &self,
        tenant: Option<&str>,
        request: GetDependenciesRequest,
    ) -> Result<DependenciesExplanation, tenants::Error>;

    /// Runs [`Searcher::attribute_keys`](larder_search::Searcher::attribute_keys) as a query of the tenant.
    async fn attribute_keys(
        &self,
        tenant: Option<&str>,
        query: KeysQuery,
    ) -> Result<AttributeKeys, tenants::Error>;

    /// Runs [`Searcher::attribute_values`](larder_search::Searcher::attribute_values) as a query of the tenant.
    async fn attribute_values(
        &self,
        tenant: Option<&str>,
        query: ValuesQuery,
    ) -> Result<AttributeValues, tenants::Error>;
}

/// Explains searches over the storage of tenants, and what may be searched for.
pub struct Explainer {
    /// The registry of tenants.
    pub tenants: Arc<Tenants>,
    /// The budget of a query.
    pub limits: Live<search::Limits>,
    /// The metrics that count its cost.
    pub metrics: Arc<Metrics>,
    /// The listed values of tenants.
    pub dictionaries: Dictionaries,
    /// The calls that are kept of tenants' traces; `None` while none are (`dependencies.kept`).
    pub kept: Option<Arc<dyn KeptOfTenants>>,
}

/// The state of the routes.
#[derive(Clone)]
pub struct AdminState {
    /// For `/metrics`.
    pub metrics: Arc<Metrics>,
    /// What the server serves, once it has started.
    pub opening: Opening<Opened>,
    /// Cancelled when a shutdown begins, so that `/readyz` fails first.
    pub stopping: CancellationToken,
    /// Enables `POST /purge` (`admin.purge`).
    pub purge: Live<bool>,
    /// The clock of retention.
    pub clock: Arc<TrustedClock>,
    /// The folder below which `POST /snapshot` writes; `None` refuses it (`kv.snapshot_dir`).
    pub snapshot_dir: Live<Option<PathBuf>>,
    /// True if requests name their tenants (`tenancy.enabled`).
    pub tenancy: bool,
    /// The tokens of callers.
    pub access: Arc<Access>,
    /// The certificates of the ports.
    pub certificates: Vec<Arc<Tls>>,
    /// Timeout for a client to send a whole request (`limits.request_timeout`).
    pub request_timeout: Live<Duration>,
    /// What is kept of traces; `None` while nothing is (`dependencies.kept`).
    pub graphs: Option<Arc<dyn Graphs>>,
}

/// The routes.
pub fn router(state: AdminState) -> Router {
    let scraper_routes = Router::new()
        .route("/metrics", get(scrape::metrics))
        .route_layer(from_fn_with_state(state.clone(), guard::scraper));
    let server_routes = Router::new()
        .route("/plugin", get(status))
        .route("/cluster", get(cluster::cluster))
        .route("/reload", post(reload::reload))
        .route("/clock", post(clock::confirm))
        .route("/snapshot", post(snapshot::snapshot))
        .route_layer(from_fn_with_state(state.clone(), guard::server_operator));
    let tenant_routes = Router::new()
        .route("/tenants", get(tenant_list::tenants))
        .route("/explain", post(explain::explain))
        .route("/purge", post(purge::purge))
        .route_layer(from_fn_with_state(state.clone(), guard::tenants_operator));
    let reader_routes = Router::new()
        .route("/attributes", get(attributes::keys))
        .route("/attributes/{key}/values", get(attributes::values))
        .route_layer(from_fn_with_state(state.clone(), guard::reader));
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .merge(scraper_routes)
        .merge(server_routes)
        .merge(tenant_routes)
        .merge(reader_routes)
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
        .with_state(state)
}

async fn livez() -> &'static str {
    "ok\n"
}

async fn readyz(State(state): State<AdminState>) -> Response {
    match state.not_ready() {
        None => match state.clock.jump() {
            None => "ok\n".into_response(),
            Some(jump) => format!("ok\n{jump}\n").into_response(),
        },
        Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response(),
    }
}

async fn status(opened: Opened) -> Json<plugin::Status> {
    Json(opened.backend.status())
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
    /// The reason why calls are not served; `None` if they are.
    fn not_ready(&self) -> Option<String> {
        if self.stopping.is_cancelled() {
            return Some("the server is stopping".to_owned());
        }
        let opened = match self.opening.opened() {
            Ok(opened) => opened,
            Err(not_open) => return Some(not_open.to_string()),
        };
        match opened.backend.state() {
            plugin::State::Ready => cluster::unreached(&opened.backend.reach()),
            plugin::State::Restarting { reason } => {
                Some(format!("the plugin is being restarted: {reason}"))
            }
            plugin::State::Stopped => Some("the plugin is stopped".to_owned()),
        }
    }
}

#[async_trait::async_trait]
impl Backend for Tenants {
    fn status(&self) -> plugin::Status {
        Self::status(self)
    }

    fn state(&self) -> plugin::State {
        Self::state(self)
    }

    fn reach(&self) -> Reach {
        Self::reach(self)
    }

    async fn store(&self) -> StoreStatus {
        Self::store(self).await
    }

    async fn measure(&self, metrics: &Metrics) {
        Self::measure(self, metrics).await;
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

    async fn snapshot(&self, request: SnapshotRequest) -> Result<Made, SnapshotError> {
        Self::snapshot(self, request).await
    }
}

// === impl Explainer ===

impl Explainer {
    /// A searcher of the tenant's storage, with the permit of a query of this kind. The listed values are taken once the storage is open.
    async fn begin(
        &self,
        kind: QueryKind,
        tenant: Option<&str>,
    ) -> Result<(Searcher, QueryPermit), tenants::Error> {
        let mut limits = *self.limits.get();
        let quotas = self.tenants.named_quotas(tenant).await?;
        let permit = limits.wait_for(kind, &quotas, 0).await;
        let permit = permit.map_err(tenants::Error::Search)?;
        let storage = self.tenants.named(tenant).await?;
        let name = self.tenants.name_of(tenant).await?;
        let listed = self.dictionaries.snapshot(name.as_str());
        let ((), snapshot) = tokio::join!(storage.look_ahead(), listed);
        let searcher = Searcher::new(storage, limits, Arc::clone(&self.metrics));
        Ok((searcher.with_snapshot(snapshot), permit))
    }
}

#[async_trait::async_trait]
impl Explains for Explainer {
    async fn explain(
        &self,
        tenant: Option<&str>,
        search: Explained,
    ) -> Result<Explanation, tenants::Error> {
        let (searcher, _permit) = self.begin(QueryKind::Search, tenant).await?;
        let explained = searcher.explain(search).await;
        explained.map_err(tenants::Error::Search)
    }

    async fn explain_dependencies(
        &self,
        tenant: Option<&str>,
        request: GetDependenciesRequest,
    ) -> Result<DependenciesExplanation, tenants::Error> {
        let (searcher, _permit) = self.begin(QueryKind::Dependencies, tenant).await?;
        // The tenant is open.
        let name = self.tenants.name_of(tenant).await?;
        let kept = self.kept.as_ref().and_then(|kept| kept.of(name.as_str()));
        let explained = searcher.explain_dependencies(request, kept).await;
        explained.map_err(tenants::Error::Search)
    }

    async fn attribute_keys(
        &self,
        tenant: Option<&str>,
        query: KeysQuery,
    ) -> Result<AttributeKeys, tenants::Error> {
        let (searcher, _permit) = self.begin(QueryKind::Search, tenant).await?;
        let keys = searcher.attribute_keys(query).await;
        keys.map_err(tenants::Error::Search)
    }

    async fn attribute_values(
        &self,
        tenant: Option<&str>,
        query: ValuesQuery,
    ) -> Result<AttributeValues, tenants::Error> {
        let (searcher, _permit) = self.begin(QueryKind::Search, tenant).await?;
        let values = searcher.attribute_values(query).await;
        values.map_err(tenants::Error::Search)
    }
}

#[cfg(test)]
mod tests;
