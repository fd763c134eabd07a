//! Structured filters (Jaeger's RFC 0005), over all services.

use larder_proto::expression::v1::Call;
use larder_proto::expression::v1::expression::Term;
use larder_proto::storage::v2 as proto;

use super::expression::{attribute, call, each, field, inner, int, text, texts, untyped};
use super::{Search, find};
use crate::generate::{batch_name, user_name};

/// The searches, within the window and depth of `all`.
pub(super) fn searches(all: &proto::TraceQueryParameters) -> Vec<Search> {
    filters()
        .into_iter()
        .map(|(name, filter)| {
            let query = proto::TraceQueryParameters {
                filter: Some(filter),
                ..all.clone()
            };
            find(name, &query)
        })
        .collect()
}

/// The costliest: no index narrows it, so that every span is judged and none matches.
pub(super) const UNNARROWED: &str = "filter: status code above 599, no match";

/// The filter of [`UNNARROWED`].
pub(super) fn unnarrowed() -> Call {
    call("gt", [status(), int(599)])
}

fn status() -> Term {
    attribute("span", "http.response.status_code")
}

/// Each filter with its name in the table.
pub(super) fn filters() -> Vec<(&'static str, Call)> {
    let mut filters = equalities();
    filters.extend(others());
    filters
}

/// One at each level. Users and batches are rare; the other values are in one span of so many:
/// a version in 9, a team in 50, an exception in 400.
fn equalities() -> Vec<(&'static str, Call)> {
    let eq = |level, key, value: &str| call("eq", [attribute(level, key), text(value)]);
    vec![
        (
            "filter: span attribute",
            eq("span", "enduser.id", &user_name(42)),
        ),
        (
            "filter: resource attribute",
            eq("resource", "service.version", "1.3.0"),
        ),
        ("filter: scope attribute", eq("scope", "team", "orders")),
        (
            "filter: event attribute",
            eq("event", "exception.type", "LockTimeout"),
        ),
        (
            "filter: link attribute",
            eq("link", "messaging.batch.id", &batch_name(42)),
        ),
    ]
}

fn others() -> Vec<(&'static str, Call)> {
    let users = (0..20).map(|number| user_name(number * 997));
    let flag = || attribute("span", "feature.flag");
    let timeout = inner(
        "eq",
        [attribute("event", "exception.type"), text("TimeoutError")],
    );
    let late = inner("gt", [field("event", "timeSinceStart"), untyped("50ms")]);
    vec![
        (
            "filter: in 20 users",
            call("in", [attribute("span", "enduser.id"), texts(users)]),
        ),
        (
            "filter: status code 500 to 599",
            call(
                "and",
                [
                    inner("gte", [status(), int(500)]),
                    inner("lt", [status(), int(600)]),
                ],
            ),
        ),
        (UNNARROWED, unnarrowed()),
        (
            "filter: regex on a rare key",
            call("regex", [flag(), text("beta-.*out")]),
        ),
        (
            "filter: without a key, newest 20",
            call("not", [inner("exists", [flag()])]),
        ),
        (
            "filter: some event, two conditions",
            call("some", [each("event"), inner("and", [timeout, late])]),
        ),
    ]
}
