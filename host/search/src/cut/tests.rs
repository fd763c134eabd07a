#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use larder_oracle::otlp::{
    ResourceBuilder, SpanBuilder, SpanRef, array, key_value, map, resource, service, span, spans_of,
};
use larder_proto::otlp::pdata;
use larder_proto::testing::bytes_field;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, TracesData};
use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message as _;

use super::*;

const TRACE: [u8; 16] = [7; 16];

fn encode(resource_spans: Vec<ResourceSpans>) -> Vec<u8> {
    TracesData { resource_spans }.encode_to_vec()
}

/// The decoded messages of what is fitted, and the number of cut values.
fn fitted(traces: &[u8], limit: usize) -> (Vec<TracesData>, usize) {
    let Fitted { messages, values } = fit(traces, limit).unwrap();
    let decoded = messages.iter().map(|message| {
        assert!(message.len() <= limit, "{} bytes", message.len());
        assert!(pdata::decodes(message), "Jaeger cannot read it");
        TracesData::decode(&message[..]).unwrap()
    });
    (decoded.collect(), values)
}

/// The only span of what fits one message, with its headers.
fn one(built: ResourceBuilder, limit: usize) -> (ResourceSpans, usize) {
    let (mut messages, values) = fitted(&encode(vec![built.0]), limit);
    assert_eq!(messages.len(), 1);
    (messages.remove(0).resource_spans.remove(0), values)
}

fn text(attributes: &[KeyValue], key: &str) -> String {
    let one = attributes.iter().find(|attribute| attribute.key == key);
    let value = one.unwrap().value.clone().unwrap().value.unwrap();
    match value {
        any_value::Value::StringValue(text) => text,
        any_value::Value::IntValue(number) => number.to_string(),
        other => format!("{other:?}"),
    }
}

#[test]
fn the_largest_values_are_cut_to_one_length_and_the_others_stay() {
    let one_span = span(TRACE, 1)
        .attribute("largest", "ä".repeat(20_000))
        .attribute("large", "b".repeat(9_000))
        .attribute("middle", "c".repeat(2_000));
    let (found, values) = one(service("shop").span(one_span), 10_000);
    assert_eq!(values, 2);
    let attributes = &found.scope_spans[0].spans[0].attributes;
    let keys: Vec<_> = attributes.iter().map(|it| it.key.as_str()).collect();
    assert_eq!(
        keys,
        [
            "largest",
            "larder.truncated.largest",
            "large",
            "larder.truncated.large",
            "middle"
        ]
    );
    let lens = ["largest", "large", "middle"].map(|key| text(attributes, key).len());
    assert!((3000..4000).contains(&lens[0]), "{lens:?}");
    assert!(lens[0].abs_diff(lens[1]) < 8, "{lens:?}");
    assert_eq!(lens[2], 2000);
    assert_eq!(text(attributes, "larder.truncated.largest"), "40000");
    assert_eq!(text(attributes, "larder.truncated.large"), "9000");
}

#[test]
fn every_text_is_cut_and_marked_where_it_stands() {
    let big = "x".repeat(20_000);
    let fields = |attributes: &[KeyValue]| {
        let marks = attributes
            .iter()
            .filter(|it| it.key.starts_with("larder.truncated_field."));
        let marks = marks.map(|it| (it.key.clone(), text(attributes, &it.key)));
        marks.collect::<Vec<_>>()
    };
    let mark = |field: &str| {
        (
            format!("larder.truncated_field.{field}"),
            "20000".to_owned(),
        )
    };
    let one_span = span(TRACE, 1)
        .name(&big)
        .trace_state(&big)
        .status_message(&big)
        .event(&big, [])
        .link(TRACE, 2, []);
    let mut built = service("shop")
        .schema_url(&big)
        .scope(&big, &big, [])
        .scope_schema_url(&big)
        .span(one_span);
    built.0.scope_spans[0].spans[0].links[0].trace_state = big.clone();
    let (found, values) = one(built, 30_000);
    assert_eq!(values, 9);
    let resource = found.resource.unwrap();
    assert_eq!(fields(&resource.attributes), [mark("schema_url")]);
    let scope = found.scope_spans[0].scope.as_ref().unwrap();
    assert_eq!(
        fields(&scope.attributes),
        [mark("name"), mark("version"), mark("schema_url")]
    );
    let one = &found.scope_spans[0].spans[0];
    let mut marks = fields(&one.attributes);
    marks.sort();
    let mut wanted = [mark("name"), mark("trace_state"), mark("status.message")];
    wanted.sort();
    assert_eq!(marks, wanted);
    assert_eq!(fields(&one.events[0].attributes), [mark("name")]);
    assert_eq!(fields(&one.links[0].attributes), [mark("trace_state")]);
}

