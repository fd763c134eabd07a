//! Spans that are equal in all keys, on both sides of a page's end: only the places where they are stored tell them apart, and these
//! outlive flushes, merges and restarts.

use larder_tests::otlp::{SpanBuilder, service, span};
use larder_tests::{Client, Home, Larder, Options, Plugin, SpanSearch};
use opentelemetry_proto::tonic::trace::v1::ResourceSpans;

use crate::spans::ordered;

/// The equal spans come second to sixth in each of these.
const ORDERS: [&[(&str, &str)]; 6] = [
    &[],
    &[("startTime", "asc")],
    &[("duration", "desc")],
    &[("traceID", "asc")],
    &[("traceID", "desc")],
    &[("spanID", "asc")],
];

/// So many Exports that a plugin of small parts has to seal what was written before them.
const EXPORTS: u64 = 60;

/// A search that is walked page by page.
struct Walk {
    search: SpanSearch,
    /// What was found on one page before the walk began.
    whole: Vec<ResourceSpans>,
    visited: Vec<ResourceSpans>,
    token: String,
}

/// A span that has nothing of its own but the text.
fn copy(text: &str) -> SpanBuilder {
    let one = span([5; 16], 5).at(50).lasting(5);
    one.attribute("copy", text)
}

/// Seven spans in five Exports. Five are equal in all keys: two in one Export, the same two again, and one by itself.
async fn store(client: &Client) {
    let at = |number: u8| {
        let nanos = u64::from(number);
        span([number; 16], nanos).at(10 * nanos).lasting(nanos)
    };
    client.store([service("a").span(at(9))]).await;
    for _ in 0..2 {
        let both = [copy("one"), copy("two")];
        client.store([service("a").spans(both)]).await;
    }
    client.store([service("a").span(copy("three"))]).await;
    client.store([service("a").span(at(1))]).await;
}

/// Returns the texts of the equal spans, sorted.
fn texts(spans: &[ResourceSpans]) -> Vec<String> {
    let equal = spans.iter().map(|one| &one.scope_spans[0].spans[0]);
    let equal = equal.filter(|one| one.span_id == [0, 0, 0, 0, 0, 0, 0, 5]);
    let mut texts: Vec<String> = equal
        .map(|one| format!("{:?}", one.attributes[0].value))
        .collect();
    texts.sort_unstable();
    texts
}

fn stop(larder: Larder) {
    larder.signal("TERM");
    let (status, lines) = larder.wait();
    assert!(status.success(), "{status:?}: {lines:?}");
}

/// Stores spans that no walk comes to.
async fn store_others(client: &Client) {
    for number in 1..=EXPORTS {
        let one = span([100; 16], number).at(1000);
        client.store([service("b").span(one)]).await;
    }
}

async fn each_copy_is_visited_once_over_flushes_and_restarts(plugin: Plugin) {
    let home = Home::new();
    let mut larder = Options::new(plugin).start_in(&home);
    let client = larder.client().await;
    store(&client).await;
    let mut walks = Vec::new();
    for order in ORDERS {
        let search = ordered(SpanSearch::within(0, 100), order);
        let (whole, token) = client.page_of_spans(&search).await.unwrap();
        assert_eq!((whole.len(), &*token), (7, ""));
        let mut expected = ["one", "two", "one", "two", "three"]
            .map(|text| format!("{:?}", copy(text).0.attributes[0].value));
        expected.sort_unstable();
        assert_eq!(texts(&whole[1..6]), expected, "{order:?}");
        walks.push(Walk {
            search,
            whole,
            visited: Vec::new(),
            token: String::new(),
        });
    }
    // Pages of two end between copies three times.
    for page in 0..4 {
        let client = larder.client().await;
        for walk in &mut walks {
            let search = walk.search.clone().page(2, &walk.token);
            let (spans, token) = client.page_of_spans(&search).await.unwrap();
            walk.visited.extend(spans);
            walk.token = token;
            assert_eq!(walk.token.is_empty(), page == 3, "{search:?}");
        }
        match page {
            0 => {
                store_others(&client).await;
                stop(larder);
            }
            1 => {
                store_others(&client).await;
                larder.kill();
            }
            2 => stop(larder),
            _ => break,
        }
        larder = Options::new(plugin).start_in(&home);
    }
    for walk in walks {
        assert_eq!(walk.visited, walk.whole, "{:?}", walk.search);
    }
}

larder_tests::with_plugins!(each_copy_is_visited_once_over_flushes_and_restarts: kv = Kv, brittle = Brittle);
