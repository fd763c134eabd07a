#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::sync::Mutex;
use std::sync::atomic::Ordering;

use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, header};
use http_body_util::BodyExt as _;
use larder_core::telemetry::TenantGauges;
use larder_model::storage::{Error, ErrorKind, Statistics};
use larder_runtime::tenants::Presence;
use larder_search::kept::{Coverage, Summed};
use larder_search::{KeyEntry, PlanNode, ValueEntry};
use tower::ServiceExt as _;

use super::*;

mod attributes;
mod cluster;
mod explain;
mod reload;
mod snapshot;

/// A backend with the state and the failure that a test sets.
struct FakeBackend {
    state: Mutex<plugin::State>,
    store: Mutex<StoreStatus>,
    purged: Mutex<Vec<String>>,
    failure: Option<ErrorKind>,
    /// The outcome of the next snapshot; a test that sets none waits until it is stopped.
    snapshot: Mutex<Option<Result<Made, SnapshotError>>>,
    /// The snapshots that were asked for.
    asked: Mutex<Vec<(PathBuf, String)>>,
}

fn limits() -> tenants::TenantLimits {
    tenants::TenantLimits {
        plugin: "kv".to_owned(),
        memory: 1 << 30,
        call_timeout_ms: 10_000,
        queue_bytes: 1 << 20,
        queue_depth: 7,
        quotas: larder_core::quotas::Limits {
            spans_per_second: Some(1000),
            concurrent_queries: 64,
            query_queue_bytes: 1 << 20,
            kv_quota: None,
        },
    }
}

#[async_trait::async_trait]
impl Backend for FakeBackend {
    fn status(&self) -> plugin::Status {
        plugin::Status {
            name: "fake".to_owned(),
            version: "1.2.3".to_owned(),
            source: "./fake.wasm".to_owned(),
            hash: "00ff".to_owned(),
            size: 4096,
            exports: vec!["larder:storage/reader@0.2.0".to_owned()],
            imports: vec!["larder:storage/log@0.2.0".to_owned()],
            grants: Vec::new(),
            contract: plugin::ContractVersion::V0_2,
            instancing: plugin::Instancing::Exclusive,
            state: self.state.lock().unwrap().clone(),
            restarts: 4,
            memory_used: 5 << 20,
            memory_limit: 1 << 30,
            queue_depth: 0,
            queue_bytes: 0,
            statistics: Statistics {
                spans: 77,
                ..Statistics::default()
            },
        }
    }

    fn state(&self) -> plugin::State {
        self.state.lock().unwrap().clone()
    }

    fn reach(&self) -> Reach {
        self.store.lock().unwrap().reach.clone()
    }

    async fn store(&self) -> StoreStatus {
        self.store.lock().unwrap().clone()
    }

    async fn measure(&self, metrics: &Metrics) {
        metrics.set_gauges(&TenantGauges {
            memory: 5 << 20,
            ..TenantGauges::default()
        });
    }

    async fn tenants(&self) -> Result<Vec<TenantStatus>, Error> {
        if let Some(kind) = self.failure {
            return Err(Error::new(kind, "the disk said no"));
        }
        Ok(vec![
            TenantStatus {
                limits: limits(),
                name: "a".to_owned(),
                state: Presence::Open,
                stored_bytes: Some(9),
                plugin: Some(Backend::status(self)),
            },
            TenantStatus {
                limits: limits(),
                name: "b".to_owned(),
                state: Presence::Away,
                stored_bytes: None,
                plugin: None,
            },
        ])
    }

    async fn purge(&self, tenant: Option<&str>) -> Result<(), tenants::Error> {
        of_known(tenant)?;
        let tenant = tenant.unwrap_or("all").to_owned();
        self.purged.lock().unwrap().push(tenant.clone());
        match self.failure {
            None => Ok(()),
            Some(kind) => {
                let source = Error::new(kind, "the disk said no");
                Err(tenants::Error::Storage { tenant, source })
            }
        }
    }