#[test]
fn arrays_and_maps_keep_their_first_entries_and_keys_their_start() {
    let entries = (0..1000).map(|number| key_value(&format!("k{number}"), "v".repeat(50)));
    let entries: Vec<_> = entries
        .map(|entry| (entry.key, entry.value.unwrap()))
        .collect();
    let one_span = span(TRACE, 1)
        .attribute("array", array(entries.iter().map(|it| it.1.clone())))
        .attribute("map", map(entries.iter().map(|it| (&*it.0, it.1.clone()))))
        .attribute(&"key".repeat(5000), true);
    let (found, values) = one(service("shop").span(one_span), 9_000);
    assert_eq!(values, 3);
    let attributes = &found.scope_spans[0].spans[0].attributes;
    let value = |at: usize| attributes[at].value.clone().unwrap().value.unwrap();
    let any_value::Value::ArrayValue(cut) = value(0) else {
        unreachable!()
    };
    assert!(
        (20..100).contains(&cut.values.len()),
        "{}",
        cut.values.len()
    );
    assert_eq!(cut.values[0], entries[0].1);
    assert_eq!(attributes[1].key, "larder.truncated.array");
    let any_value::Value::KvlistValue(cut) = value(2) else {
        unreachable!()
    };
    assert!(
        (20..100).contains(&cut.values.len()),
        "{}",
        cut.values.len()
    );
    assert_eq!(cut.values[9], key_value("k9", "v".repeat(50)));
    assert_eq!(attributes[3].key, "larder.truncated.map");
    assert!(attributes[4].key.starts_with("keykey") && attributes[4].key.len() > 1000);
    let mark = format!("larder.truncated_key.{}", &"key".repeat(30)[..64]);
    assert_eq!(text(attributes, &mark), "15000");
}

#[test]
fn of_too_many_values_those_that_fit_are_kept_and_the_others_counted() {
    let attributes = (0..2000_i64).map(|number| key_value(&format!("key {number}"), number));
    let attributes: Vec<_> = attributes.collect();
    let mut one_span = span(TRACE, 1);
    one_span.0.attributes = attributes.clone();
    for number in 0..500_u64 {
        one_span = one_span.event(&format!("event {number}"), []);
        one_span = one_span.link(TRACE, number, []);
    }
    let mut built = resource();
    built.0.resource.as_mut().unwrap().attributes = attributes.clone();
    let (found, values) = one(
        built.attribute("service.name", "shop").span(one_span),
        9_000,
    );
    let header = found.resource.unwrap().attributes;
    assert_eq!(header[0], key_value("service.name", "shop"));
    assert_eq!(header[1], attributes[0]);
    let left_out = |attributes: &[KeyValue], of: &str| {
        text(attributes, &format!("larder.omitted.{of}"))
            .parse::<usize>()
            .unwrap()
    };
    let of_resource = left_out(&header, "attributes");
    assert_eq!(header.len() - 2 + of_resource, 2000);
    let one = &found.scope_spans[0].spans[0];
    let kept = one.attributes.iter().filter(|it| it.key.starts_with("key"));
    let kept = kept.count();
    assert!(kept > 100, "{kept}");
    let [of_span, events, links] =
        ["attributes", "events", "links"].map(|of| left_out(&one.attributes, of));
    assert_eq!(kept + of_span, 2000);
    assert_eq!(one.events.len() + events, 500);
    assert_eq!(one.links.len() + links, 500);
    assert_eq!(values, of_resource + of_span + events + links);
}

/// Spans are split between messages before anything of them is cut, and a large header is cut once for all.
#[test]
fn spans_are_split_before_they_are_cut() {
    let spans =
        |len: usize| (1..=20).map(move |id| span(TRACE, id).attribute("text", "x".repeat(len)));
    let all = encode(vec![service("shop").spans(spans(1000)).0]);
    let (messages, values) = fitted(&all, 8_000);
    assert!((3..=6).contains(&messages.len()), "{}", messages.len());
    assert_eq!(values, 0);
    let found: Vec<_> = messages.iter().flat_map(|it| &it.resource_spans).collect();
    let found: Vec<_> = spans_of(found).map(|one| one.span.clone()).collect();
    assert_eq!(found, spans(1000).map(|one| one.0).collect::<Vec<_>>());

    let large = service("shop").attribute("big", "y".repeat(50_000));
    let (messages, values) = fitted(&encode(vec![large.spans(spans(100)).0]), 8_000);
    assert_eq!((messages.len(), values), (1, 1));
    assert_eq!(messages[0].resource_spans[0].scope_spans[0].spans.len(), 20);
}

