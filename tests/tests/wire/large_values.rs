//! Values that are larger than a message, wherever a span has values: stored whole, judged whole, answered as far as a message holds them,
//! and marked. What is larger than a span may be is refused alone.

use larder_proto::expression::v1::Call;
use larder_proto::storage::v2::{FindTracesRequest, GetTraceParams, GetTracesRequest};
use larder_tests::filter::{attr_at, field, regex, some};
use larder_tests::http::count;
use larder_tests::otlp::{ResourceBuilder, SpanBuilder, array, key_value, map, service, span};
use larder_tests::{Client, Home, Larder, Options, Plugin, Query, Trace, method};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::TracesData;
use prost::Message as _;

const BIG: usize = 5_000_000;
const TRUNCATED: &str = "larder.truncated.big";

/// A span of a trace of its own that no message holds.
#[derive(Clone)]
struct Case {
    name: &'static str,
    built: ResourceBuilder,
    /// The key of the attribute that says so, and its value.
    mark: (String, usize),
    /// A filter that only the end of the large value matches.
    filter: Option<Call>,
}

/// A text whose end is unlike the rest.
fn big() -> String {
    format!("{}needle", "x".repeat(BIG - 6))
}

/// A span to give a large value to, and its resource.
fn start(place: &str) -> (ResourceBuilder, SpanBuilder) {
    let one = span([0; 16], 1).at(1000).lasting(5);
    (service("large"), one.attribute("place", place))
}

fn case(
    name: &'static str,
    built: ResourceBuilder,
    (key, len): (&str, usize),
    filter: Option<Call>,
) -> Case {
    Case {
        name,
        built,
        mark: (key.to_owned(), len),
        filter,
    }
}

/// One value of an attribute, at each level.
fn at_each_level() -> Vec<Case> {
    let attribute = || key_value("big", big());
    let of = |level: &str| regex(attr_at(level, "big"), "needle");
    let truncated = (TRUNCATED, BIG);
    let mut cases = Vec::new();

    let (resource, one) = start("span");
    let built = resource.span(one.attribute("big", big()));
    cases.push(case("span", built, truncated, Some(of("span"))));

    let (resource, one) = start("resource");
    let built = resource.attribute("big", big()).span(one);
    cases.push(case("resource", built, truncated, Some(of("resource"))));

    let (resource, one) = start("scope");
    let built = resource.scope("lib", "1", [attribute()]).span(one);
    cases.push(case("scope", built, truncated, Some(of("scope"))));

    let (resource, one) = start("event");
    let built = resource.span(one.event("e", [attribute()]));
    let filter = some("event", of("event"));
    cases.push(case("event", built, truncated, Some(filter)));

    let (resource, one) = start("link");
    let built = resource.span(one.link([9; 16], 9, [attribute()]));
    let filter = some("link", of("link"));
    cases.push(case("link", built, truncated, Some(filter)));
    cases
}

/// Values of other types, and a key.
fn of_each_type() -> Vec<Case> {
    let text = || key_value("", "t".repeat(50)).value.unwrap();
    let texts = array((0..100_000).map(|_| text()));
    let entries = map((0..100_000).map(|_| ("k", text())));
    let bytes = vec![0xff_u8; BIG];
    let key = format!("larder.truncated_key.{}", "k".repeat(64));
    let service_name = ("larder.truncated.service.name", BIG);

    let (resource, one) = start("bytes");
    let built = resource.span(one.attribute("big", &bytes[..]));
    let of_bytes = case("bytes", built, (TRUNCATED, BIG), None);
    let (resource, one) = start("array");
    let built = resource.span(one.attribute("big", texts));
    let of_array = case("array", built, (TRUNCATED, 54 * 100_000), None);
    let (resource, one) = start("map");
    let built = resource.span(one.attribute("big", entries));
    let of_map = case("map", built, (TRUNCATED, 59 * 100_000), None);
    let (resource, one) = start("key");
    let built = resource.span(one.attribute(&"k".repeat(BIG), true));
    let of_key = case("key", built, (&key, BIG), None);
    let (_, one) = start("service");
    let built = service(big()).span(one);
    let filter = regex(field("resource", "service"), "needle");
    let of_service = case("service", built, service_name, Some(filter));
    vec![of_bytes, of_array, of_map, of_key, of_service]
}

