//! Structured filters (Jaeger's RFC 0005), over all services.

use larder_proto::expression::v1::Call;
use larder_proto::expression::v1::expression::Term;
use larder_proto::storage::v2 as proto;

use super::expression::{attribute, call, each, field, inner, int, text, texts, untyped};
use super::{Search, find};
use crate::generate::{batch_name, user_name};
use crate::truth::Seen;

/// A filter's name in the table, itself, and what it matches.
pub(super) type Filter = (&'static str, Call, fn(&Seen<'_>) -> bool);

/// The searches, within the window and depth of `all`.
pub(super) fn searches(all: &proto::TraceQueryParameters) -> Vec<Search> {
    filters()
        .into_iter()
        .map(|(name, filter, matches)| {
            let query = proto::TraceQueryParameters {
                filter: Some(filter),
                ..all.clone()
            };
            find(name, &query, matches)
        })
        .collect()
}

/// The costliest: no index narrows it, so that every span is judged and none matches.
pub(super) const UNNARROWED: &str = "filter: status code above 599, no match";

/// The filter of [`UNNARROWED`].
pub(super) fn unnarrowed() -> Call {
    call("gt", [status(), int(599)])
}

/// What [`UNNARROWED`] matches.
pub(super) fn above_599(of: &Seen<'_>) -> bool {
    of.int(STATUS).is_some_and(|of| of > 599)
}

const STATUS: &str = "http.response.status_code";

fn status() -> Term {
    attribute("span", STATUS)
}

/// Whether the user's number is 997 times one of 0 to 19.
fn is_one_of_20(user: &str) -> bool {
    let number = user.strip_prefix("user-").and_then(|of| of.parse().ok());
    number.is_some_and(|of: u32| of.is_multiple_of(997) && of < 20 * 997)
}

/// Whether `beta-.*out` is in it.
fn is_beta_out(flag: &str) -> bool {
    let rest = flag.split_once("beta-");
    rest.is_some_and(|(_, rest)| rest.contains("out"))
}

/// All filters.
pub(super) fn filters() -> Vec<Filter> {
    let mut filters = equalities();
    filters.extend(others());
    filters
}

/// One at each level. Users and batches are rare; the other values are in one span of so many:
/// a version in 9, a team in 50, an exception in 400.
fn equalities() -> Vec<Filter> {
    let eq = |level, key, value: &str| call("eq", [attribute(level, key), text(value)]);
    vec![
        (
            "filter: span attribute",
            eq("span", "enduser.id", &user_name(42)),
            |of| of.text("enduser.id") == Some("user-00042"),
        ),
        (
            "filter: resource attribute",
            eq("resource", "service.version", "1.3.0"),
            |of| of.of_resource("service.version") == Some("1.3.0"),
        ),
        (
            "filter: scope attribute",
            eq("scope", "team", "orders"),
            |of| of.of_scope("team") == Some("orders"),
        ),
        (
            "filter: event attribute",
            eq("event", "exception.type", "LockTimeout"),
            |of| {
                of.of_events("exception.type")
                    .any(|(_, of)| of == "LockTimeout")
            },
        ),
        (
            "filter: link attribute",
            eq("link", "messaging.batch.id", &batch_name(42)),
            |of| {
                of.of_links("messaging.batch.id")
                    .any(|of| of == "batch-042")
            },
        ),
    ]
}

fn others() -> Vec<Filter> {
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
            |of| of.text("enduser.id").is_some_and(is_one_of_20),
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
            |of| of.int(STATUS).is_some_and(|of| (500..600).contains(&of)),
        ),
        (UNNARROWED, unnarrowed(), above_599),
        (
            "filter: regex on a rare key",
            call("regex", [flag(), text("beta-.*out")]),
            |of| of.text("feature.flag").is_some_and(is_beta_out),
        ),
        (
            "filter: without a key, newest 20",
            call("not", [inner("exists", [flag()])]),
            |of| of.text("feature.flag").is_none(),
        ),
        (
            "filter: some event, two conditions",
            call("some", [each("event"), inner("and", [timeout, late])]),
            |of| {
                of.of_events("exception.type")
                    .any(|(after, of)| of == "TimeoutError" && after > 50_000_000)
            },
        ),
    ]
}
