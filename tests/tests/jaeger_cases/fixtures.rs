//! The traces for Jaeger's searches, modelled on its fixtures: service, operation, duration, and the levels of the tags (span, event,
//! resource, scope, link).

use larder_tests::otlp::{IntoValue, ResourceBuilder, SpanBuilder, key_value, service, span};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;

/// 2017-01-26T16:46:31.639875Z, the start of nearly all of Jaeger's spans.
pub(crate) const START: u64 = 1_485_449_191_639_875_000;

/// One trace.
pub(crate) struct Fixture {
    /// The name in Jaeger's list.
    pub(crate) name: &'static str,
    pub(crate) trace: [u8; 16],
    pub(crate) resources: Vec<ResourceBuilder>,
}

fn id(low: u64) -> [u8; 16] {
    u128::from(low).to_be_bytes()
}

fn fixture(name: &'static str, low: u64, resources: Vec<ResourceBuilder>) -> Fixture {
    Fixture {
        name,
        trace: id(low),
        resources,
    }
}

/// Starts the service of query `number`.
fn query(number: u64) -> ResourceBuilder {
    service(format!("query{number:02}-service"))
}

/// Starts a bare span of trace `low`.
fn bare(low: u64, number: u64, name: &str, lasting: u64) -> SpanBuilder {
    span(id(low), number).name(name).at(START).lasting(lasting)
}

/// Starts a span with two empty events.
fn plain(low: u64, number: u64, name: &str, lasting: u64) -> SpanBuilder {
    bare(low, number, name, lasting).event("", []).event("", [])
}

/// Returns the tag that Jaeger calls `sameplacetag1` and so on.
fn tag(number: u8) -> KeyValue {
    numbered("sameplacetag", number)
}

fn numbered(prefix: &str, number: u8) -> KeyValue {
    let key = format!("{prefix}{number}");
    match number {
        1 => key_value(&key, "sameplacevalue"),
        2 => key_value(&key, 123),
        3 => key_value(&key, 72.5),
        _ => key_value(&key, true),
    }
}

fn blob(key: &str) -> KeyValue {
    key_value(key, &[0, 0, 0x30, 0x39][..])
}

/// Returns all four tags and the blob.
fn all(prefix: &str, blob_key: &str) -> [KeyValue; 5] {
    let [one, two, three, four] = [1, 2, 3, 4].map(|number| numbered(prefix, number));
    [one, two, four, three, blob(blob_key)]
}

fn tags() -> [KeyValue; 5] {
    all("sameplacetag", "blob")
}

fn with(mut span: SpanBuilder, tags: impl IntoIterator<Item = KeyValue>) -> SpanBuilder {
    span.0.attributes.extend(tags);
    span
}

fn on(resource: ResourceBuilder, tags: impl IntoIterator<Item = KeyValue>) -> ResourceBuilder {
    tags.into_iter().fold(resource, |resource, tag| {
        let value = tag.value.unwrap_or_default().into_value();
        resource.attribute(&tag.key, value)
    })
}

fn links(span: SpanBuilder, first: impl IntoIterator<Item = KeyValue>) -> SpanBuilder {
    let kind = |kind: &str| key_value("opentracing.ref_type", kind);
    span.link(id(0xff), 0xff, [kind("child_of")].into_iter().chain(first))
        .link(id(1), 2, [kind("child_of")])
        .link(id(1), 2, [kind("follows_from")])
}

/// Returns all fixtures.
pub(crate) fn fixtures() -> Vec<Fixture> {
    let mut fixtures = unlike_tags();
    fixtures.extend(one_spot());
    fixtures.extend(many_spots());
    fixtures
}