/// Texts that are no attributes.
fn in_each_field() -> Vec<Case> {
    let needle = |level: &str, name: &str| regex(field(level, name), "needle");
    let mark = |name: &str| format!("larder.truncated_field.{name}");
    let (name, state) = (mark("name"), mark("trace_state"));
    let (message, url) = (mark("status.message"), mark("schema_url"));

    let (resource, one) = start("name");
    let built = resource.span(one.name(&big()));
    let of_name = case("name", built, (&name, BIG), Some(needle("span", "name")));
    let (resource, one) = start("trace_state");
    let built = resource.span(one.trace_state(&big()));
    let filter = needle("span", "traceState");
    let of_state = case("trace_state", built, (&state, BIG), Some(filter));
    let (resource, one) = start("status");
    let built = resource.span(one.status_message(&big()));
    let filter = needle("span", "statusMessage");
    let of_status = case("status", built, (&message, BIG), Some(filter));
    let (resource, one) = start("schema_url");
    let built = resource.schema_url(&big()).span(one);
    let filter = needle("resource", "schemaURL");
    let of_url = case("schema_url", built, (&url, BIG), Some(filter));
    let (resource, one) = start("event_name");
    let built = resource.span(one.event(&big(), []));
    let of_event = case("event_name", built, (&name, BIG), None);
    vec![of_name, of_state, of_status, of_url, of_event]
}

/// Values of which each is small.
fn of_many_values() -> Vec<Case> {
    let (resource, one) = start("middling");
    let values = (0..50).map(|number| (format!("key {number}"), "m".repeat(100_000)));
    let one = values.fold(one, |one, (key, value)| one.attribute(&key, value));
    let mark = ("larder.truncated.key 49", 100_000);
    let middling = case("middling", resource.span(one), mark, None);
    let (resource, mut one) = start("many");
    let many = (0..300_000).map(|number| key_value(&format!("key {number:06}"), true));
    one.0.attributes.extend(many);
    let mark = ("larder.omitted.attributes", 0);
    let many = case("many", resource.span(one), mark, None);
    let (resource, mut one) = start("events");
    for number in 0..100_000 {
        one = one.event(&format!("event {number:050}"), []);
    }
    let mark = ("larder.omitted.events", 0);
    vec![
        middling,
        many,
        case("events", resource.span(one), mark, None),
    ]
}

fn cases() -> Vec<Case> {
    let mut cases = [
        at_each_level(),
        of_each_type(),
        in_each_field(),
        of_many_values(),
    ]
    .concat();
    for (number, case) in (1..).zip(&mut cases) {
        let one = &mut case.built.0.scope_spans[0].spans[0];
        one.trace_id = vec![number; 16];
    }
    cases
}

fn id(case: &Case) -> [u8; 16] {
    let one = &case.built.0.scope_spans[0].spans[0];
    one.trace_id[..].try_into().unwrap()
}

/// Another trace, which goes with each case in one Export.
fn normal(number: u8) -> ResourceBuilder {
    let one = span([100 + number; 16], 1).at(500).attribute("k", "normal");
    service("normal").span(one)
}

async fn store(client: &Client, cases: &[Case]) {
    for (number, case) in (0..).zip(cases) {
        client.store([case.built.clone(), normal(number)]).await;
    }
}

/// The attributes of a trace of one span at all levels.
fn attributes(trace: &Trace) -> Vec<KeyValue> {
    let resource_spans = &trace.data.resource_spans[0];
    let scope_spans = &resource_spans.scope_spans[0];
    let one = &scope_spans.spans[0];
    let resource = resource_spans.resource.iter().flat_map(|it| &it.attributes);
    let scope = scope_spans.scope.iter().flat_map(|it| &it.attributes);
    let events = one.events.iter().flat_map(|it| &it.attributes);
    let links = one.links.iter().flat_map(|it| &it.attributes);
    let all = resource.chain(scope).chain(&one.attributes);
    all.chain(events).chain(links).cloned().collect()
}

fn assert_marked(case: &Case, trace: &Trace) {
    let (name, (key, len)) = (case.name, &case.mark);
    assert_eq!(trace.span_ids(), [1], "{name}");
    assert_eq!(trace.messages, 1, "{name}");
    let all = attributes(trace);
    let mark = all.iter().find(|it| it.key == *key);
    let mark = mark.unwrap_or_else(|| panic!("{name}: no {key}"));
    let Some(Value::IntValue(told)) = mark.value.as_ref().and_then(|it| it.value.clone()) else {
        panic!("{name}: {mark:?}");
    };
    if *len == 0 {
        assert!((1..300_000).contains(&told), "{name}: {told}");
    } else {
        assert_eq!(usize::try_from(told).unwrap(), *len, "{name}");
    }
    let sent = &case.built.0.scope_spans[0].spans[0];
    let found = trace.spans()[0];
    assert_eq!(
        (found.start_time_unix_nano, found.end_time_unix_nano),
        (sent.start_time_unix_nano, sent.end_time_unix_nano)
    );
    let bytes = trace.data.encoded_len();
    assert!((3_900_000..4_194_304).contains(&bytes), "{name}: {bytes}");
}

