//! What every RPC passes through, so that no handler can forget it: a span, the metric, the token, the tenant, the bounds on requests,
//! the end of a panic, and our words in place of tonic's.

mod body;

use std::convert::Infallible;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use http::{HeaderMap, HeaderValue, Request, Response};
use larder_core::Live;
use larder_core::fair::{Ended, Lane, Scheduler};
use larder_core::telemetry::Metrics;
use larder_edge::access::{Access, DEFAULT_TENANT, Right};
use larder_edge::tenant::{Refusal, Resolver};
use larder_model::TenantName;
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Layer, Service};
use tracing::{Instrument as _, Span};

use self::body::RpcBody;
use super::request_memory::{CountedBody, RequestMemory};
use super::status::{self, Failure};
use super::writers::Writers;

/// Any path that is no method of ours.
const OTHER: &str = "_OTHER";

/// Every method that is served, and the right that it needs; any other path is `_OTHER` in the metric, which a client must not be
/// able to fill with names.
const METHODS: [(&str, Option<Right>); 13] = [
    ("grpc.health.v1.Health/Check", None),
    ("grpc.health.v1.Health/Watch", None),
    (
        "grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        None,
    ),
    (
        "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        None,
    ),
    (
        "jaeger.storage.v2.Capabilities/GetCapabilities",
        Some(Right::Read),
    ),
    (
        "jaeger.storage.v2.DependencyReader/GetDependencies",
        Some(Right::Read),
    ),
    (
        "jaeger.storage.v2.TraceReader/FindTraceIDs",
        Some(Right::Read),
    ),
    (
        "jaeger.storage.v2.TraceReader/FindTraceSummaries",
        Some(Right::Read),
    ),
    (
        "jaeger.storage.v2.TraceReader/FindTraces",
        Some(Right::Read),
    ),
    (
        "jaeger.storage.v2.TraceReader/GetOperations",
        Some(Right::Read),
    ),
    (
        "jaeger.storage.v2.TraceReader/GetServices",
        Some(Right::Read),
    ),
    ("jaeger.storage.v2.TraceReader/GetTraces", Some(Right::Read)),
    (
        "opentelemetry.proto.collector.trace.v1.TraceService/Export",
        Some(Right::Write),
    ),
];

/// Wraps the router.
#[derive(Clone)]
pub(super) struct RpcLayer {
    limits: Arc<Limits>,
    /// The port's.
    resolver: Resolver,
}

/// What every RPC has to keep to, and where it is counted.
pub(super) struct Limits {
    pub(super) metrics: Arc<Metrics>,
    pub(super) scheduler: Arc<Scheduler>,
    pub(super) access: Arc<Access>,
    pub(super) memory: Arc<RequestMemory>,
    pub(super) max_request_bytes: usize,
    pub(super) request_timeout: Live<Duration>,
}

/// The wrapped router.
#[derive(Clone)]
pub(super) struct RpcService<S> {
    inner: S,
    layer: RpcLayer,
}

