//! Who may call the admin port, and how long a request may take to come.

use std::convert::Infallible;

use axum::body::Body;
use axum::extract::{FromRequestParts, Query, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt as _;
use larder_edge::access::{Caller, DEFAULT_TENANT, Refusal, Right};
use tokio::time::timeout;

use super::AdminState;
use super::tenants::Whose;

/// No request to the admin port has more; a search in JSON is the largest.
const MAX_BODY: usize = 2 << 20;

/// The name of the caller's token, for the log; "-" where none is asked for.
pub(super) struct CallerName(pub(super) String);

/// Lets those through who have the right to look, whichever tenants their token is for.
pub(super) async fn operator(
    State(state): State<AdminState>,
    request: Request,
    next: Next,
) -> Response {
    let caller = state.access.caller(request.headers());
    let caller = caller.and_then(|caller| {
        caller.check_any_tenant(Right::Admin)?;
        Ok(caller)
    });
    admitted(&state, caller, request, next).await
}

/// Lets those through who may see and change what concerns all, whatever the query says: with tenancy, every tenant's operators.
pub(super) async fn server_operator(
    State(state): State<AdminState>,
    request: Request,
    next: Next,
) -> Response {
    let tenant = (!state.tenancy).then_some(DEFAULT_TENANT);
    let caller = operator_of(&state, &request, tenant);
    admitted(&state, caller, request, next).await
}

/// Lets those through who may see and change what the tenant has that `?tenant=` names; without one, what every tenant has.
pub(super) async fn tenants_operator(
    State(state): State<AdminState>,
    request: Request,
    next: Next,
) -> Response {
    let whose = Query::<Whose>::try_from_uri(request.uri());
    let tenant = whose.ok().and_then(|Query(whose)| whose.tenant);
    let tenant = tenant
        .as_deref()
        .or((!state.tenancy).then_some(DEFAULT_TENANT));
    let caller = operator_of(&state, &request, tenant);
    admitted(&state, caller, request, next).await
}

/// Who asks, if it is an operator of this tenant, or of every one.
fn operator_of(
    state: &AdminState,
    request: &Request,
    tenant: Option<&str>,
) -> Result<Caller, Refusal> {
    let caller = state.access.caller(request.headers())?;
    match tenant {
        Some(tenant) => caller.check(Right::Admin, tenant)?,
        None => caller.check_every_tenant(Right::Admin)?,
    }
    Ok(caller)
}

async fn admitted(
    state: &AdminState,
    caller: Result<Caller, Refusal>,
    request: Request,
    next: Next,
) -> Response {
    let caller = match caller {
        Ok(caller) => caller,
        Err(refusal) => return refused(&refusal),
    };
    let (mut head, body) = request.into_parts();
    head.extensions.insert(caller);
    let body = http_body_util::Limited::new(body, MAX_BODY).collect();
    let patience = *state.request_timeout.get();
    match timeout(patience, body).await {
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
                "the request did not come whole within {patience:?}; limits.request_timeout raises it\n"
            );
            (StatusCode::REQUEST_TIMEOUT, text).into_response()
        }
    }
}

fn refused(refusal: &Refusal) -> Response {
    let text = format!("{refusal}\n");
    match refusal {
        Refusal::Unauthenticated(_) => {
            let scheme = HeaderValue::from_static("Bearer");
            let asks = [(header::WWW_AUTHENTICATE, scheme)];
            (StatusCode::UNAUTHORIZED, asks, text).into_response()
        }
        Refusal::Denied(_) => (StatusCode::FORBIDDEN, text).into_response(),
    }
}

impl<S: Sync> FromRequestParts<S> for CallerName {
    type Rejection = Infallible;

    async fn from_request_parts(head: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let caller = head.extensions.get::<Caller>().and_then(Caller::name);
        Ok(Self(caller.unwrap_or("-").to_owned()))
    }
}