/// Answered cut, found by what it has besides, and judged by the whole value.
async fn assert_cut(larder: &Larder, cases: &[Case]) {
    let client = larder.client().await;
    for (number, case) in (0..).zip(cases) {
        assert_marked(case, &client.get_trace(id(case)).await);
        let other = client.get_trace([100 + number; 16]).await;
        assert_eq!(other.data.resource_spans, [normal(number).0]);
        let by_place = Query::default().attribute("place", case.name);
        assert_eq!(client.find(&by_place).await, [id(case)], "{}", case.name);
        if let Some(filter) = &case.filter {
            let query = Query::default().filter(filter.clone());
            let found = client.find_trace_ids(&query).await.unwrap();
            let found: Vec<_> = found.into_iter().map(|it| it.trace_id).collect();
            assert_eq!(found, [id(case).to_vec()], "{}", case.name);
        }
    }
    let summaries = client
        .find_trace_summaries(&Query::default())
        .await
        .unwrap();
    assert_eq!(summaries.len(), 2 * cases.len());
    let cut = |place: &str| {
        let case = cases.iter().find(|case| case.name == place).unwrap();
        let mut summaries = summaries.iter();
        summaries.find(|it| it.trace_id == id(case)).unwrap()
    };
    let end = format!("… ({BIG} bytes)");
    assert!(cut("name").root_operation_name.ends_with(&end));
    assert!(cut("service").root_service_name.ends_with(&end));
    assert_eq!(
        cut("service").services[0].name,
        cut("service").root_service_name
    );

    // Names that no message holds are not listed, and do not hide the others.
    let mut services = client.services().await.unwrap();
    services.sort();
    assert_eq!(services, ["large", "normal"]);
    let operations = client.operations("large", "").await.unwrap();
    assert_eq!(operations.len(), 1);
    client
        .dependencies(Some(larder_tests::timestamp(1)), None)
        .await
        .unwrap();
}

async fn assert_told(larder: &Larder, cases: &[Case]) {
    let client = larder.client().await;
    let query = Query::default().attribute("place", cases[0].name);
    let body = FindTracesRequest {
        query: Some(query.0),
    };
    let (call, body) = (client.call(), body.encode_to_vec());
    let opened = call.open(method::FIND_TRACES, body.into()).await;
    let mut stream = opened.unwrap().into_inner();
    while stream.message().await.unwrap().is_some() {}
    let trailers = stream.trailers().await.unwrap().unwrap();
    let wanted = "list=values; left-out=1; setting=grpc.max_message_bytes";
    let told = trailers.get("larder-cut").unwrap();
    assert_eq!(told.to_str().unwrap(), wanted);
    let name = "larder_query_cut_answers_total";
    assert_ne!(count(&larder.metrics(), name, &["list=\"values\""]), 0);
    larder.wait_for_line("answers were cut").await;
}

/// As it was sent, from a server and to a client with a raised limit.
async fn assert_whole(larder: &Larder, cases: &[Case]) {
    let client = larder.client().await;
    for case in cases {
        let query = vec![GetTraceParams {
            trace_id: id(case).to_vec(),
            ..GetTraceParams::default()
        }];
        let body = GetTracesRequest { query }.encode_to_vec();
        let call = client.call().limit(32 << 20);
        let reply = call.stream(method::GET_TRACES, body.into()).await;
        reply.end.unwrap();
        assert_eq!(reply.messages.len(), 1, "{}", case.name);
        let found = TracesData::decode(&reply.messages[0][..]).unwrap();
        assert!(
            found.resource_spans == [case.built.0.clone()],
            "{}",
            case.name
        );
    }
}

fn raised(plugin: Plugin) -> Options {
    Options::new(plugin).environment("LARDER_GRPC_MAX_MESSAGE_BYTES", "16MiB")
}

