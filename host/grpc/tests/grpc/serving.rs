//! A server in this process.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use larder_core::fair::Scheduler;
use larder_core::telemetry::Metrics;
use larder_core::{Live, Opening, Permits, Quotas, Stores, quotas};
use larder_edge::access::Access;
use larder_edge::listeners::Listener;
use larder_edge::tenant::{Resolver, Rules};
use larder_grpc as grpc;
use larder_grpc::{Grpc, Parts, Port};
use larder_ingest as ingest;
use larder_model::TenantName;
use larder_model::dictionary::Dictionaries;
use larder_model::storage::{self, Storage};
use larder_search as search;
use larder_tests::{Client, patiently};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::store::Store;

pub(crate) struct Serving {
    pub store: Arc<Store>,
    pub client: Client,
    metrics: Arc<Metrics>,
    /// Whether the plugin is ready, until it is dropped.
    pub ready: watch::Sender<bool>,
    draining: CancellationToken,
    grpc: Grpc,
    served: JoinHandle<Result<(), grpc::Error>>,
    pub address: SocketAddr,
    /// Age at which connections that are accepted from now on are asked to end.
    pub connection_age: Live<Option<Duration>>,
}

/// One storage for all tenants.
struct One(Arc<Store>, Arc<Quotas>);

#[async_trait]
impl Stores for One {
    fn get(&self, _: Option<&TenantName>) -> Option<Arc<dyn Storage>> {
        Some(Arc::clone(&self.0) as Arc<dyn Storage>)
    }

    fn quotas(&self, _: Option<&TenantName>) -> Result<Arc<Quotas>, storage::Error> {
        Ok(Arc::clone(&self.1))
    }

    async fn open(&self, _: Option<&TenantName>) -> Result<Arc<dyn Storage>, storage::Error> {
        Ok(Arc::clone(&self.0) as Arc<dyn Storage>)
    }
}

impl Serving {
    pub(crate) async fn new() -> Self {
        Self::with(Resolver::off(), Arc::default()).await
    }

    /// With tenants that share one storage, each named by `x-tenant`, and with this scheduler.
    pub(crate) async fn by_header(scheduler: Arc<Scheduler>) -> Self {
        Self::with(Resolver::on(rules(None)), scheduler).await
    }

    /// With tenants that share one storage, each named by a resource attribute.
    pub(crate) async fn by_resource(attribute: &str) -> Self {
        let resolver = Resolver::on(rules(Some(attribute)));
        Self::with(resolver, Arc::default()).await
    }

    async fn with(resolver: Resolver, scheduler: Arc<Scheduler>) -> Self {
        let store = Arc::new(Store::new());
        let metrics = Arc::new(Metrics::new());
        let (ready, is_ready) = watch::channel(true);
        let draining = CancellationToken::new();
        let limits = quotas::Limits {
            spans_per_second: None,
            concurrent_queries: 64,
            query_queue_bytes: 1 << 20,
            kv_quota: None,
        };
        let default = TenantName::default_tenant();
        let quotas = Quotas::new(default, &limits, Arc::clone(&metrics));
        let stores: Arc<dyn Stores> = Arc::new(One(Arc::clone(&store), quotas));
        let connection_age = Live::new(None);
        let parts = Parts {
            stores: Opening::done(stores),
            resolver,
            writer_resolver: Resolver::off(),
            search: Live::new(search_limits()),
            scheduler,
            metrics: Arc::clone(&metrics),
            serving: Opening::done(larder_core::Serving {
                all: is_ready.clone(),
                reads: is_ready.clone(),
                writes: is_ready,
            }),
            max_request_bytes: 2 << 20,
            request_timeout: Live::new(Duration::from_mins(1)),
            connection_age: connection_age.clone(),
            access: Arc::new(Access::anonymous()),
            ingest: ingest::Limits {
                max_fragment_bytes: 1 << 20,
                max_batch_bytes: 8 << 20,
                max_span_bytes: 4 << 20,
                max_listed_bytes: 4 << 20,
            },
            word_terms: Live::new(true),
            dictionary: Live::new(true),
            dictionaries: Dictionaries::default(),
            kept: None,
        };
        let grpc = Grpc::new(parts, draining.clone());
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let listener = Listener {
            setting: "grpc.endpoint",
            socket,
            address,
            tls: None,
            connections: Permits::new(16),
        };
        let serving = grpc.clone();
        let served = tokio::spawn(async move { serving.serve(Port::Main, listener).await });
        Self {
            store,
            client: Client::connect(address).await,
            metrics,
            ready,
            draining,
            grpc,
            served,
            address,
            connection_age,
        }
    }

    /// The number of calls of a method that ended with this code.
    pub(crate) fn count(&self, method: &str, code: &str) -> u64 {
        let (method, code) = (
            format!("rpc_method=\"{}\"", method.trim_start_matches('/')),
            format!("rpc_response_status_code=\"{code}\""),
        );
        self.metrics
            .encode()
            .lines()
            .filter(|line| line.starts_with("rpc_server_call_duration_seconds_count"))
            .filter(|line| line.contains(&method) && line.contains(&code))
            .map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap())
            .sum()
    }

    /// Begins to drain.
    pub(crate) fn drain(&self) {
        self.draining.cancel();
    }

    /// Drains, and waits until the port has ended.
    pub(crate) async fn stop(self) {
        self.drain();
        drop(self.client);
        let served = patiently("the end of the port", self.served).await;
        served.unwrap().unwrap();
        patiently("the writes", self.grpc.wait_for_writes()).await;
    }
}

fn rules(attribute: Option<&str>) -> Rules {
    Rules {
        header: http::HeaderName::from_static("x-tenant"),
        tenants: std::collections::BTreeSet::new(),
        default: None,
        attribute: attribute.map(Into::into),
    }
}

fn search_limits() -> search::Limits {
    search::Limits {
        default_depth: 100,
        max_depth: 10_000,
        timeout: Duration::from_mins(1),
        dependencies_timeout: Duration::from_mins(1),
        judged_spans: 1_000_000,
        read_bytes: 1 << 30,
        max_message_bytes: 4 << 20,
        pagination: false,
    }
}
