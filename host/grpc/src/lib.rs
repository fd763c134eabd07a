//! The gRPC services.
//!
//! Architecture invariant: only this crate knows tonic's server, and only its `status` makes a status. Handlers contain no logic of
//! storage or search: `ingest` walks writes, and `search` answers queries.

#![forbid(unsafe_code)]

mod age;
mod capabilities;
mod codec;
mod connection;
mod dependency_reader;
mod generated;
mod health;
mod read_limit;
mod reflection;
mod refusals;
mod request_memory;
mod rpc;
mod snappy;
mod status;
mod stores;
mod tenant_split;
mod trace_reader;
mod trace_service;

use std::future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use larder_core::fair::Scheduler;
use larder_core::telemetry::Metrics;
use larder_core::{Live, Opening, Serving, Stores};
use larder_edge::access::Access;
use larder_edge::listeners::{Incoming, Listener};
use larder_edge::tenant::Resolver;
use larder_ingest as ingest;
use larder_model::dictionary::Dictionaries;
use larder_search as search;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic_health::pb::health_server::HealthServer;

use self::capabilities::CapabilitiesService;
use self::connection::TonicConnection;
use self::dependency_reader::DependencyReaderService;
use self::generated::jaeger::capabilities_server::CapabilitiesServer;
use self::generated::jaeger::dependency_reader_server::DependencyReaderServer;
use self::generated::jaeger::trace_reader_server::TraceReaderServer;
use self::generated::otlp::trace_service_server::TraceServiceServer;
use self::health::Health;
use self::refusals::RefusalLog;
use self::request_memory::RequestMemory;
use self::rpc::{RpcConfig, RpcLayer};
pub use self::stores::KeptOfTenants;
use self::stores::Searchers;
use self::trace_reader::TraceReaderService;
use self::trace_service::{TraceWriter, Walking};

/// Memory of all requests together, as a multiple of `grpc.max_request_bytes`.
const REQUESTS_IN_MEMORY: usize = 4;

/// HTTP/2 flow control. A batch of Jaeger's fits a stream's window, so that the client sends it without waiting for window updates.
const STREAM_WINDOW: u32 = 4 << 20;
const CONNECTION_WINDOW: u32 = 16 << 20;

/// The largest DATA frame that a client may send. More than the protocol's 16 KiB means fewer pieces to reassemble.
const MAX_FRAME: u32 = 256 << 10;

/// Concurrent RPCs of one connection.
const MAX_STREAMS: u32 = 512;

/// Calls of one connection that were reset before they were accepted; one more closes the connection. They no longer count as
/// concurrent, and each keeps its headers until it is accepted, so they need a limit of their own. A client that cancels all its calls
/// at once, and starts and cancels as many again, stays below it.
const MAX_PENDING_RESETS: usize = 2 * MAX_STREAMS as usize;

/// Calls of one connection that the server has reset for what their client sent; one more closes the connection. The library never
/// forgets one, so the limit is far above what a client meets whose calls are refused while it sends them.
const MAX_RESETS_FOR_ERRORS: usize = 10 * MAX_STREAMS as usize;

/// Bytes of the headers of one request. A bearer token can have several KiB.
const MAX_HEADERS: u32 = 64 << 10;

/// HTTP/2 keep-alive: a dead peer is detected after the sum of these.
const KEEPALIVE: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Configures compression and the limit of a generated server. Each has these methods, but tonic has no trait for them.
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

/// Dependencies of the services.
pub struct Parts {
    /// The storage of each tenant, once the server has started. Until then calls are refused.
    pub stores: Opening<Arc<dyn Stores>>,
    /// Resolves the tenants of requests on the main port.
    pub resolver: Resolver,
    /// Resolves the tenants of requests on the writer port.
    pub writer_resolver: Resolver,
    /// Limits of queries.
    pub search: Live<search::Limits>,
    /// Schedules the tenants' turns of computing.
    pub scheduler: Arc<Scheduler>,
    /// The metrics of RPCs and spans.
    pub metrics: Arc<Metrics>,
    /// What is served now, for health checks. Nothing until the server has started.
    pub serving: Opening<Serving>,
    /// Maximum bytes of a request, before and after decompression (`grpc.max_request_bytes`).
    pub max_request_bytes: usize,
    /// Time in which a client has to send a request (`limits.request_timeout`).
    pub request_timeout: Live<Duration>,
    /// Age at which a connection is asked to end, about; `None` leaves it open (`grpc.max_connection_age`). Applies to connections that are
    /// accepted later.
    pub connection_age: Live<Option<Duration>>,
    /// Authenticates callers.
    pub access: Arc<Access>,
    /// Limits of fragments and batches of an Export.
    pub ingest: ingest::Limits,
    /// Whether fragments have terms of words (`ingest.word_terms`).
    pub word_terms: Live<bool>,
    /// Whether values are listed in the dictionaries of tenants (`ingest.dictionary`).
    pub dictionary: Live<bool>,
    /// The dictionaries of the tenants that are open.
    pub dictionaries: Dictionaries,
    /// What is kept of traces, for the dependencies (`dependencies.kept`). `None` judges all of them.
    pub kept: Option<Arc<dyn KeptOfTenants>>,
}

/// A port and its services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// All services.
    Main,
    /// OTLP's `TraceService`, health and reflection.
    Writer,
}