/// Fixtures that do not differ by tags, and those that no search finds.
fn unlike_tags() -> Vec<Fixture> {
    let mut late = plain(5, 1, "operation-list-test2", 5000);
    let mut early = plain(5, 2, "operation-list-test3", 5000);
    for (span, before) in [(&mut late, 60_180), (&mut early, 60_600)] {
        span.0.start_time_unix_nano -= before * 1_000_000_000;
        span.0.end_time_unix_nano -= before * 1_000_000_000;
    }
    let multiple = |low| vec![query(22).span(plain(low, 3, "query22-operation", 100_000))];
    let decoy = |number, low, id, value: &str| {
        let name = format!("query{number}-operation");
        let span = plain(low, id, &name, 1000).attribute("sameplacetag1", value);
        vec![query(number).span(span)]
    };
    let example = |number| service(format!("example-service-{number}"));
    let operation =
        |id, number: u64| plain(0x11, id, &format!("example-operation-{number}"), 100_000);
    vec![
        fixture(
            "default",
            0x227,
            vec![query(11).span(plain(0x227, 3, "query11-operation", 100_000))],
        ),
        fixture(
            "dur_trace",
            0x9,
            vec![query(9).span(plain(9, 3, "placeholder", 5000))],
        ),
        fixture(
            "max_dur_trace",
            0x10,
            vec![query(10).span(plain(0x10, 2, "placeholder", 1000))],
        ),
        fixture(
            "opname_trace",
            6,
            vec![query(6).span(plain(6, 1, "query06-operation", 5000))],
        ),
        fixture(
            "opname_dur_trace",
            8,
            vec![query(8).span(plain(8, 2, "query08-operation", 5000))],
        ),
        fixture(
            "opname_maxdur_trace",
            7,
            vec![
                query(7)
                    .span(bare(7, 3, "query07-operation", 1000).parent(2))
                    .span(plain(7, 2, "query07-operation", 2000)),
            ],
        ),
        fixture(
            "multi_index_trace",
            5,
            vec![query(5).span(late).span(early)],
        ),
        fixture("multiple1_trace", 0x221, multiple(0x221)),
        fixture("multiple2_trace", 0x222, multiple(0x222)),
        fixture("multiple3_trace", 0x223, multiple(0x223)),
        fixture(
            "tags_escaped_operator_trace_1",
            0x512,
            decoy(23, 0x512, 5, "same*"),
        ),
        fixture(
            "tags_escaped_operator_trace_2",
            0x5912,
            decoy(23, 0x5912, 5, "sameplacedifferentvalue"),
        ),
        fixture(
            "tags_wildcard_regex_1",
            0xa12,
            decoy(24, 0xa12, 4, "sameplacevalue1"),
        ),
        fixture(
            "tags_wildcard_regex_2",
            0x1212,
            decoy(24, 0x1212, 4, "sameplacevalue2"),
        ),
        fixture(
            "example_trace",
            0x11,
            vec![
                example(2).span(operation(4, 2)),
                example(3).span(operation(5, 1)),
                example(1)
                    .span(operation(3, 1))
                    .span(operation(6, 3).kind(SpanKind::Server))
                    .span(operation(7, 4).kind(SpanKind::Client)),
            ],
        ),
    ]
}