/// Whose traces an RPC asks for or writes.
enum Whose {
    /// Nobody's, or the only tenant's there is.
    Nobodys,
    /// One tenant's.
    Tenants(TenantName),
    /// Whomever the request's resources name.
    Resources(Writers),
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
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits: Arc::new(limits),
            resolver: Resolver::off(),
        }
    }

    /// The same for a port whose tenants `resolver` resolves.
    pub(super) fn with_resolver(self, resolver: Resolver) -> Self {
        Self { resolver, ..self }
    }

    /// Lets those through who may call this method, and says whose traces they ask for or write. Health and reflection are open: a
    /// probe has no token.
    fn admit(&self, method: &str, headers: &HeaderMap) -> Result<Whose, Status> {
        let Some(right) = right_of(method) else {
            return Ok(Whose::Nobodys);
        };
        let refused = |refusal| status::read(&Failure::Refused(&refusal));
        let caller = self.limits.access.caller(headers).map_err(refused)?;
        if right == Right::Write
            && let Some(by_resource) = self.resolver.by_resource(headers)
        {
            // Whether it may write for each is asked once the request says for whom.
            caller.check_any_tenant(right).map_err(refused)?;
            return Ok(Whose::Resources(Writers::new(by_resource, caller)));
        }
        let no_tenant = |refusal| status::read(&Failure::NoTenant(refusal));
        let Some(named) = self.resolver.resolve(headers).map_err(no_tenant)? else {
            caller.check(right, DEFAULT_TENANT).map_err(refused)?;
            return Ok(Whose::Nobodys);
        };
        // Before it is told whether the name is listed: who may not ask about it learns nothing of that.
        caller
            .check(right, named.name().as_str())
            .map_err(refused)?;
        let unknown = || no_tenant(Refusal::Unknown);
        named.tenant().map(Whose::Tenants).ok_or_else(unknown)
    }

    /// Where what the call costs is taken; none for health and reflection. A request of several tenants is nobody's in particular.
    fn lane(&self, method: &str, whose: &Whose) -> Option<Lane> {
        right_of(method)?;
        let tenant = match whose {
            Whose::Tenants(tenant) => tenant.as_str(),
            Whose::Nobodys | Whose::Resources(_) => DEFAULT_TENANT,
        };
        Some(self.limits.scheduler.lane(tenant))
    }

    /// The request as the handler gets it: counted, and with the best compression that its client accepts.
    fn incoming(&self, request: Request<Body>) -> Request<Body> {
        let share = self.limits.memory.share();
        let timeout = *self.limits.request_timeout.get();
        let mut request =
            request.map(|body| Body::new(CountedBody::new(body, Arc::clone(&share), timeout)));
        request.extensions_mut().insert(share);
        prefer_zstd(request.headers_mut());
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
            .and_then(|tonic| status::instead_of(tonic, self.limits.max_request_bytes));
        let response = match instead {
            Some(status) => status.into_http(),
            None => response,
        };
        if let Some(code) = code_of(response.headers()) {
            record.finish(code);
            return response;
        }
        response.map(|body| Body::new(RpcBody::new(body, lane.cloned(), record, span)))
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
        let method = method_of(request.uri().path());
        let record = Record {
            metrics: Arc::clone(&self.layer.limits.metrics),
            method,
            started: Instant::now(),
            done: false,
        };
        let span = span(method, request.headers());
        let layer = self.layer.clone();
        // What `poll_ready` made ready is called, and its clone waits for the next one.
        let next = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, next);
        let body_span = span.clone();
        let answered = async move {
            let whose = match layer.admit(method, request.headers()) {
                Ok(whose) => whose,
                Err(refused) => {
                    return Ok(layer.outgoing(refused.into_http(), None, record, body_span));
                }
            };
            let lane = layer.lane(method, &whose);
            let mut request = layer.incoming(request);
            match whose {
                Whose::Nobodys => {}
                Whose::Tenants(tenant) => {
                    body_span.record("tenant.id", tenant.as_str());
                    request.extensions_mut().insert(tenant);
                }
                Whose::Resources(writers) => {
                    request.extensions_mut().insert(writers);
                }
            }
            if let Some(lane) = &lane {
                request.extensions_mut().insert(lane.clone());
            }
            let answer = AssertUnwindSafe(async move { inner.call(request).await }).catch_unwind();
            let answered = match &lane {
                // A search may compute for long before there is anything to answer.
                Some(lane) if right_of(method) == Some(Right::Read) => {
                    let answer = answer.instrument(body_span.clone());
                    let ended = |ended: Ended| Ok(Ok(status::ended(&ended).into_http()));
                    lane.moving(answer).await.unwrap_or_else(ended)
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

fn method_of(path: &str) -> &'static str {
    let name = path.strip_prefix('/').unwrap_or(path);
    METHODS
        .into_iter()
        .find_map(|(method, _)| (method == name).then_some(method))
        .unwrap_or(OTHER)
}

/// What a method needs; `None` where everybody may call it, and for what is not served.
fn right_of(name: &str) -> Option<Right> {
    METHODS
        .into_iter()
        .find_map(|(method, right)| (method == name).then_some(right)?)
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
