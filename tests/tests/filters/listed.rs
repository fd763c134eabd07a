//! One store with values that are listed, that are not, and that an older release wrote: the answers are those of judging every span.

use larder_oracle::Oracle;
use larder_proto::expression::v1::{Call, Expression};
use larder_tests::filter::{
    and, attr, attr_at, double, eq, exists, fulltext, gt, gte, in_list, int, list, lt, lte, ne,
    not, not_in, or, phrase, regex, some, string, typed, untyped,
};
use larder_tests::otlp::{IntoValue as _, ResourceBuilder, array, key_value, map, service, span};
use larder_tests::{Home, Larder, Options, Plugin, Query, Scene, http};
use opentelemetry_proto::tonic::common::v1::AnyValue;
use opentelemetry_proto::tonic::trace::v1::ResourceSpans;

use crate::ask::finds_spans;

/// Values that an attribute has in its own trace each.
fn values() -> Vec<AnyValue> {
    let long = format!("items/x {}", "beta out ".repeat(600));
    vec![
        "GET /items/x".into_value(),
        "POST /items/7".into_value(),
        "get".into_value(),
        "GET".into_value(),
        "POST".into_value(),
        "beta, check out".into_value(),
        "beta-checkout 5".into_value(),
        "5".into_value(),
        "5.5".into_value(),
        "".into_value(),
        "NaN".into_value(),
        5.into_value(),
        600.into_value(),
        (-3).into_value(),
        5.0.into_value(),
        5.5.into_value(),
        f64::NAN.into_value(),
        f64::INFINITY.into_value(),
        true.into_value(),
        b"x"[..].into_value(),
        array(["x".into_value()]),
        map([("x", 5.into_value())]),
        AnyValue { value: None },
        long.into_value(),
    ]
}

/// A trace for each value, with the attribute on the span, the resource or an event.
fn traces(scene: &Scene, first: u64) -> Vec<ResourceBuilder> {
    let one = |(number, value): (u64, AnyValue)| {
        let one = span(scene.trace(number), 1).at(scene.at(number));
        match number % 3 {
            0 => scene.resource("a").span(one.attribute("k", value)),
            1 => scene.resource("a").attribute("k", value).span(one),
            _ => scene
                .resource("a")
                .span(one.event("e", [key_value("k", value)])),
        }
    };
    // Three rounds, so that every value is at every level.
    let values = values();
    let rounds = (0..3).flat_map(|_| values.clone().into_iter().chain(["x".into_value()]));
    (first..).zip(rounds).map(one).collect()
}

/// So many values that no other is listed at the level of a span.
fn filler(scene: &Scene, trace: u64) -> ResourceBuilder {
    let one = |id: u64| {
        let value = format!("filler {id}");
        span(scene.trace(trace), id)
            .at(scene.at(trace))
            .attribute("k", value.as_str())
    };
    scene.resource("filler").spans((1..=10_050).map(one))
}

fn conditions(k: impl Fn() -> Expression) -> Vec<Call> {
    vec![
        regex(k(), string("x")),
        regex(k(), string("[0-9]")),
        regex(k(), string("(GET|POST) /")),
        regex(k(), string("beta-.*out")),
        regex(k(), string("items/[a-z]")),
        regex(k(), string("X+")),
        regex(k(), string("(?s).")),
        fulltext(k(), ["get"]),
        fulltext(k(), ["out", "beta"]),
        fulltext(k(), ["5"]),
        phrase(k(), ["check", "out"]),
        phrase(k(), ["out", "beta"]),
        phrase(k(), ["nobody", "has", "this"]),
        gt(k(), int(4)),
        gt(k(), int(600)),
        gte(k(), double(5.5)),
        lt(k(), int(0)),
        lte(k(), untyped("5")),
        gt(k(), untyped("GET")),
        lt(k(), string("GET")),
        gt(k(), typed("string", "5")),
        and([gte(k(), int(5)), lt(k(), int(600))]),
        ne(k(), string("GET")),
        ne(k(), int(5)),
        ne(k(), untyped("5")),
        eq(k(), untyped("5")),
        not_in(k(), list("", ["5", "GET", "x"])),
        in_list(k(), "string", ["POST", "5"]),
        exists(k()),
        not(exists(k())),
        not(regex(k(), string("x"))),
        and([
            exists(k()),
            not(regex(k(), string("x"))),
            not(eq(k(), int(5))),
        ]),
        or([regex(k(), string("X+")), gt(k(), int(599))]),
    ]
}

fn filters() -> Vec<Call> {
    let on_event = || attr_at("event", "k");
    let quantified = conditions(on_event).into_iter();
    let quantified = quantified.map(|condition| some("event", condition));
    let mut filters = conditions(|| attr("k"));
    filters.extend(conditions(|| attr_at("span", "k")));
    filters.extend(conditions(|| attr_at("resource", "k")));
    filters.extend(conditions(on_event));
    filters.extend(quantified);
    filters
}