/// Fixtures with all their tags at one level.
fn one_spot() -> Vec<Fixture> {
    let scope = |number, attributes: Vec<KeyValue>| {
        query(number).scope("testing-library", "1.1.1", attributes)
    };
    vec![
        fixture(
            "span_tags_trace",
            1,
            vec![query(1).span(with(bare(1, 2, "some-operation", 7000), tags()))],
        ),
        fixture(
            "log_tags_trace",
            2,
            vec![
                query(2).span(
                    bare(2, 1, "placeholder", 5000)
                        .event("", tags())
                        .event("", []),
                ),
            ],
        ),
        fixture(
            "process_tags_trace",
            3,
            vec![on(query(3), tags()).span(plain(3, 1, "placeholder", 5000))],
        ),
        fixture(
            "tags_opname_trace",
            0x12,
            vec![query(12).span(links(
                with(bare(0x12, 4, "query12-operation", 2000), tags()),
                [],
            ))],
        ),
        fixture(
            "tags_opname_maxdur_trace",
            0x13,
            vec![
                on(query(13), tags()).span(
                    bare(0x13, 7, "query13-operation", 1000)
                        .attribute("tag1", "value1")
                        .event("", [key_value("tag3", "value3")])
                        .event("", [key_value("something", "blah")]),
                ),
            ],
        ),
        fixture(
            "tags_opname_dur_trace",
            0x14,
            vec![
                query(14).span(
                    bare(0x14, 3, "query14-operation", 5000)
                        .event("", tags())
                        .event("", []),
                ),
            ],
        ),
        fixture(
            "tags_dur_trace",
            0x15,
            vec![query(15).span(with(plain(0x15, 4, "placeholder", 5000), tags()))],
        ),
        fixture(
            "tags_maxdur_trace",
            0x16,
            vec![on(query(16), tags()).span(plain(0x16, 5, "query16-operation", 1000))],
        ),
        fixture(
            "scope_name_version_trace",
            0x224,
            vec![scope(23, vec![]).span(with(plain(0x224, 2, "placeholder", 1000), tags()))],
        ),
        fixture(
            "scope_attributes_trace",
            0x225,
            vec![
                scope(24, all("sameplacescopeattribute", "scopeblob").into()).span(
                    plain(0x225, 2, "placeholder", 1000)
                        .attribute("sameplacespanattribute1", "sameplacevalue"),
                ),
            ],
        ),
        fixture(
            "link_attributes_trace",
            0x226,
            vec![
                query(25).span(links(
                    bare(0x226, 4, "query25-operation", 2000)
                        .attribute("sameplacespanattribute1", "sameplacevalue"),
                    all("sameplacelinkattribute", "linkblob"),
                )),
            ],
        ),
    ]
}

/// Fixtures whose tags are spread over several levels around one span.
fn many_spots() -> Vec<Fixture> {
    vec![
        fixture(
            "multi_spot_tags_trace",
            4,
            vec![
                on(query(4), [tag(1)]).span(
                    with(bare(4, 1, "placeholder", 5000), [tag(4), tag(3)])
                        .event("", [tag(2)])
                        .event("", []),
                ),
            ],
        ),
        fixture(
            "multispottag_opname_trace",
            0x17,
            vec![
                on(query(17), [tag(1)]).span(
                    with(bare(0x17, 4, "query17-operation", 5000), [tag(3)])
                        .event("", [tag(2)])
                        .event("", [tag(4)]),
                ),
            ],
        ),
        fixture(
            "multispottag_opname_maxdur_trace",
            0x18,
            vec![
                on(query(18), [tag(3)]).span(
                    with(bare(0x18, 4, "query18-operation", 1000), [tag(1)])
                        .event("", [tag(2)])
                        .event("", [tag(4), blob("blob")]),
                ),
            ],
        ),
        fixture(
            "multispottag_opname_dur_trace",
            0x19,
            vec![
                on(query(19), [tag(4), tag(3)]).span(
                    with(bare(0x19, 5, "query19-operation", 5000), [tag(1)])
                        .event("", [tag(2)])
                        .event("", [blob("blob")]),
                ),
            ],
        ),
        fixture(
            "multispottag_dur_trace",
            0x20,
            vec![
                on(query(20), [tag(3), blob("blob")]).span(
                    with(bare(0x20, 3, "placeholder", 5000), [tag(2), tag(4)])
                        .event("", [tag(1)])
                        .event("", []),
                ),
            ],
        ),
        fixture(
            "multispottag_maxdur_trace",
            0x21,
            vec![
                on(query(21), [tag(4), tag(3)]).span(
                    with(bare(0x21, 5, "placeholder", 1000), [tag(1)])
                        .event("", [tag(2)])
                        .event("", [blob("blob")]),
                ),
            ],
        ),
    ]
}