    async fn snapshot(&self, request: SnapshotRequest) -> Result<Made, SnapshotError> {
        let asked = (request.below, request.name.to_string());
        self.asked.lock().unwrap().push(asked);
        let outcome = self.snapshot.lock().unwrap().take();
        if let Some(outcome) = outcome {
            return outcome;
        }
        while !request.stop.load(Ordering::Relaxed) {
            tokio::task::yield_now().await;
        }
        Err(SnapshotError::Stopped)
    }
}

#[async_trait::async_trait]
impl Explains for FakeBackend {
    async fn explain(
        &self,
        tenant: Option<&str>,
        search: Explained,
    ) -> Result<Explanation, tenants::Error> {
        of_known(tenant)?;
        if let Some(kind) = self.failure {
            let error = Error::new(kind, "the filter says no");
            return Err(tenants::Error::Search(error));
        }
        Ok(Explanation {
            plan: PlanNode {
                asks: format!("{search:?}"),
                index: "1 term".to_owned(),
                values: Vec::new(),
                parts: Vec::new(),
            },
            clauses: vec![1, 2],
            judged_on: "digests",
            order: None,
            found: "traces",
            depth: 20,
            matched: 3,
            error: None,
            pages: 4,
            sightings: 5,
            fragments: 6,
            bytes: 7,
            judged_spans: 8,
            find_ms: 0.5,
            read_ms: 1.5,
            judge_ms: 2.5,
            values_ms: 0.25,
        })
    }

    async fn explain_dependencies(
        &self,
        tenant: Option<&str>,
        request: GetDependenciesRequest,
    ) -> Result<DependenciesExplanation, tenants::Error> {
        of_known(tenant)?;
        if let Some(kind) = self.failure {
            let error = Error::new(kind, "the window says no");
            return Err(tenants::Error::Search(error));
        }
        Ok(DependenciesExplanation {
            from: format!("{request:?}"),
            coverage: Some(Coverage {
                settled_buckets: 1,
                open_buckets: 2,
                suspect_buckets: 3,
                unknown_buckets: 4,
                late_traces: 5,
                unusable: None,
            }),
            summed: Some(Summed {
                whole_buckets: 6,
                partial_buckets: 7,
                scanned_pages: 8,
                scanned_rows: 9,
            }),
            links: 10,
            calls: 11,
            error: None,
            judged_traces: 12,
            judged_spans: 13,
            pages: 14,
            sightings: 15,
            fragments: 16,
            bytes: 17,
            kept_ms: 0.25,
            find_ms: 0.5,
            read_ms: 1.5,
            judge_ms: 2.5,
        })
    }

    async fn attribute_keys(
        &self,
        tenant: Option<&str>,
        query: KeysQuery,
    ) -> Result<AttributeKeys, tenants::Error> {
        of_known(tenant)?;
        if let Some(kind) = self.failure {
            let error = Error::new(kind, "the values say no");
            return Err(tenants::Error::Search(error));
        }
        Ok(AttributeKeys {
            attributes: vec![KeyEntry {
                key: format!("{query:?}"),
                level: "span",
                r#type: "text",
                values: 3,
                has_more: true,
            }],
            error: None,
        })
    }

    async fn attribute_values(
        &self,
        tenant: Option<&str>,
        query: ValuesQuery,
    ) -> Result<AttributeValues, tenants::Error> {
        of_known(tenant)?;
        Ok(AttributeValues {
            key: format!("{query:?}"),
            values: vec![ValueEntry {
                value: "GET".to_owned(),
                level: "span",
                fragments: 7,
                has_more: false,
            }],
            has_more: false,
            error: None,
        })
    }
}

/// Only `a` is known.
fn of_known(tenant: Option<&str>) -> Result<(), tenants::Error> {
    match tenant {
        None | Some("a") => Ok(()),
        Some(other) => Err(tenants::Error::Unknown {
            name: other.to_owned(),
        }),
    }
}

struct TestAdmin {
    plugin: Arc<FakeBackend>,
    state: AdminState,
}

struct Answer {
    status: u16,
    kind: String,
    headers: HeaderMap,
    body: String,
}