/// Fields that OTLP does not define, and texts that are sent again and again, cannot make a message too large.
#[test]
fn odd_spans_fit() {
    let ids = [bytes_field(1, &TRACE), bytes_field(2, &[1; 8])].concat();
    let unknown = bytes_field(1001, &[b'u'; 10]).repeat(5000);
    let names = bytes_field(5, &[b'n'; 100]).repeat(2000);
    let status = bytes_field(15, &bytes_field(2, &[b's'; 100]).repeat(2000));
    for odd in [
        bytes_field(1001, &b"u".repeat(50_000)),
        unknown,
        names,
        status,
    ] {
        let raw = [&ids[..], &odd].concat();
        let traces = bytes_field(1, &bytes_field(2, &bytes_field(2, &raw)));
        let (messages, _) = fitted(&traces, 5_000);
        let one = &messages[0].resource_spans[0].scope_spans[0].spans[0];
        assert_eq!(
            (&one.trace_id[..], &one.span_id[..]),
            (&TRACE[..], &[1; 8][..])
        );
    }
}

/// Text of some length, mostly short.
fn sized() -> impl Strategy<Value = String> {
    let len = prop_oneof![8 => 0..40_usize, 3 => 200..400_usize, 2 => 1000..9000_usize];
    (
        len,
        prop_oneof![Just("a"), Just("ö"), Just("€"), Just("😀")],
    )
        .prop_map(|(len, letter)| letter.repeat(len / letter.len()))
}

fn attributes() -> impl Strategy<Value = Vec<KeyValue>> {
    let value = prop_oneof![
        4 => sized().prop_map(|text| key_value("", text)),
        1 => vec(sized(), 0..8).prop_map(|texts| {
            key_value("", array(texts.iter().map(|text| key_value("", &**text).value.unwrap())))
        }),
        1 => vec((sized(), sized()), 0..8).prop_map(|entries| {
            let entries = entries.iter();
            let entries = entries.map(|it| (&*it.0, key_value("", &*it.1).value.unwrap()));
            key_value("", map(entries))
        }),
        1 => any::<i64>().prop_map(|number| key_value("", number)),
    ];
    let one = (sized(), value)
        .prop_map(|(key, value)| KeyValue { key, ..value })
        .boxed();
    prop_oneof![4 => vec(one.clone(), 0..5), 1 => vec(one, 0..80)]
}

fn spans() -> impl Strategy<Value = Vec<SpanBuilder>> {
    let events = vec((sized(), attributes()), 0..4);
    let one = (sized(), sized(), sized(), attributes(), events);
    let one = one.prop_map(|(name, state, message, attributes, events)| {
        let mut one = span(TRACE, 1)
            .name(&name)
            .trace_state(&state)
            .status_message(&message);
        one.0.attributes = attributes;
        for (name, attributes) in events {
            one = one.event(&name, attributes.clone());
            one = one.link(TRACE, 9, attributes);
        }
        one
    });
    vec(one, 1..8)
}

fn traces() -> impl Strategy<Value = Vec<ResourceSpans>> {
    let parts = (attributes(), sized(), sized(), attributes(), spans());
    let one = parts.prop_map(|(of_resource, url, scope, of_scope, spans)| {
        let mut built = resource().schema_url(&url);
        built.0.resource.as_mut().unwrap().attributes = of_resource;
        built
            .scope(&scope, &url, of_scope)
            .scope_schema_url(&scope)
            .spans(spans)
            .0
    });
    vec(one, 1..4).prop_map(|mut all| {
        let spans = all.iter_mut().flat_map(|it| &mut it.scope_spans);
        for (id, span) in (1_u64..).zip(spans.flat_map(|it| &mut it.spans)) {
            span.span_id = id.to_be_bytes().to_vec();
        }
        all
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    /// No message is over the limit or unreadable, and every span comes once, in its place, with its ids and times. What is not cut is as it
    /// was.
    #[test]
    fn every_span_fits(all in traces(), limit in 3_000..40_000_usize) {
        let sent: Vec<_> = spans_of(&all).map(SpanRef::alone).collect();
        let (messages, values) = fitted(&encode(all.clone()), limit);
        let found: Vec<_> = messages.iter().flat_map(|it| &it.resource_spans).collect();
        let found: Vec<_> = spans_of(found).map(SpanRef::alone).collect();
        let id = |one: &ResourceSpans| {
            let one = &one.scope_spans[0].spans[0];
            (one.span_id.clone(), one.trace_id.clone(), one.start_time_unix_nano)
        };
        let ids = |all: &[ResourceSpans]| all.iter().map(id).collect::<Vec<_>>();
        prop_assert_eq!(ids(&found), ids(&sent));
        if values == 0 {
            prop_assert_eq!(&found, &sent);
        } else {
            prop_assert_ne!(&found, &sent);
        }
        for (found, sent) in found.iter().zip(&sent) {
            let (found, sent) = (&found.scope_spans[0].spans[0], &sent.scope_spans[0].spans[0]);
            prop_assert!(sent.name.starts_with(&found.name));
            for one in &found.attributes {
                let is_mark = one.key.starts_with("larder.");
                let is_cut = |it: &&KeyValue| it.key.starts_with(&one.key);
                prop_assert!(is_mark || sent.attributes.iter().any(|it| is_cut(&it)));
            }
        }
    }
}
