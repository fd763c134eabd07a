//! `GET /attributes` and `GET /attributes/{key}/values`.

use axum::Json;
use axum::extract::{Path, Query};
use axum::http::Uri;
use axum::response::{IntoResponse, Response};
use larder_runtime::tenants;
use larder_search::{KeysQuery, ValuesQuery};
use serde::{Deserialize, Serialize};

use super::Opened;
use super::tenant_list::error_response;

/// The parameters of `/attributes`. Others are refused.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct KeysParameters {
    tenant: Option<String>,
    service: String,
    prefix: String,
}

/// The parameters of `/attributes/{key}/values`. Others are refused.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ValuesParameters {
    tenant: Option<String>,
    level: String,
    prefix: String,
    limit: Option<usize>,
}

/// The tenant that a request for one of these paths names; `None` if it names none, or is refused for its parameters.
pub(super) fn tenant(uri: &Uri) -> Option<String> {
    let of_keys = || Some(Query::<KeysParameters>::try_from_uri(uri).ok()?.0.tenant);
    let of_values = || Some(Query::<ValuesParameters>::try_from_uri(uri).ok()?.0.tenant);
    of_keys().or_else(of_values).flatten()
}

/// The keys of attributes, as JSON.
pub(super) async fn keys(opened: Opened, Query(query): Query<KeysParameters>) -> Response {
    let asked = KeysQuery {
        service: query.service,
        prefix: query.prefix,
    };
    let tenant = query.tenant.as_deref();
    answer(opened.explainer.attribute_keys(tenant, asked).await)
}

/// The values of an attribute, as JSON.
pub(super) async fn values(
    opened: Opened,
    Path(key): Path<String>,
    Query(query): Query<ValuesParameters>,
) -> Response {
    let asked = ValuesQuery {
        key,
        level: query.level,
        prefix: query.prefix,
        limit: query.limit,
    };
    let tenant = query.tenant.as_deref();
    answer(opened.explainer.attribute_values(tenant, asked).await)
}

/// What was found, as JSON.
fn answer(found: Result<impl Serialize, tenants::Error>) -> Response {
    match found {
        Ok(found) => Json(found).into_response(),
        Err(error) => error_response(&error),
    }
}
