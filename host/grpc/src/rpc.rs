//! The layer around every RPC, so that no handler can omit any of this: the span, the metric, the token, the tenant, the refusal while the
//! server is starting, the limits of requests, panics turned into statuses, and our texts in place of tonic's.

mod body;

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use http::{HeaderMap, HeaderValue, Request, Response};
use larder_core::fair::{Ended, Lane, Scheduler};
use larder_core::telemetry::Metrics;
use larder_core::{Live, Opening, Stores};
use larder_edge::access::{self, Access, Right};
use larder_edge::tenant::{HeaderError, Resolver};
use larder_model::{DEFAULT_TENANT, TenantName};
use larder_search::Omission;
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Layer, Service};
use tracing::{Instrument as _, Span};

use self::body::RpcBody;
use super::Port;
use super::refusals::RefusalLog;
use super::request_memory::{CountedBody, RequestMemory};
use super::snappy::{self, SnappyBody};
use super::status::{self, Failure};
use super::tenant_split::TenantSplitter;

/// The method of every unknown path in the metric, so that a client cannot create series.
const OTHER: &str = "_OTHER";

/// A method that is served. A path that is none of [`METHODS`] is refused before it is routed, so a service that is added to the
/// router and not here cannot be called.
struct Method {
    /// The path without its leading slash, which is `rpc.method` in the metric and the log.
    name: &'static str,
    auth: Auth,
}

/// The right that a caller needs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Auth {
    /// None: a probe has no token.
    None,
    /// A token with this right, if tokens are required.
    Token(Right),
}

static METHODS: [Method; 14] = [
    Method::unauthenticated("grpc.health.v1.Health/Check"),
    Method::unauthenticated("grpc.health.v1.Health/Watch"),
    Method::unauthenticated("grpc.reflection.v1.ServerReflection/ServerReflectionInfo"),
    Method::unauthenticated("grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"),
    Method::read("jaeger.storage.v2.Capabilities/GetCapabilities"),
    Method::read("jaeger.storage.v2.DependencyReader/GetDependencies"),
    Method::read("jaeger.storage.v2.TraceReader/FindSpans"),
    Method::read("jaeger.storage.v2.TraceReader/FindTraceIDs"),
    Method::read("jaeger.storage.v2.TraceReader/FindTraceSummaries"),
    Method::read("jaeger.storage.v2.TraceReader/FindTraces"),
    Method::read("jaeger.storage.v2.TraceReader/GetOperations"),
    Method::read("jaeger.storage.v2.TraceReader/GetServices"),
    Method::read("jaeger.storage.v2.TraceReader/GetTraces"),
    Method::write("opentelemetry.proto.collector.trace.v1.TraceService/Export"),
];

/// Wraps the router.
#[derive(Clone)]
pub(super) struct RpcLayer {
    config: Arc<RpcConfig>,
    port: Port,
    /// The resolver of the port.
    resolver: Resolver,
}

/// Configuration and shared state of the layer.
pub(super) struct RpcConfig {
    pub(super) metrics: Arc<Metrics>,
    pub(super) scheduler: Arc<Scheduler>,
    pub(super) access: Arc<Access>,
    pub(super) stores: Opening<Arc<dyn Stores>>,
    pub(super) memory: Arc<RequestMemory>,
    pub(super) max_request_bytes: usize,
    pub(super) request_timeout: Live<Duration>,
    pub(super) cuts: RefusalLog,
}

/// The wrapped router.
#[derive(Clone)]
pub(super) struct RpcService<S> {
    inner: S,
    layer: RpcLayer,
}

/// The tenant whose traces an RPC reads or writes.
enum RequestTenant {
    /// No tenant is named: tenancy is off, or the method reads no traces.
    Unnamed,
    /// The tenant of the request.
    Tenant(TenantName),
    /// Each resource of the request names its own.
    Resources(TenantSplitter),
}

/// Records the RPC once: with its code, or as CANCELLED when it is dropped before it has one.
struct Record {
    metrics: Arc<Metrics>,
    method: &'static str,
    started: Instant,
    done: bool,
}

// === impl RpcLayer ===

impl RpcLayer {
    pub(super) fn new(config: RpcConfig) -> Self {
        Self {
            config: Arc::new(config),
            port: Port::Main,
            resolver: Resolver::off(),
        }
    }

    /// The same for a port, whose tenants `resolver` resolves.
    pub(super) fn on(self, port: Port, resolver: Resolver) -> Self {
        Self {
            port,
            resolver,
            ..self
        }
    }