impl TestAdmin {
    fn new(failure: Option<ErrorKind>) -> Self {
        let plugin = Arc::new(FakeBackend {
            state: Mutex::new(plugin::State::Ready),
            store: Mutex::new(cluster::local()),
            purged: Mutex::default(),
            failure,
            snapshot: Mutex::default(),
            asked: Mutex::default(),
        });
        let state = AdminState {
            metrics: Arc::new(Metrics::new()),
            opening: Opening::done(Opened {
                backend: Arc::clone(&plugin) as Arc<dyn Backend>,
                explainer: Arc::clone(&plugin) as Arc<dyn Explains>,
                reloader: Arc::clone(&plugin) as Arc<dyn Reloads>,
            }),
            stopping: CancellationToken::new(),
            purge: Live::new(true),
            clock: Arc::default(),
            snapshot_dir: Live::new(Some("/snapshots".into())),
            tenancy: false,
            access: Arc::new(Access::anonymous()),
            certificates: Vec::new(),
            request_timeout: Live::new(Duration::from_mins(1)),
            graphs: None,
        };
        Self { plugin, state }
    }

    async fn ask(&self, request: Request<Body>) -> Answer {
        let response = router(self.state.clone()).oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let kind = headers
            .get(header::CONTENT_TYPE)
            .map(|kind| kind.to_str().unwrap().to_owned());
        let body = response.into_body().collect().await.unwrap().to_bytes();
        Answer {
            status,
            kind: kind.unwrap_or_default(),
            headers,
            body: String::from_utf8(body.to_vec()).unwrap(),
        }
    }

    async fn send(&self, method: Method, path: &str) -> Answer {
        let request = Request::builder().method(method).uri(path);
        self.ask(request.body(Body::empty()).unwrap()).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path).await
    }
}

#[tokio::test]
async fn a_process_that_answers_is_alive_whatever_its_plugin_does() {
    let admin = TestAdmin::new(None);
    *admin.plugin.state.lock().unwrap() = plugin::State::Stopped;
    assert_eq!(admin.get("/livez").await.status, 200);
}

#[tokio::test]
async fn readiness_follows_the_plugin_and_says_why_it_is_gone() {
    let admin = TestAdmin::new(None);
    assert_eq!(admin.get("/readyz").await.status, 200);
    *admin.plugin.state.lock().unwrap() = plugin::State::Restarting {
        reason: "it trapped".to_owned(),
    };
    let answer = admin.get("/readyz").await;
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (503, "the plugin is being restarted: it trapped\n")
    );
    *admin.plugin.state.lock().unwrap() = plugin::State::Ready;
    assert_eq!(admin.get("/readyz").await.status, 200);
}

#[tokio::test]
async fn readiness_goes_when_the_server_begins_to_stop() {
    let admin = TestAdmin::new(None);
    admin.state.stopping.cancel();
    let answer = admin.get("/readyz").await;
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (503, "the server is stopping\n")
    );
    assert_eq!(admin.get("/livez").await.status, 200);
}

#[tokio::test]
async fn metrics_come_in_the_form_that_is_asked_for() {
    let admin = TestAdmin::new(None);
    let plain = admin.get("/metrics").await;
    assert_eq!(plain.kind, "text/plain; version=0.0.4; charset=utf-8");
    assert!(
        plain
            .body
            .contains("# TYPE larder_ingest_spans_total counter\n")
    );

    let accept =
        "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1";
    let request = Request::get("/metrics").header(header::ACCEPT, accept);
    let open = admin.ask(request.body(Body::empty()).unwrap()).await;
    assert_eq!(
        open.kind,
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    );
    assert!(open.body.ends_with("# EOF\n"));
}

#[tokio::test]
async fn metrics_tell_the_plugins_memory_as_it_is_at_the_scrape() {
    let told = TestAdmin::new(None).get("/metrics").await.body;
    let line = "larder_plugin_memory_bytes 5242880";
    assert!(told.lines().any(|told| told == line), "{told}");
}

#[tokio::test]
async fn the_plugin_is_described_in_json() {
    let answer = TestAdmin::new(None).get("/plugin").await;
    assert_eq!(
        (answer.status, answer.kind.as_str()),
        (200, "application/json")
    );
    let plugin: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(plugin["name"], "fake");
    assert_eq!(plugin["version"], "1.2.3");
    assert_eq!(plugin["hash"], "00ff");
    assert_eq!(plugin["imports"][0], "larder:storage/log@0.2.0");
    assert_eq!(plugin["exports"][0], "larder:storage/reader@0.2.0");
    assert_eq!(plugin["contract"], "0.2.0");
    assert_eq!(plugin["memory_used"], 5 << 20);
    assert_eq!(plugin["statistics"]["spans"], 77);
}