/// Compares the answers to filters with those of the oracle.
async fn check(scene: &Scene, stored: &[ResourceSpans], filters: Vec<Call>) {
    let oracle = Oracle::new(stored);
    let mut rows = Vec::new();
    for filter in filters {
        let traces = oracle.find(&scene.query().filter(filter.clone()).0);
        let spans = oracle.find_spans(&scene.span_search().filter(filter.clone()).0);
        let of_spans: Vec<[u8; 16]> = spans
            .into_iter()
            .map(|one| one.span.trace_id[..].try_into().unwrap())
            .collect();
        rows.push((filter, scene.numbers(&traces), scene.numbers(&of_spans)));
    }
    finds_spans(scene, rows).await;
}

async fn store(scene: &Scene, stored: &mut Vec<ResourceSpans>, resources: Vec<ResourceBuilder>) {
    stored.extend(resources.iter().map(|resource| resource.0.clone()));
    scene.store(resources).await;
}

fn start(home: &Home, settings: &[(&str, &str)]) -> Larder {
    let options = settings
        .iter()
        .fold(Options::new(Plugin::Kv), |options, (name, value)| {
            options.environment(name, value)
        });
    options.start_in(home)
}

/// Stores traces once with each of these settings, a thousand numbers apart, and checks all filters after each.
pub(crate) async fn store_kinds(
    home: &Home,
    kinds: &[&[(&str, &str)]],
    traces: fn(&Scene, u64) -> Vec<ResourceBuilder>,
    filters: fn() -> Vec<Call>,
) -> (Scene, Vec<ResourceSpans>) {
    let mut stored = Vec::new();
    let mut scene: Option<Scene> = None;
    for (first, settings) in (1..).step_by(1000).zip(kinds) {
        let larder = start(home, settings);
        larder.lists_values().await;
        let next = match &scene {
            Some(before) => before.on(&larder).await,
            None => Scene::of(&larder).await,
        };
        let resources = traces(&next, first);
        store(&next, &mut stored, resources).await;
        check(&next, &stored, filters()).await;
        scene = Some(next);
        larder.kill();
    }
    (scene.expect("there are kinds"), stored)
}

pub(crate) const UNLISTED: (&str, &str) = ("LARDER_INGEST_DICTIONARY", "false");
pub(crate) const WITHOUT_WORDS: (&str, &str) = ("LARDER_INGEST_WORD_TERMS", "false");

#[tokio::test]
async fn a_store_with_every_kind_of_fragment_is_searched_in_all() {
    let home = Home::new();
    // As an older release, with and without words; listed, with and without words; and once no more values are listed.
    let kinds: [&[(&str, &str)]; 4] = [
        &[UNLISTED, WITHOUT_WORDS],
        &[UNLISTED],
        &[WITHOUT_WORDS],
        &[],
    ];
    let (scene, mut stored) = store_kinds(&home, &kinds, traces, filters).await;
    let first = 1 + 1000 * kinds.len() as u64;
    let larder = start(&home, &[]);
    larder.lists_values().await;
    let scene = scene.on(&larder).await;
    store(&scene, &mut stored, vec![filler(&scene, first)]).await;
    let resources = traces(&scene, first + 1);
    store(&scene, &mut stored, resources).await;
    check(&scene, &stored, filters()).await;
}

/// Asserts that the explanation of a filter has a part, and that as many spans are judged and traces match.
pub(crate) fn assert_cost(larder: &Larder, filter: &str, part: &str, count: u32) {
    let query = format!(r#"{{"filter": {filter}}}"#);
    let told = http::request(larder.admin(), ("POST", "/explain"), None, &query);
    assert_eq!(told.status, 200, "{}", told.body);
    for part in [
        part,
        &format!(" {count} spans judged"),
        &format!("{count} traces match"),
    ] {
        assert!(told.body.contains(part), "{part} in\n{}", told.body);
    }
}

/// What no listed value matches is decided without reading a span.
async fn what_no_listed_value_matches_costs_nothing(plugin: Plugin) {
    let larder = Options::new(plugin).start();
    larder.lists_values().await;
    let client = larder.client().await;
    for number in 1..=9_u8 {
        let one = span([number; 16], 1)
            .at(number.into())
            .attribute("k", if number == 9 { "POST" } else { "GET" })
            .attribute("n", i64::from(number));
        client.store([service("a").span(one)]).await;
    }
    let on = |op: &str, key: &str, value: &str, ty: &str| {
        format!(
            r#"{{"op": "{op}", "args": [{{"attr": {{"key": "{key}", "level": "span"}}}}, {{"scalar": {{"value": "{value}", "type": "{ty}"}}}}]}}"#
        )
    };
    for (filter, part, count) in [
        (on("regex", "k", "X", ""), "0 of 2 listed values match", 0),
        (on("regex", "k", "S", ""), "1 of 2 listed values match", 1),
        (on("gt", "n", "9", "int"), "0 of 9 listed values match", 0),
        (on("gt", "n", "8", "int"), "1 of 9 listed values match", 1),
        (
            on("ne", "k", "GET", "string"),
            "1 of 2 listed values match",
            1,
        ),
    ] {
        assert_cost(&larder, &filter, part, count);
    }
    let query = Query::default().filter(regex(attr_at("span", "k"), string("x")));
    assert!(client.find(&query).await.is_empty());
}

larder_tests::with_plugins!(what_no_listed_value_matches_costs_nothing: kv = Kv, memory = Memory);
