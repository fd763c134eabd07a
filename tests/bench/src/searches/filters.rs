//! Structured filters (Jaeger's RFC 0005), over all services.

use larder_proto::expression::v1::Call;
use larder_proto::expression::v1::expression::Term;
use larder_proto::storage::v2 as proto;

use super::expression::{attribute, call, each, field, inner, int, text, texts, untyped};
use super::legacy::is_ours;
use super::{Search, find};
use crate::generate::{batch_name, service_name, user_name};
use crate::truth::Seen;

/// A filter's name in the table, itself, and what it matches.
pub(super) type Filter = (&'static str, Call, fn(&Seen<'_>) -> bool);

/// The searches of a corpus of so many spans, within the window and depth of `all`.
pub(super) fn searches(spans: u64, all: &proto::TraceQueryParameters) -> Vec<Search> {
    filters(spans)
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
pub(super) const UNNARROWED: &str = "filter: regex on a common key, no match";

/// The filter of [`UNNARROWED`].
pub(super) fn unnarrowed() -> Call {
    call(
        "regex",
        [attribute("span", "url.path"), text("items/[a-z]")],
    )
}

/// What [`UNNARROWED`] matches: items have numbers.
pub(super) fn of_lettered_item(of: &Seen<'_>) -> bool {
    let path = of.text("url.path").unwrap_or_default();
    let items = path.match_indices("items/");
    let mut after = items.filter_map(|(at, it)| path.as_bytes().get(at + it.len()));
    after.any(u8::is_ascii_lowercase)
}

const STATUS: &str = "http.response.status_code";

fn status() -> Term {
    attribute("span", STATUS)
}

/// Whether the user's number is 997 times one of 0 to COUNT.
fn is_one_of<const COUNT: u32>(of: &Seen<'_>) -> bool {
    let user = of.text("enduser.id");
    let number = user.and_then(|user| user.strip_prefix("user-")?.parse().ok());
    number.is_some_and(|of: u32| of.is_multiple_of(997) && of < COUNT * 997)
}

/// That the user is the first of those, or one of the first few.
fn of_users(count: u32) -> [Term; 2] {
    let users = (0..count).map(|number| user_name(number * 997));
    [attribute("span", "enduser.id"), texts(users)]
}

/// As few users as have some ten traces of a service among so many spans: what is found does not grow with the spans, as it does for
/// one user.
fn few_users(spans: u64) -> Filter {
    fn is_match<const COUNT: u32>(of: &Seen<'_>) -> bool {
        is_ours(of) && is_one_of::<COUNT>(of)
    }
    let (count, matches): (u32, fn(&Seen<'_>) -> bool) = match spans / 1_000_000 {
        0 | 1 => (10, is_match::<10>),
        2..=4 => (5, is_match::<5>),
        5..=9 => (2, is_match::<2>),
        _ => (1, is_match::<1>),
    };
    let service = [
        attribute("resource", "service.name"),
        text(&service_name(7)),
    ];
    (
        "filter: service and few users, ten traces",
        call("and", [inner("eq", service), inner("in", of_users(count))]),
        matches,
    )
}

/// Whether `beta-.*out` is in it.
fn is_beta_out(flag: &str) -> bool {
    let rest = flag.split_once("beta-");
    rest.is_some_and(|(_, rest)| rest.contains("out"))
}

/// All filters.
pub(super) fn filters(spans: u64) -> Vec<Filter> {
    let mut filters = equalities();
    filters.push(few_users(spans));
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
    let flag = || attribute("span", "feature.flag");
    let timeout = inner(
        "eq",
        [attribute("event", "exception.type"), text("TimeoutError")],
    );
    let late = inner("gt", [field("event", "timeSinceStart"), untyped("50ms")]);
    vec![
        (
            "filter: in 20 users",
            call("in", of_users(20)),
            is_one_of::<20>,
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
        (
            "filter: status code above 599, no match",
            call("gt", [status(), int(599)]),
            |of| of.int(STATUS).is_some_and(|of| of > 599),
        ),
        (UNNARROWED, unnarrowed(), of_lettered_item),
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