#[tokio::test]
async fn a_purge_answers_with_jaegers_words() {
    let admin = TestAdmin::new(None);
    let answer = admin.send(Method::POST, "/purge").await;
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (200, "Purge request processed successfully")
    );
    assert_eq!(*admin.plugin.purged.lock().unwrap(), ["all"]);
}

#[tokio::test]
async fn a_purge_that_is_off_names_the_flag_and_forgets_nothing() {
    let admin = TestAdmin::new(None);
    admin.state.purge.set(false);
    let answer = admin.send(Method::POST, "/purge").await;
    assert_eq!(answer.status, 403);
    assert!(answer.body.contains("--enable-purge"), "{}", answer.body);
    assert!(admin.plugin.purged.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_purge_may_name_its_tenant_who_must_be_known() {
    let admin = TestAdmin::new(None);
    let answer = admin.send(Method::POST, "/purge?tenant=a").await;
    assert_eq!(answer.status, 200);
    assert_eq!(*admin.plugin.purged.lock().unwrap(), ["a"]);
    let unknown = admin.send(Method::POST, "/purge?tenant=b").await;
    assert_eq!(unknown.status, 403);
    assert!(
        unknown.body.starts_with("unknown tenant"),
        "{}",
        unknown.body
    );
    let misspelt = admin.send(Method::POST, "/purge?tennant=a").await;
    assert_eq!(misspelt.status, 400, "it must not purge everybody");
    assert_eq!(*admin.plugin.purged.lock().unwrap(), ["a"]);
}

#[tokio::test]
async fn tenants_are_listed_in_json() {
    let answer = TestAdmin::new(None).get("/tenants").await;
    assert_eq!(answer.status, 200);
    let tenants: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(tenants[0]["name"], "a");
    assert_eq!(tenants[0]["state"], "open");
    assert_eq!(tenants[0]["stored_bytes"], 9);
    assert_eq!(tenants[0]["plugin"]["memory_used"], 5 << 20);
    assert_eq!(tenants[1]["limits"]["plugin"], "kv");
    assert_eq!(tenants[1]["limits"]["concurrent_queries"], 64);
    assert!(tenants[1]["limits"]["kv_quota"].is_null());
    assert_eq!(tenants[1]["state"], "away");
    assert!(tenants[1]["plugin"].is_null());
}

#[tokio::test]
async fn only_post_purges() {
    let admin = TestAdmin::new(None);
    for method in [Method::GET, Method::PUT, Method::DELETE, Method::HEAD] {
        let answer = admin.send(method.clone(), "/purge").await;
        assert_eq!(answer.status, 405, "{method}");
        assert_eq!(answer.headers[header::ALLOW], "POST", "{method}");
    }
    assert!(admin.plugin.purged.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_purge_that_fails_says_why_with_the_code_of_the_error_table() {
    for (kind, status) in [
        (ErrorKind::Internal, 500),
        (ErrorKind::DataLoss, 500),
        (ErrorKind::ContractBroken, 500),
        (ErrorKind::Unavailable, 503),
        (ErrorKind::ResourceExhausted, 429),
    ] {
        let answer = TestAdmin::new(Some(kind))
            .send(Method::POST, "/purge")
            .await;
        assert_eq!(answer.status, status, "{kind:?}");
        assert_eq!(answer.body, "tenant `all`: the disk said no\n");
    }
}

#[tokio::test]
async fn other_paths_are_answered_with_those_there_are() {
    let answer = TestAdmin::new(None).get("/healthz").await;
    assert_eq!(answer.status, 404);
    for path in [
        "/healthz",
        "/livez",
        "/readyz",
        "/metrics",
        "/plugin",
        "/cluster",
        "/tenants",
        "/attributes",
        "/attributes/{key}/values",
        "/purge",
        "/reload",
        "/snapshot",
    ] {
        assert!(answer.body.contains(path), "{}", answer.body);
    }
}