    /// The method of a path, if the port has it.
    fn method(&self, path: &str) -> Result<&'static Method, Status> {
        let unknown = || status::read(&Failure::UnknownMethod(path));
        let method = Method::of(path).ok_or_else(unknown)?;
        if self.port == Port::Writer && method.auth == Auth::Token(Right::Read) {
            return Err(status::read(&Failure::ReadOnWriterPort(method.name)));
        }
        Ok(method)
    }

    /// Checks the caller's token and resolves the tenant.
    fn admit(&self, method: &Method, request: &Request<Body>) -> Result<RequestTenant, Status> {
        let headers = request.headers();
        let right = match method.auth {
            Auth::None => return Ok(RequestTenant::Unnamed),
            Auth::Token(right) => right,
        };
        let refused = |refusal| {
            let peer = request.extensions().get::<SocketAddr>().copied();
            access::report(&refusal, method.name, peer, &self.config.metrics);
            status::read(&Failure::Auth(&refusal))
        };
        let caller = self.config.access.caller(headers).map_err(refused)?;
        if right == Right::Write
            && let Some(resolver) = self.resolver.attribute_resolver(headers)
        {
            // The tenants are checked once the request has named them.
            caller.check_right(right).map_err(refused)?;
            return Ok(RequestTenant::Resources(TenantSplitter::new(
                resolver, caller,
            )));
        }
        let no_tenant = |refusal| status::read(&Failure::Tenant(refusal));
        let Some(named) = self.resolver.resolve(headers).map_err(no_tenant)? else {
            caller.check(right, DEFAULT_TENANT).map_err(refused)?;
            return Ok(RequestTenant::Unnamed);
        };
        // Checked before the name is looked up, so that a caller without the right does not learn which tenants are listed.
        caller
            .check(right, named.name().as_str())
            .map_err(refused)?;
        let unknown = || no_tenant(HeaderError::Unknown);
        named
            .tenant()
            .map(RequestTenant::Tenant)
            .ok_or_else(unknown)
    }

    /// Refuses a call of the stores while they are opened, before its body is read. Health and reflection need none.
    fn check_started(&self, method: &Method) -> Result<(), Status> {
        match (method.auth, self.config.stores.opened()) {
            (Auth::None, _) | (Auth::Token(_), Ok(_)) => Ok(()),
            (Auth::Token(_), Err(not_open)) => Err(status::read_storage(&not_open.into())),
        }
    }

    /// The lane that schedules the call; `None` for health and reflection. A request of several tenants takes the default tenant's.
    fn lane(&self, method: &Method, tenant: &RequestTenant) -> Option<Lane> {
        let tenant = match (method.auth, tenant) {
            (Auth::None, _) => return None,
            (Auth::Token(_), RequestTenant::Tenant(tenant)) => tenant.as_str(),
            (Auth::Token(_), RequestTenant::Unnamed | RequestTenant::Resources(_)) => {
                DEFAULT_TENANT
            }
        };
        Some(self.config.scheduler.lane(tenant))
    }

    /// The request as the handler gets it: counted, and with the best compression that its client accepts.
    fn incoming(&self, request: Request<Body>) -> Request<Body> {
        let reservation = self.config.memory.reserve();
        let timeout = *self.config.request_timeout.get();
        let mut request = request
            .map(|body| Body::new(CountedBody::new(body, Arc::clone(&reservation), timeout)));
        prefer_zstd(request.headers_mut());
        if snappy::take_encoding(request.headers_mut()) {
            let limit = self.config.max_request_bytes;
            let held = Arc::clone(&reservation);
            request = request.map(|body| Body::new(SnappyBody::new(body, held, limit)));
        }
        request.extensions_mut().insert(reservation);
        request
    }

    /// The answer as the client gets it.
    fn outgoing(
        &self,
        response: Response<Body>,
        lane: Option<&Lane>,
        mut record: Record,
        span: Span,
    ) -> Response<Body> {
        let instead = response
            .extensions()
            .get::<Status>()
            .and_then(|tonic| status::instead_of(tonic, self.config.max_request_bytes));
        let mut response = match instead {
            Some(status) => status.into_http(),
            None => response,
        };
        snappy::add_to_accepted(response.headers_mut());
        if let Some(code) = code_of(response.headers()) {
            record.finish(code);
            return response;
        }
        let omission = response.extensions_mut().remove::<Omission>();
        let config = Arc::clone(&self.config);
        response.map(|body| {
            let body = RpcBody::new(body, lane.cloned(), record, span);
            Body::new(match omission {
                Some(omission) => body.telling(omission, config),
                None => body,
            })
        })
    }
}

impl<S> Layer<S> for RpcLayer {
    type Service = RpcService<S>;

    fn layer(&self, inner: S) -> RpcService<S> {
        RpcService {
            inner,
            layer: self.clone(),
        }
    }
}

// === impl RpcService ===

