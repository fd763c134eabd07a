//! Authentication and request limits of the admin port.

use std::convert::Infallible;
use std::net::SocketAddr;

use axum::body::Body;
use axum::extract::{FromRequestParts, Query, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt as _;
use larder_edge::access::{self, AuthError, Caller, Right};
use larder_model::DEFAULT_TENANT;
use tokio::time::timeout;

use super::AdminState;
use super::attributes;
use super::tenant_list::TenantQuery;

/// The largest request body, in bytes. A search in JSON is the largest request.
const MAX_BODY: usize = 2 << 20;

/// The name of the caller's token, for the log; "-" if tokens are not required.
pub(super) struct CallerName(pub(super) String);

/// Admits callers with the right `metrics`, or `admin` for any tenant.
pub(super) async fn scraper(
    State(state): State<AdminState>,
    request: Request,
    next: Next,
) -> Response {
    let caller = state.access.caller(request.headers());
    let caller = caller.and_then(|caller| {
        if caller.check_right(Right::Admin).is_err() {
            caller.check_right(Right::Metrics)?;
        }
        Ok(caller)
    });
    forward(&state, caller, request, next).await
}

/// Admits callers with the right `admin` for the whole server. With tenancy that is a token for every tenant.
pub(super) async fn server_operator(
    State(state): State<AdminState>,
    request: Request,
    next: Next,
) -> Response {
    let tenant = (!state.tenancy).then_some(DEFAULT_TENANT);
    let caller = operator_of(&state, &request, tenant);
    forward(&state, caller, request, next).await
}

/// Admits callers with the right `admin` for the tenant of `?tenant=`, or for every tenant if there is none.
pub(super) async fn tenants_operator(
    State(state): State<AdminState>,
    request: Request,
    next: Next,
) -> Response {
    let query = Query::<TenantQuery>::try_from_uri(request.uri());
    let tenant = query.ok().and_then(|Query(query)| query.tenant);
    let tenant = tenant
        .as_deref()
        .or((!state.tenancy).then_some(DEFAULT_TENANT));
    let caller = operator_of(&state, &request, tenant);
    forward(&state, caller, request, next).await
}

/// Admits callers with the right `read` for the tenant of `?tenant=`, or for every tenant if there is none.
pub(super) async fn reader(
    State(state): State<AdminState>,
    request: Request,
    next: Next,
) -> Response {
    let tenant = attributes::tenant(request.uri());
    let tenant = tenant
        .as_deref()
        .or((!state.tenancy).then_some(DEFAULT_TENANT));
    let caller = caller_of(&state, &request, Right::Read, tenant);
    forward(&state, caller, request, next).await
}

/// The caller, if it has the right `admin` for this tenant, or for every tenant if there is none.
fn operator_of(
    state: &AdminState,
    request: &Request,
    tenant: Option<&str>,
) -> Result<Caller, AuthError> {
    caller_of(state, request, Right::Admin, tenant)
}

/// The caller, if it has this right for this tenant, or for every tenant if there is none.
fn caller_of(
    state: &AdminState,
    request: &Request,
    right: Right,
    tenant: Option<&str>,
) -> Result<Caller, AuthError> {
    let caller = state.access.caller(request.headers())?;
    match tenant {
        Some(tenant) => caller.check(right, tenant)?,
        None => caller.check_all_tenants(right)?,
    }
    Ok(caller)
}

/// Reads the whole body of an admitted request, within the limits, and passes it on.
async fn forward(
    state: &AdminState,
    caller: Result<Caller, AuthError>,
    request: Request,
    next: Next,
) -> Response {
    let caller = match caller {
        Ok(caller) => caller,
        Err(refusal) => {
            let peer = request.extensions().get::<SocketAddr>().copied();
            access::report(&refusal, request.uri().path(), peer, &state.metrics);
            return error_response(&refusal);
        }
    };
    let (mut head, body) = request.into_parts();
    head.extensions.insert(caller);
    let body = http_body_util::Limited::new(body, MAX_BODY).collect();
    let request_timeout = *state.request_timeout.get();
    match timeout(request_timeout, body).await {
        Ok(Ok(body)) => {
            let request = Request::from_parts(head, Body::from(body.to_bytes()));
            next.run(request).await
        }
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            let text = format!("the request has more than {MAX_BODY} bytes\n");
            (StatusCode::PAYLOAD_TOO_LARGE, text).into_response()
        }
        Ok(Err(error)) => (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response(),
        Err(_) => {
            let text = format!(
                "the request did not come whole within {request_timeout:?}; limits.request_timeout raises it\n"
            );
            (StatusCode::REQUEST_TIMEOUT, text).into_response()
        }
    }
}

fn error_response(refusal: &AuthError) -> Response {
    let text = format!("{refusal}\n");
    match refusal {
        AuthError::Unauthenticated(_) => {
            let scheme = HeaderValue::from_static("Bearer");
            let asks = [(header::WWW_AUTHENTICATE, scheme)];
            (StatusCode::UNAUTHORIZED, asks, text).into_response()
        }
        AuthError::PermissionDenied(_) => (StatusCode::FORBIDDEN, text).into_response(),
    }
}

impl<S: Sync> FromRequestParts<S> for CallerName {
    type Rejection = Infallible;

    async fn from_request_parts(head: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let caller = head.extensions.get::<Caller>().and_then(Caller::name);
        Ok(Self(caller.unwrap_or("-").to_owned()))
    }
}
