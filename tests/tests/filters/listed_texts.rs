//! Names of spans and events, and status messages: filters on them have the answers of judging every span, and cost what they match.

use larder_proto::expression::v1::{Call, Expression};
use larder_tests::filter::{
    and, eq, exists, field, gte, in_list, list, lt, ne, not, not_in, or, regex, some, string,
};
use larder_tests::otlp::{ResourceBuilder, SpanBuilder, service, span};
use larder_tests::{Home, Options, Plugin, Scene};

use crate::listed::{UNLISTED, WITHOUT_WORDS, assert_cost, store_kinds};

/// Texts that a name, a message and the name of an event have in their own traces each.
const TEXTS: [&str; 8] = [
    "GET /items/x",
    "POST /items/7",
    "get",
    "GET",
    "",
    "beta, check out",
    "empty-span-name",
    "x",
];

/// A trace for each text, with it as the name, the message or the name of an event, and one without any.
fn traces(scene: &Scene, first: u64) -> Vec<ResourceBuilder> {
    let long = format!("items/x {}", "beta out ".repeat(600));
    let texts = TEXTS.into_iter().chain([long.as_str()]);
    let texts: Vec<&str> = texts.flat_map(|text| [text; 3]).collect();
    let plain = scene.resource("a").span(one(scene, first).name("plain"));
    let with_text = |(number, text): (u64, &&str)| {
        let one = one(scene, number);
        let one = match number % 3 {
            0 => one.name(text),
            1 => one.name("plain").status_message(text),
            _ => one.name("plain").event("e", []).event(text, []),
        };
        scene.resource("a").span(one)
    };
    let with_texts = (first + 1..).zip(&texts).map(with_text);
    std::iter::once(plain).chain(with_texts).collect()
}

fn one(scene: &Scene, number: u64) -> SpanBuilder {
    span(scene.trace(number), 1).at(scene.at(number))
}

fn conditions(text: impl Fn() -> Expression) -> Vec<Call> {
    vec![
        regex(text(), string("x")),
        regex(text(), string("(GET|POST) /")),
        regex(text(), string("items/[a-z]")),
        regex(text(), string("X+")),
        gte(text(), string("x")),
        lt(text(), string("GET")),
        eq(text(), string("GET")),
        eq(text(), string("")),
        in_list(text(), "string", ["get", "x", "unknown"]),
        ne(text(), string("GET")),
        not_in(text(), list("", ["plain", "GET", "e"])),
        exists(text()),
        not(exists(text())),
        not(regex(text(), string("[a-z]"))),
        and([exists(text()), not(regex(text(), string("[a-z]")))]),
        not(or([
            eq(text(), string("plain")),
            regex(text(), string("er")),
        ])),
        or([regex(text(), string("X+")), eq(text(), string("get"))]),
    ]
}

fn filters() -> Vec<Call> {
    let event = || field("event", "name");
    let quantified = conditions(event).into_iter();
    let quantified = quantified.map(|condition| some("event", condition));
    let mut filters = conditions(|| field("span", "name"));
    filters.extend(conditions(|| field("span", "statusMessage")));
    filters.extend(conditions(event));
    filters.extend(quantified);
    filters
}

#[tokio::test]
async fn texts_are_found_in_every_kind_of_fragment() {
    // As an older release, and listed, without words and with them. One text of each kind is too long to be listed.
    let kinds: [&[(&str, &str)]; 3] = [&[UNLISTED], &[WITHOUT_WORDS], &[]];
    store_kinds(&Home::new(), &kinds, traces, filters).await;
}

/// What no listed text matches is decided without reading a span.
async fn what_no_listed_text_matches_costs_nothing(plugin: Plugin) {
    let larder = Options::new(plugin).start();
    larder.lists_values().await;
    let client = larder.client().await;
    for number in 1..=9_u8 {
        let (name, message, event) = match number {
            9 => ("POST", "refused by peer", "exception"),
            _ => ("GET", "timed out", "retry"),
        };
        let one = span([number; 16], 1).at(number.into()).name(name);
        let one = one.status_message(message).event(event, []);
        client.store([service("a").span(one)]).await;
    }
    let on = |op: &str, (level, name): (&str, &str), text: &str| {
        format!(
            r#"{{"op": "{op}", "args": [{{"field": {{"level": "{level}", "name": "{name}"}}}}, {{"scalar": {{"value": "{text}"}}}}]}}"#
        )
    };
    let (name, message, event) = (
        ("span", "name"),
        ("span", "statusMessage"),
        ("event", "name"),
    );
    for (filter, part, count) in [
        (
            on("regex", name, "X"),
            "span.name: 0 of 2 listed values match",
            0,
        ),
        (
            on("regex", name, "S"),
            "span.name: 1 of 2 listed values match",
            1,
        ),
        (
            on("ne", name, "GET"),
            "span.name: 1 of 2 listed values match",
            1,
        ),
        (
            on("regex", message, "reset"),
            "span.statusMessage: 0 of 2 listed values match",
            0,
        ),
        (
            on("ne", message, "timed out"),
            "span.statusMessage: 1 of 2 listed values match",
            1,
        ),
        (on("eq", message, "refused by peer"), "one of 5 terms", 1),
        (
            on("regex", event, "retries"),
            "event.name: 0 of 2 listed values match",
            0,
        ),
        (
            on("regex", event, "exc"),
            "event.name: 1 of 2 listed values match",
            1,
        ),
    ] {
        assert_cost(&larder, &filter, part, count);
    }
}

larder_tests::with_plugins!(what_no_listed_text_matches_costs_nothing: kv = Kv, memory = Memory);
