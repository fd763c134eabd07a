//! The timed searches, each with its question.

use bytes::Bytes;
use larder_oracle::Query;
use larder_oracle::corpus::{Corpus, batch_name, operation_name, service_name, user_name};
use larder_oracle::filter::{
    and, attr_at, eq, exists, field, gt, gte, in_list, int, lt, not, regex, some, string,
};
use larder_proto::expression::v1::Call;

use crate::queries::within;
use crate::question::Question;

#[cfg(test)]
mod tests;

/// One kind of search.
pub(crate) struct Search {
    /// Its name in the table.
    pub(crate) name: &'static str,
    pub(crate) method: &'static str,
    pub(crate) request: Bytes,
    /// Its question, from which the expected answer is computed.
    pub(crate) question: Question,
}

impl Search {
    pub(crate) fn new(name: &'static str, question: Question) -> Self {
        Self {
            name,
            method: question.method(),
            request: question.request(),
            question,
        }
    }
}

/// Returns all searches, for a corpus that is written.
pub(crate) fn searches(corpus: &Corpus) -> Vec<Search> {
    let mut searches = finds(corpus);
    searches.extend(others(corpus));
    let filters = filters(corpus.identity().1).into_iter();
    searches.extend(filters.map(|(name, filter)| find(name, within(corpus, 20).filter(filter))));
    searches
}

/// Returns the costliest search for a server: its name in the table, and a request of `FindTraces`.
pub(crate) fn costliest(corpus: &Corpus) -> (&'static str, Bytes) {
    let search = find(UNNARROWED, within(corpus, 20).filter(unnarrowed()));
    (search.name, search.request)
}

fn find(name: &'static str, query: Query) -> Search {
    Search::new(name, Question::Traces(query))
}

/// A query for the newest traces of the searched service.
fn of_service(corpus: &Corpus, depth: i32) -> Query {
    within(corpus, depth).service(service_name(7))
}

/// Searches by Jaeger's legacy fields.
fn finds(corpus: &Corpus) -> Vec<Search> {
    let (from, to) = corpus.window();
    let ours = || of_service(corpus, 20);
    let all = || within(corpus, 20);
    let operation = ours().operation(operation_name(3));
    let first_tenth = ours().not_after(from + (to - from) / 10);
    let status = ours().attribute("http.response.status_code", "500");
    let flag = |value: &str| all().attribute("feature.flag", value);
    vec![
        find("service, newest 20", ours()),
        find("service and operation", operation),
        find("service, at least 800 ms", ours().at_least(800_000_000)),
        find("service, first tenth of time", first_tenth),
        find("service, 1,000 whole traces", ours().depth(1_000)),
        find("all services, newest 20", all()),
        find("service and status code 500", status),
        find("service and error", ours().attribute("error", "true")),
        find("service and kind", ours().attribute("span.kind", "server")),
        find(
            "service and user, rare",
            ours().attribute("enduser.id", user_name(42)),
        ),
        find("all services, rare attribute", flag("beta-checkout")),
        find("all services, no match", flag("nobody-has-this")),
    ]
}

/// All searches other than `FindTraces`.
fn others(corpus: &Corpus) -> Vec<Search> {
    let (from, to) = corpus.window();
    let summaries = |depth| Question::Summaries(of_service(corpus, depth));
    vec![
        Search::new(
            "trace ids of a service, 20",
            Question::Ids(of_service(corpus, 20)),
        ),
        Search::new("summaries of a service, 20", summaries(20)),
        Search::new("summaries of a service, 1,000", summaries(1_000)),
        Search::new("trace by id", Question::Trace(corpus.trace_id(1))),
        Search::new("services", Question::Services),
        Search::new(
            "operations of a service",
            Question::Operations(service_name(7)),
        ),
        Search::new(
            "dependencies, all of it",
            Question::Dependencies(from - 1, to),
        ),
    ]
}

/// The costliest search: no index narrows it, so every span is evaluated and none matches.
const UNNARROWED: &str = "filter: regex on a common key, no match";

/// The filter of [`UNNARROWED`].
fn unnarrowed() -> Call {
    regex(attr_at("span", "url.path"), string("items/[a-z]"))
}

/// Matches the first `count` users whose numbers are multiples of 997.
fn of_users(count: u32) -> Call {
    let users: Vec<String> = (0..count).map(|number| user_name(number * 997)).collect();
    let users = users.iter().map(String::as_str);
    in_list(attr_at("span", "enduser.id"), "string", users)
}

/// Matches so few users that they have about ten traces of a service among `spans` spans. Unlike for one user, the number of results then
/// does not grow with the spans.
fn few_users(spans: u64) -> Call {
    let users = match spans / 1_000_000 {
        0 | 1 => 10,
        2..=4 => 5,
        5..=9 => 2,
        _ => 1,
    };
    let service = attr_at("resource", "service.name");
    and([eq(service, string(&service_name(7))), of_users(users)])
}

/// Structured filters (Jaeger's RFC 0005) over all services of this many spans, each with its name in the table. Users and batches are
/// rare; a version is in one span of 9, a team in 50, an exception in 400.
fn filters(spans: u64) -> Vec<(&'static str, Call)> {
    let equal = |level, key, value: &str| eq(attr_at(level, key), string(value));
    let status = || attr_at("span", "http.response.status_code");
    let flag = || attr_at("span", "feature.flag");
    let timeout = equal("event", "exception.type", "TimeoutError");
    let late = gt(field("event", "timeSinceStart"), "50ms");
    vec![
        (
            "filter: span attribute",
            equal("span", "enduser.id", &user_name(42)),
        ),
        (
            "filter: resource attribute",
            equal("resource", "service.version", "1.3.0"),
        ),
        ("filter: scope attribute", equal("scope", "team", "orders")),
        (
            "filter: event attribute",
            equal("event", "exception.type", "LockTimeout"),
        ),
        (
            "filter: link attribute",
            equal("link", "messaging.batch.id", &batch_name(42)),
        ),
        (
            "filter: service and few users, ten traces",
            few_users(spans),
        ),
        ("filter: in 20 users", of_users(20)),
        (
            "filter: status code 500 to 599",
            and([gte(status(), int(500)), lt(status(), int(600))]),
        ),
        (
            "filter: status code above 599, no match",
            gt(status(), int(599)),
        ),
        (UNNARROWED, unnarrowed()),
        (
            "filter: regex on a rare key",
            regex(flag(), string("beta-.*out")),
        ),
        ("filter: without a key, newest 20", not(exists(flag()))),
        (
            "filter: some event, two conditions",
            some("event", and([timeout, late])),
        ),
    ]
}