/// The services, served on one or more ports. Clones share everything.
#[derive(Clone)]
pub struct Grpc {
    main: (RpcLayer, Routes),
    writer: (RpcLayer, Routes),
    writes: TaskTracker,
    connection_age: Live<Option<Duration>>,
    draining: CancellationToken,
}

/// A failure of the transport that ended a port.
#[derive(Debug, thiserror::Error)]
#[error("the gRPC transport failed")]
pub struct Error(#[from] tonic::transport::Error);

// === impl Grpc ===

impl Grpc {
    /// Builds the services. Once `draining` is cancelled, health is `NOT_SERVING`, health watches end, no connection is accepted, and
    /// [`Grpc::serve`] returns.
    pub fn new(parts: Parts, draining: CancellationToken) -> Self {
        let writes = TaskTracker::new();
        let limit = parts.max_request_bytes;
        let memory = RequestMemory::new(limit.saturating_mul(REQUESTS_IN_MEMORY));
        let paginated = parts.search.get().pagination;
        let stores: Arc<dyn Stores> = Arc::new(parts.stores.clone());
        let searchers = Searchers::new(
            Arc::clone(&stores),
            parts.search,
            Arc::clone(&parts.metrics),
            parts.dictionaries.clone(),
            parts.kept,
        );

        let traces = TraceWriter::new(
            stores,
            Arc::clone(&parts.metrics),
            Walking {
                limits: parts.ingest,
                word_terms: parts.word_terms,
                dictionary: parts.dictionary,
                dictionaries: parts.dictionaries,
            },
            writes.clone(),
        );
        let traces = configured!(limit, TraceServiceServer::new(traces));
        let health = |port| {
            let health = Health::new(port, parts.serving.clone(), draining.clone());
            configured!(limit, HealthServer::new(health))
        };
        let writer = Routes::new(traces.clone()).add_service(health(Port::Writer));
        let main = Routes::new(traces)
            .add_service(health(Port::Main))
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
        let layer = RpcLayer::new(RpcConfig {
            metrics: parts.metrics,
            scheduler: parts.scheduler,
            access: parts.access,
            stores: parts.stores,
            memory,
            max_request_bytes: limit,
            request_timeout: parts.request_timeout,
            cuts: RefusalLog::default(),
        });
        let main_layer = layer.clone().on(Port::Main, parts.resolver);
        let writer_layer = layer.on(Port::Writer, parts.writer_resolver);
        Self {
            main: (main_layer, reflection::add_to(main, Port::Main, limit)),
            writer: (
                writer_layer,
                reflection::add_to(writer, Port::Writer, limit),
            ),
            writes,
            connection_age: parts.connection_age,
            draining,
        }
    }

    /// Serves `port` on `listener` until the drain has begun and all open connections have ended their RPCs.
    ///
    /// # Errors
    /// The transport failed.
    pub async fn serve(&self, port: Port, listener: Listener) -> Result<(), Error> {
        let (layer, routes) = match port {
            Port::Main => self.main.clone(),
            Port::Writer => self.writer.clone(),
        };
        let server = Server::builder()
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_frame_size(MAX_FRAME)
            .max_concurrent_streams(MAX_STREAMS)
            .http2_max_pending_accept_reset_streams(Some(MAX_PENDING_RESETS))
            .http2_max_local_error_reset_streams(Some(MAX_RESETS_FOR_ERRORS))
            .http2_max_header_list_size(MAX_HEADERS)
            .http2_keepalive_interval(Some(KEEPALIVE))
            .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
            .layer(layer)
            .add_routes(routes.prepare());
        let mut incoming = Incoming::open(listener, self.draining.clone());
        // Each connection has a server of its own: tonic's own age is the same for all connections of a server.
        let mut connections = JoinSet::new();
        while let Some(connection) = incoming.next().await {
            while let Some(ended) = connections.try_join_next() {
                of_connection(ended)?;
            }
            let age = (*self.connection_age.get()).map(age::jittered);
            let closed = CancellationToken::new();
            let end = age::end(age, self.draining.clone(), closed.clone());
            // A connection that has come just before the drain is served: else the server might see the end first, and drop it.
            let taken = CancellationToken::new();
            let is_taken = taken.clone();
            let end = async move {
                is_taken.cancelled().await;
                end.await;
            };
            let connection = Ok::<_, io::Error>(TonicConnection::new(connection, closed));
            // The server ends a connection in order once no other one can come, so it waits for one.
            let next = async move {
                taken.cancel();
                future::pending::<io::Result<TonicConnection>>().await
            };
            let connection = stream::once(future::ready(connection)).chain(stream::once(next));
            let server = server.clone();
            connections.spawn(server.serve_with_incoming_shutdown(connection, end));
        }
        while let Some(ended) = connections.join_next().await {
            of_connection(ended)?;
        }
        Ok(())
    }

    /// Waits for the writes of disconnected clients. Call it after all ports have ended.
    pub async fn wait_for_writes(&self) {
        self.writes.close();
        self.writes.wait().await;
    }
}

/// A connection that failed is its own; the transport's failure is the port's.
fn of_connection(
    ended: Result<Result<(), tonic::transport::Error>, JoinError>,
) -> Result<(), Error> {
    match ended {
        Ok(served) => served.map_err(Error),
        Err(error) => {
            tracing::error!(%error, "the task of a connection ended early");
            Ok(())
        }
    }
}