impl<S> Service<Request<Body>> for RpcService<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let method = Method::of(request.uri().path());
        let name = method.map_or(OTHER, |method| method.name);
        let record = Record {
            metrics: Arc::clone(&self.layer.config.metrics),
            method: name,
            started: Instant::now(),
            done: false,
        };
        let span = span(name, request.headers());
        let layer = self.layer.clone();
        // The service that `poll_ready` made ready is called. Its clone serves the next request.
        let next = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, next);
        let body_span = span.clone();
        let answered = async move {
            let admitted = layer.method(request.uri().path()).and_then(|method| {
                let tenant = layer.admit(method, &request)?;
                layer.check_started(method)?;
                Ok((method, tenant))
            });
            let (method, tenant) = match admitted {
                Ok(admitted) => admitted,
                Err(refused) => {
                    return Ok(layer.outgoing(refused.into_http(), None, record, body_span));
                }
            };
            let lane = layer.lane(method, &tenant);
            let mut request = layer.incoming(request);
            match tenant {
                RequestTenant::Unnamed => {}
                RequestTenant::Tenant(tenant) => {
                    body_span.record("tenant.id", tenant.as_str());
                    request.extensions_mut().insert(tenant);
                }
                RequestTenant::Resources(splitter) => {
                    request.extensions_mut().insert(splitter);
                }
            }
            if let Some(lane) = &lane {
                request.extensions_mut().insert(lane.clone());
            }
            let answer = AssertUnwindSafe(async move { inner.call(request).await }).catch_unwind();
            let answered = match &lane {
                // A search may compute for long before its first message.
                Some(lane) if method.auth == Auth::Token(Right::Read) => {
                    let answer = answer.instrument(body_span.clone());
                    let ended = |ended: Ended| Ok(Ok(status::ended(&ended).into_http()));
                    lane.run(answer).await.unwrap_or_else(ended)
                }
                Some(lane) => lane.gated(answer).await,
                None => answer.await,
            };
            let response = match answered {
                Ok(Ok(response)) => response,
                Ok(Err(never)) => match never {},
                Err(payload) => status::panicked(&*payload).into_http(),
            };
            Ok(layer.outgoing(response, lane.as_ref(), record, body_span))
        };
        Box::pin(answered.instrument(span))
    }
}

// === impl Method ===

impl Method {
    const fn unauthenticated(name: &'static str) -> Self {
        Self {
            name,
            auth: Auth::None,
        }
    }

    const fn read(name: &'static str) -> Self {
        Self {
            name,
            auth: Auth::Token(Right::Read),
        }
    }

    const fn write(name: &'static str) -> Self {
        Self {
            name,
            auth: Auth::Token(Right::Write),
        }
    }

    /// The method of a request's path.
    fn of(path: &str) -> Option<&'static Self> {
        let name = path.strip_prefix('/')?;
        METHODS.iter().find(|method| method.name == name)
    }
}

// === impl Record ===

impl Record {
    fn finish(&mut self, code: Code) {
        if std::mem::replace(&mut self.done, true) {
            return;
        }
        let seconds = self.started.elapsed().as_secs_f64();
        let code = status::code_name(code);
        self.metrics.rpc(self.method, code, seconds);
        tracing::debug!(code, seconds, "rpc ended");
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.finish(Code::Cancelled);
    }
}

fn span(method: &'static str, headers: &HeaderMap) -> Span {
    let span = tracing::info_span!(
        "rpc",
        rpc.method = method,
        tenant.id = tracing::field::Empty,
        trace_id = tracing::field::Empty
    );
    if let Some(trace_id) = headers.get("traceparent").and_then(trace_id) {
        span.record("trace_id", trace_id);
    }
    span
}

/// The trace id of a W3C `traceparent`: `00-` 32 hex digits `-`...
fn trace_id(traceparent: &HeaderValue) -> Option<&str> {
    let id = traceparent.to_str().ok()?.get(3..35)?;
    id.bytes().all(|b| b.is_ascii_hexdigit()).then_some(id)
}

fn code_of(headers: &HeaderMap) -> Option<Code> {
    let code = headers.get("grpc-status")?;
    Some(Code::from_bytes(code.as_bytes()))
}

/// tonic takes the first encoding of the client's list that it knows. Where both are accepted, zstd is faster and smaller.
fn prefer_zstd(headers: &mut HeaderMap) {
    const ACCEPT: &str = "grpc-accept-encoding";
    let zstd = headers
        .get(ACCEPT)
        .and_then(|list| list.to_str().ok())
        .is_some_and(|list| list.split(',').any(|name| name.trim() == "zstd"));
    if zstd {
        headers.insert(ACCEPT, HeaderValue::from_static("zstd"));
    }
}

#[cfg(test)]
mod tests;