async fn values_over_a_message_are_stored_whole_and_answered_cut(plugin: Plugin) {
    let cases = cases();
    let home = Home::new();
    let larder = Options::new(plugin).start_in(&home);
    store(&larder.client().await, &cases).await;
    assert_cut(&larder, &cases).await;
    assert_told(&larder, &cases).await;
    larder.kill();
    let larder = raised(plugin).start_in(&home);
    if plugin != Plugin::Kv {
        // It has lost all of them.
        store(&larder.client().await, &cases).await;
    }
    assert_whole(&larder, &cases).await;
    if plugin == Plugin::Kv {
        let (status, _) = larder.signal_until_exit("TERM").await;
        assert!(status.success());
        let exit = Options::new(plugin).arguments(["check"]).run_in(&home);
        assert!(exit.status.success(), "{exit:?}");
    }
}

larder_tests::with_plugins!(values_over_a_message_are_stored_whole_and_answered_cut: kv = Kv, memory = Memory, minimal = Minimal);

/// A resource that no message holds is stored and answered once for all spans of a trace.
async fn a_large_resource_of_many_spans_is_answered_with_all_of_them(plugin: Plugin) {
    let larder = Options::new(plugin).start();
    let client = larder.client().await;
    let spans = (1..=2000_u64).map(|number| span([1; 16], number).at(number));
    let large = service("large").attribute("big", big()).spans(spans);
    client.store([large]).await;
    let trace = client.get_trace([1; 16]).await;
    assert_eq!(trace.span_ids(), (1..=2000).collect::<Vec<_>>());
    assert_eq!(trace.messages, 1);
    assert!(attributes(&trace).iter().any(|it| it.key == TRUNCATED));
}

larder_tests::with_plugins!(a_large_resource_of_many_spans_is_answered_with_all_of_them: kv = Kv, memory = Memory, minimal = Minimal);

/// The second limit: refused alone and counted.
async fn what_is_larger_than_a_span_may_be_is_refused_alone(plugin: Plugin) {
    let larder = Options::new(plugin)
        .environment("LARDER_LIMITS_MAX_SPAN_BYTES", "6MiB")
        .start();
    let client = larder.client().await;
    let filled = |trace: u8, id, len: usize| {
        span([trace; 16], id)
            .at(5)
            .attribute("big", "x".repeat(len))
    };
    let refused = async |resources: Vec<ResourceBuilder>| {
        let answer = client.export(resources).await.unwrap();
        let partial = answer.partial_success.unwrap();
        assert!(partial.error_message.contains("limits.max_span_bytes"));
        partial.rejected_spans
    };
    let counted = || {
        let name = "larder_ingest_refused_spans_total";
        count(&larder.metrics(), name, &["reason=\"too_large\""])
    };
    let spans = [
        filled(1, 1, 7_000_000),
        filled(1, 2, 5_000_000),
        filled(1, 3, 10),
    ];
    assert_eq!(refused(vec![service("a").spans(spans)]).await, 1);
    assert_eq!(counted(), 1);
    assert_eq!(client.get_trace([1; 16]).await.span_ids(), [2, 3]);

    // The resource counts for each of its spans, and for those of no other.
    let large = service("b").attribute("big", "y".repeat(7_000_000));
    let large = large.spans([filled(2, 1, 10), filled(3, 2, 10)]);
    let normal = service("c").span(filled(2, 3, 10));
    assert_eq!(refused(vec![large, normal]).await, 2);
    assert_eq!(counted(), 3);
    assert_eq!(client.get_trace([2; 16]).await.span_ids(), [3]);
}

larder_tests::with_plugins!(what_is_larger_than_a_span_may_be_is_refused_alone: kv = Kv, memory = Memory, minimal = Minimal);

/// Where messages are small, a trace comes in more of them; only what no message holds is cut.
#[tokio::test]
async fn small_messages_hold_every_span() {
    let larder = Options::new(Plugin::Kv)
        .environment("LARDER_GRPC_MAX_MESSAGE_BYTES", "64KiB")
        .start();
    let client = larder.client().await;
    let spans = (1..=30_u64).map(|number| {
        let len = if number == 7 { 200_000 } else { 20_000 };
        span([1; 16], number)
            .at(number)
            .attribute("big", "x".repeat(len))
    });
    let spans: Vec<_> = spans.collect();
    client.store([service("a").spans(spans.clone())]).await;
    let trace = client.get_trace([1; 16]).await;
    assert_eq!(trace.span_ids(), (1..=30).collect::<Vec<_>>());
    assert!(trace.messages > 10, "{}", trace.messages);
    for (found, sent) in trace.spans().into_iter().zip(&spans) {
        assert_eq!(*found == sent.0, sent.0.span_id[7] != 7);
    }
}
