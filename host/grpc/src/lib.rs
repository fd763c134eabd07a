//! The gRPC services: wire in, wire out.
//!
//! Architecture invariant: only this module knows tonic, and only its `status` makes a status. A handler decodes nothing and
//! decides nothing: `ingest` walks what is written, `search` answers what is asked.

#![forbid(unsafe_code)]

mod capabilities;
mod codec;
mod connection;
mod dependency_reader;
mod generated;
mod health;
mod reads;
mod reflection;
mod refusals;
mod request_memory;
mod rpc;
mod status;
mod stores;
mod trace_reader;
mod trace_service;
mod writers;

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use larder_core::Live;
use larder_core::Stores;
use larder_core::fair::Scheduler;
use larder_core::telemetry::Metrics;
use larder_edge::access::Access;
use larder_edge::doors::{Door, Incoming};
use larder_edge::tenant::Resolver;
use larder_ingest as ingest;
use larder_search as search;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::service::Routes;
use tonic::transport::Server;

use self::capabilities::CapabilitiesService;
use self::connection::Connection;
use self::dependency_reader::DependencyReaderService;
use self::generated::jaeger::capabilities_server::CapabilitiesServer;
use self::generated::jaeger::dependency_reader_server::DependencyReaderServer;
use self::generated::jaeger::trace_reader_server::TraceReaderServer;
use self::generated::otlp::trace_service_server::TraceServiceServer;
use self::health::Health;
use self::request_memory::RequestMemory;
use self::rpc::RpcLayer;
use self::stores::Searchers;
use self::trace_reader::TraceReaderService;
use self::trace_service::TraceWriter;

/// All requests together may hold so many times what one may.
const REQUESTS_IN_MEMORY: usize = 4;

/// HTTP/2 flow control: a batch of Jaeger's fits a stream's window, so that it is sent without waiting for us.
const STREAM_WINDOW: u32 = 4 << 20;
const CONNECTION_WINDOW: u32 = 16 << 20;

/// The largest DATA frame that a client may send: larger than the protocol's 16 KiB means fewer pieces to put together.
const MAX_FRAME: u32 = 256 << 10;

/// RPCs at a time on one connection.
const MAX_STREAMS: u32 = 512;

/// Headers of one request; a bearer token can be some KiB.
const MAX_HEADERS: u32 = 64 << 10;

/// A peer that is gone without a word is noticed after these two.
const KEEPALIVE: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// A generated server with our compression and limit. Each has these methods, but there is no trait that has them.
macro_rules! configured {
    ($limit:expr, $server:expr) => {
        $server
            .accept_compressed(tonic::codec::CompressionEncoding::Gzip)
            .accept_compressed(tonic::codec::CompressionEncoding::Zstd)
            .send_compressed(tonic::codec::CompressionEncoding::Gzip)
            .send_compressed(tonic::codec::CompressionEncoding::Zstd)
            .max_decoding_message_size($limit)
    };
}
use configured;

/// What the services stand on.
pub struct Parts {
    /// Where spans are written and read, by tenant.
    pub stores: Arc<dyn Stores>,
    /// Whose a request on the main port is.
    pub resolver: Resolver,
    /// Whose a request on the writer's own port is.
    pub writer_resolver: Resolver,
    /// What a query may cost.
    pub search: Live<search::Limits>,
    /// What gives tenants their turns of computing.
    pub scheduler: Arc<Scheduler>,
    /// Where RPCs and spans are counted.
    pub metrics: Arc<Metrics>,
    /// Whether calls are served, for health checks.
    pub ready: watch::Receiver<bool>,
    /// The largest request, before and after decompression (`grpc.max_request_bytes`).
    pub max_request_bytes: usize,
    /// How long a client may take to send a request (`limits.request_timeout`).
    pub request_timeout: Live<Duration>,
    /// Who may call.
    pub access: Arc<Access>,
    /// How an Export is cut.
    pub ingest: ingest::Limits,
}

/// Which services a port offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// All of them.
    Main,
    /// OTLP's `TraceService`, and health.
    Writer,
}

/// The services, to be served on one port or more. Clones share everything.
#[derive(Clone)]
pub struct Grpc {
    main: (RpcLayer, Routes),
    writer: (RpcLayer, Routes),
    writes: TaskTracker,
    draining: CancellationToken,
}

/// Why a port stopped being served.
#[derive(Debug, thiserror::Error)]
#[error("the gRPC transport failed")]
pub struct Error(#[from] tonic::transport::Error);

// === impl Grpc ===

impl Grpc {
    /// The services over `parts`. From `draining` on health is `NOT_SERVING`, health watches end, no connection is accepted, and
    /// [`Grpc::serve`] comes to its end.
    pub fn new(parts: Parts, draining: CancellationToken) -> Self {
        let writes = TaskTracker::new();
        let limit = parts.max_request_bytes;
        let memory = RequestMemory::new(limit.saturating_mul(REQUESTS_IN_MEMORY));
        let paginated = parts.search.get().pagination;
        let searchers = Searchers::new(
            Arc::clone(&parts.stores),
            parts.search,
            Arc::clone(&parts.metrics),
        );

        let traces = TraceWriter::new(
            parts.stores,
            Arc::clone(&parts.metrics),
            parts.ingest,
            writes.clone(),
        );
        let traces = configured!(limit, TraceServiceServer::new(traces));
        let health = configured!(limit, Health::server(parts.ready, draining.clone()));
        let writer = Routes::new(traces).add_service(health);
        let main = writer
            .clone()
            .add_service(configured!(
                limit,
                TraceReaderServer::new(TraceReaderService::new(searchers.clone()))
            ))
            .add_service(configured!(
                limit,
                DependencyReaderServer::new(DependencyReaderService::new(searchers))
            ))
            .add_service(configured!(
                limit,
                CapabilitiesServer::new(CapabilitiesService { paginated })
            ));
        let layer = RpcLayer::new(rpc::Limits {
            metrics: parts.metrics,
            scheduler: parts.scheduler,
            access: parts.access,
            memory,
            max_request_bytes: limit,
            request_timeout: parts.request_timeout,
        });
        let main_layer = layer.clone().with_resolver(parts.resolver);
        Self {
            main: (main_layer, reflection::add_to(main, limit)),
            writer: (layer.with_resolver(parts.writer_resolver), writer),
            writes,
            draining,
        }
    }

    /// Serves `port` behind `door`, until the drain has begun and all open connections have ended their RPCs.
    pub async fn serve(&self, port: Port, door: Door) -> Result<(), Error> {
        let (layer, routes) = match port {
            Port::Main => self.main.clone(),
            Port::Writer => self.writer.clone(),
        };
        let incoming = Incoming::open(door, self.draining.clone());
        let incoming = incoming.map(|stream| stream.map(Connection));
        Server::builder()
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_frame_size(MAX_FRAME)
            .max_concurrent_streams(MAX_STREAMS)
            .http2_max_header_list_size(MAX_HEADERS)
            .http2_keepalive_interval(Some(KEEPALIVE))
            .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
            .layer(layer)
            .add_routes(routes)
            .serve_with_incoming_shutdown(incoming, self.draining.cancelled())
            .await
            .map_err(Error)
    }

    /// Waits for the writes of clients that have gone. To be called when all ports have ended.
    pub async fn written(&self) {
        self.writes.close();
        self.writes.wait().await;
    }
}
