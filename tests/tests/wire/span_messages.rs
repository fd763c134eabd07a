//! The messages of a page of `FindSpans`: as few as the limit allows, of any traces; none if nothing is found.

use std::collections::HashSet;

use bytes::Bytes;
use larder_proto::storage::v2::FindSpansResponse;
use larder_tests::filter::{and, attr, eq, field};
use larder_tests::otlp::{noise, service, span, spans_of};
use larder_tests::{Client, Options, Plugin, Scene, SpanSearch};
use opentelemetry_proto::tonic::trace::v1::TracesData;
use prost::Message as _;

/// The largest message that Jaeger's client takes by default.
const CLIENT_LIMIT: usize = 4 << 20;

/// A message, taken apart.
struct Part {
    /// Its encoded length.
    len: usize,
    spans: usize,
    traces: usize,
    token: String,
}

fn part(message: Bytes) -> Part {
    let len = message.len();
    let message = FindSpansResponse::decode(message).unwrap();
    let data = TracesData::decode(message.spans.unwrap_or_default().0).unwrap();
    let ids: Vec<_> = spans_of(&data.resource_spans)
        .map(|one| &one.span.trace_id)
        .collect();
    Part {
        len,
        spans: ids.len(),
        traces: ids.iter().collect::<HashSet<_>>().len(),
        token: message.next_page_token,
    }
}

async fn parts(client: &Client, search: &SpanSearch) -> Vec<Part> {
    let messages = client.messages_of_spans(search).await.unwrap();
    messages.into_iter().map(part).collect()
}

/// Asserts that no message exceeds the limit, that none but the last has room for another span of this length, and that each has spans of
/// several traces.
fn assert_filled(parts: &[Part], limit: usize, span: usize) {
    for part in parts {
        assert!(part.len <= limit, "{} bytes", part.len);
        assert!(part.traces > 1, "a message of one trace");
    }
    let (last, others) = parts.split_last().expect("a message");
    for part in others {
        assert!(part.len + span > limit, "{} bytes", part.len);
        assert_eq!(part.token, "", "a token before the last message");
    }
    assert!(last.spans > 0, "an empty message");
}

fn count(parts: &[Part]) -> usize {
    parts.iter().map(|part| part.spans).sum()
}

/// 10 MB of spans, of ten traces in turn.
async fn a_large_page_comes_in_few_messages_below_4_mib(scene: Scene) {
    let spans = (1..=1000).map(|id| {
        let one = span(scene.trace(id % 10), id).at(scene.at(id));
        one.attribute("filler", "y".repeat(10_000))
    });
    scene.store([scene.resource("a").spans(spans)]).await;
    for (field, direction) in [("startTime", "desc"), ("spanID", "asc")] {
        let search = scene.span_search().order_by(field, direction);
        let whole = parts(&scene.client, &search.clone().page(1000, "")).await;
        assert_eq!((count(&whole), whole.len()), (1000, 3));
        // The default leaves a 64th of what the client takes.
        assert_filled(&whole, CLIENT_LIMIT, CLIENT_LIMIT / 64 + 20_000);
        assert_eq!(whole[2].token, "");
        let first = parts(&scene.client, &search.page(999, "")).await;
        assert_eq!((count(&first), first.len()), (999, 3));
        assert_ne!(first[2].token, "");
    }
}

/// Nothing is written, nothing is in the window, nothing matches, nothing can match.
async fn where_nothing_is_found_there_is_no_message(scene: Scene) {
    let none = async |search: SpanSearch| {
        let found = parts(&scene.client, &search).await;
        assert_eq!(found.len(), 0, "{search:?}");
    };
    none(scene.span_search()).await;
    none(scene.span_search().page(5, "")).await;
    let one = span(scene.trace(1), 1).at(scene.at(10));
    scene.store([scene.resource("a").span(one)]).await;
    let service = |name: &str| eq(field("resource", "service"), name);
    for search in [
        SpanSearch::within(scene.at(11), scene.at(20)),
        scene.span_search().filter(eq(attr("k"), "v")),
        scene
            .span_search()
            .filter(and([service("a"), service("b")])),
    ] {
        none(search.clone()).await;
        none(search.clone().page(5, "")).await;
        none(search.order_by("duration", "desc")).await;
    }
}

larder_tests::every_plugin![
    a_large_page_comes_in_few_messages_below_4_mib,
    where_nothing_is_found_there_is_no_message,
];

#[tokio::test]
async fn no_message_exceeds_the_limit_of_the_operator() {
    let larder = Options::new(Plugin::Memory)
        .environment("LARDER_GRPC_MAX_MESSAGE_BYTES", "64KiB")
        .start();
    let client = larder.client().await;
    let limit = 64 << 10;
    for number in 1..=100_u8 {
        // Of different lengths, and each of a resource of its own.
        let length = 3000 + 20 * usize::from(number);
        let one = span([number; 16], 1).at(number.into());
        let one = one.attribute("filler", noise(number.into(), length));
        client.store([service(number.to_string()).span(one)]).await;
    }
    let mut token = String::new();
    for (size, found, is_last) in [(60, 60, false), (30, 30, false), (30, 10, true)] {
        let search = SpanSearch::within(0, 1000).page(size, &token);
        let page = parts(&client, &search).await;
        assert_filled(&page, limit, 7000);
        assert_eq!(count(&page), found);
        token = page.into_iter().next_back().expect("a message").token;
        assert_eq!(token.is_empty(), is_last);
    }
}
