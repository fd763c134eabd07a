//! Pages of `FindTraceIDs` and `FindTraceSummaries` (Jaeger's RFC 0014): their sizes, their order, and writes between them. What holds for
//! all tokens, and without them, is asked of `FindSpans` too.

mod off;
mod tokens;

use larder_proto::storage::v2::{FindTraceSummariesRequest, FindTraceSummariesResponse};
use larder_tests::filter::{and, eq, exists, field, not};
use larder_tests::otlp::{noise, service, span};
use larder_tests::status::error_info;
use larder_tests::{Client, Home, Options, Plugin, Query, Scene, method};
use prost::Message as _;
use tonic::{Code, Status};

const INVALID: &str = "PAGINATION_INVALID";

/// A query for all of the scene's traces. Pages take no depth.
fn all(scene: &Scene) -> Query {
    scene.query().depth(0)
}

/// Returns a page and the token of the next; asks both RPCs, which must agree.
async fn page(client: &Client, query: &Query) -> (Vec<[u8; 16]>, String) {
    let ids = client.page_of_ids(query).await.expect("a page of ids");
    let summaries = client.page_of_summaries(query).await.expect("summaries");
    assert_eq!(summaries, ids);
    ids
}

/// Returns the refusal of a page; asks both RPCs, which must agree.
async fn refusal(client: &Client, query: &Query) -> Status {
    let refused = client.page_of_ids(query).await.expect_err("no page of ids");
    let other = client.page_of_summaries(query).await;
    let other = other.expect_err("no page of summaries");
    assert_eq!(other.code(), refused.code());
    assert_eq!(other.message(), refused.message());
    assert_eq!(error_info(&other), error_info(&refused));
    refused
}

fn assert_refused(refused: &Status, reason: &str, text: &str) {
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
    assert_eq!(error_info(refused).expect("an ErrorInfo").reason, reason);
    assert!(refused.message().contains(text), "{text} in {refused:?}");
}

/// Follows the tokens to the end.
async fn all_pages(scene: &Scene, query: &Query, size: u32) -> Vec<Vec<u64>> {
    let mut pages = Vec::new();
    let mut token = String::new();
    loop {
        let (ids, next) = page(&scene.client, &query.clone().page(size, &token)).await;
        pages.push(scene.numbers(&ids));
        if next.is_empty() {
            return pages;
        }
        assert_ne!(next, token, "a page ends behind the one before it");
        token = next;
    }
}

/// Stores one span for each trace of the list, by its number and its time.
async fn store(scene: &Scene, spans: &[(u64, u64)]) {
    for (number, offset) in spans {
        let one = span(scene.trace(*number), *offset).at(scene.at(*offset));
        scene.store([scene.resource("a").span(one)]).await;
    }
}

/// Newest match first, then by id. Each trace is returned once, although later pages come to its older matches.
async fn pages_joined_are_the_whole_answer(scene: Scene) {
    // Each trace has a new and an old span; 3, 4 and 5 have their newest at the same time.
    for (number, newest) in [
        (1, 900),
        (2, 800),
        (5, 700),
        (4, 700),
        (3, 700),
        (6, 600),
        (7, 500),
    ] {
        store(&scene, &[(number, newest), (number, newest - 450)]).await;
    }
    let whole = [1, 2, 3, 4, 5, 6, 7];
    let name = scene.service("a");
    let by_filter = Query::default().filter(and([
        eq(field("resource", "service"), name.as_str()),
        not(exists(field("span", "traceState"))),
    ]));
    for query in [all(&scene), Query::default().service(name), by_filter] {
        for size in [1, 2, 3, 7, 8] {
            let pages = all_pages(&scene, &query, size).await;
            let mut full = pages.iter().rev().skip(1);
            assert!(full.all(|page| page.len() == size as usize), "{pages:?}");
            assert_eq!(pages.concat(), whole, "{size} a page: {query:?}");
        }
    }
    // A window that excludes the newest spans changes the order, and pages follow it.
    let old = Query::default().window(scene.at(1), scene.at(460));
    assert_eq!(all_pages(&scene, &old, 2).await.concat(), whole);
}

/// As Jaeger's storage suite walks.
async fn five_traces_are_two_pages_of_two_and_one_of_one(scene: Scene) {
    store(&scene, &[(1, 50), (2, 40), (3, 30), (4, 20), (5, 10)]).await;
    let pages = all_pages(&scene, &all(&scene), 2).await;
    assert_eq!(pages, [vec![1, 2], vec![3, 4], vec![5]]);
}

/// A page that ends with the last match has no token, nor has one of nothing.
async fn the_last_page_has_no_token(scene: Scene) {
    store(&scene, &[(1, 40), (2, 30), (3, 20), (4, 10)]).await;
    let pages = all_pages(&scene, &all(&scene), 2).await;
    assert_eq!(pages, [[1, 2], [3, 4]]);
    let none = all(&scene).service("no service").page(2, "");
    assert_eq!(page(&scene.client, &none).await, (vec![], String::new()));
}

async fn without_pagination_the_depth_is_the_bound_and_there_is_no_token(scene: Scene) {
    store(&scene, &[(1, 30), (2, 20), (3, 10)]).await;
    for depth in [0, 2] {
        let (ids, token) = page(&scene.client, &scene.query().depth(depth)).await;
        let wanted: &[u64] = if depth == 0 { &[1, 2, 3] } else { &[1, 2] };
        assert_eq!(scene.numbers(&ids), wanted);
        assert_eq!(token, "");
    }
}

async fn the_size_may_change_between_pages(scene: Scene) {
    store(&scene, &[(1, 50), (2, 40), (3, 30), (4, 20), (5, 10)]).await;
    let (_, token) = page(&scene.client, &all(&scene).page(1, "")).await;
    let (ids, token) = page(&scene.client, &all(&scene).page(3, &token)).await;
    assert_eq!(scene.numbers(&ids), [2, 3, 4]);
    let (ids, token) = page(&scene.client, &all(&scene).page(u32::MAX, &token)).await;
    assert_eq!((scene.numbers(&ids), &*token), (vec![5], ""));
}

/// What stands behind the cursor is visited, what stands before it is not, and nothing is visited twice.
async fn writes_between_pages_repeat_nothing(scene: Scene) {
    store(&scene, &[(1, 500), (2, 400), (3, 300), (4, 200), (5, 100)]).await;
    let (ids, token) = page(&scene.client, &all(&scene).page(2, "")).await;
    assert_eq!(scene.numbers(&ids), [1, 2]);
    // New traces on both sides of the cursor; older matches of traces that were returned; and a newer one of trace 5, which moves it
    // before the cursor.
    store(&scene, &[(6, 600), (7, 250), (2, 150), (1, 50), (5, 700)]).await;
    let (ids, token) = page(&scene.client, &all(&scene).page(2, &token)).await;
    assert_eq!(scene.numbers(&ids), [3, 7]);
    let (ids, token) = page(&scene.client, &all(&scene).page(2, &token)).await;
    assert_eq!((scene.numbers(&ids), &*token), (vec![4], ""));
}

async fn a_page_needs_a_size_and_no_depth(scene: Scene) {
    store(&scene, &[(1, 10)]).await;
    let no_size = "invalid pagination: page size is required whenever pagination is present";
    let refused = refusal(&scene.client, &all(&scene).page(0, "")).await;
    assert_refused(&refused, INVALID, no_size);
    let depth = "invalid pagination: it cannot be combined with search depth";
    for asked in [1, -1] {
        let refused = refusal(&scene.client, &scene.query().depth(asked).page(1, "")).await;
        assert_refused(&refused, INVALID, depth);
    }
}

async fn whole_traces_have_no_pages(scene: Scene) {
    store(&scene, &[(1, 10)]).await;
    let refused = scene.client.find_traces(&all(&scene).page(1, "")).await;
    let text =
        "FindTraces cannot be paginated: its response has no field to carry a continuation token";
    assert_refused(&refused.unwrap_err(), INVALID, text);
}

async fn pages_are_declared(scene: Scene) {
    let search = scene.client.capabilities().await.unwrap().search.unwrap();
    assert!(search.paginated);
}

larder_tests::every_plugin_and_fixture![
    pages_joined_are_the_whole_answer,
    five_traces_are_two_pages_of_two_and_one_of_one,
    the_last_page_has_no_token,
    without_pagination_the_depth_is_the_bound_and_there_is_no_token,
    the_size_may_change_between_pages,
    writes_between_pages_repeat_nothing,
    a_page_needs_a_size_and_no_depth,
    whole_traces_have_no_pages,
    pages_are_declared,
];

async fn a_page_has_at_most_10_000_traces(plugin: Plugin) {
    let larder = Options::new(plugin).start();
    let client = larder.client().await;
    let id = |number: u64| u128::from(number).to_be_bytes();
    let spans = (1..=10_001).map(|number| span(id(number), 1).at(number));
    client.store([service("a").spans(spans)]).await;
    let query = |token: &str| Query::default().page(u32::MAX, token);
    let (ids, token) = page(&client, &query("")).await;
    assert_eq!(ids.len(), 10_000);
    let rest = page(&client, &query(&token)).await;
    assert_eq!(rest, (vec![id(1)], String::new()));
}

larder_tests::with_plugins!(a_page_has_at_most_10_000_traces: kv = Kv, memory = Memory, minimal = Minimal);

#[tokio::test]
async fn an_operator_may_set_a_lower_bound_of_a_page() {
    let larder = Options::new(Plugin::Memory)
        .environment("LARDER_LIMITS_MAX_SEARCH_DEPTH", "2")
        .start();
    let client = larder.client().await;
    for number in 1..=3 {
        let one = span([number; 16], 1).at(number.into());
        client.store([service("a").span(one)]).await;
    }
    let (ids, token) = page(&client, &Query::default().page(3, "")).await;
    assert_eq!(ids, [[3; 16], [2; 16]]);
    let rest = page(&client, &Query::default().page(3, &token)).await;
    assert_eq!(rest, (vec![[1; 16]], String::new()));
}

#[tokio::test]
async fn of_many_messages_of_a_page_the_last_has_the_token() {
    let larder = Options::new(Plugin::Memory)
        .environment("LARDER_GRPC_MAX_MESSAGE_BYTES", "64KiB")
        .start();
    let client = larder.client().await;
    for number in 1..=40 {
        let one = span([number; 16], 1).at(number.into());
        let named = service(noise(number.into(), 4000)).span(one);
        client.store([named]).await;
    }
    let mut token = String::new();
    let mut found = 0;
    for is_last in [false, true] {
        let request = FindTraceSummariesRequest {
            query: Some(Query::default().page(30, &token).0),
        };
        let body = request.encode_to_vec().into();
        let call = client.call();
        let reply = call.stream(method::FIND_TRACE_SUMMARIES, body).await;
        reply.end.unwrap();
        let messages = reply.messages.into_iter();
        let mut messages: Vec<FindTraceSummariesResponse> = messages
            .map(|message| FindTraceSummariesResponse::decode(message).unwrap())
            .collect();
        found += messages
            .iter()
            .map(|message| message.summaries.len())
            .sum::<usize>();
        token = messages.pop().expect("a message").next_page_token;
        assert_eq!(token.is_empty(), is_last);
        assert!(!messages.is_empty(), "a page of one message");
        for message in messages {
            assert_eq!(message.next_page_token, "");
        }
    }
    assert_eq!(found, 40);
}

/// A token holds all that the next page needs: the server is killed between pages, and has spans that were written since.
#[tokio::test]
async fn a_token_outlives_a_restart() {
    let home = Home::new();
    let mut larder = Options::new(Plugin::Kv).start_in(&home);
    let store = async |client: &Client, numbers: &[u8]| {
        for number in numbers {
            let one = span([*number; 16], 1).at(u64::from(*number) * 10);
            client.store([service("a").span(one)]).await;
        }
    };
    store(&larder.client().await, &[10, 20, 30, 40, 50]).await;
    let query = Query::default().service("a");
    let mut token = String::new();
    // Each time one trace is written before the cursor, and one behind it.
    for (ids, written) in [
        ([50, 40], [60, 35]),
        ([35, 30], [33, 25]),
        ([25, 20], [27, 15]),
        ([15, 10], [70, 80]),
    ] {
        let client = larder.client().await;
        let found = page(&client, &query.clone().page(2, &token)).await;
        assert_eq!(found.0, ids.map(|number| [number; 16]));
        token = found.1;
        store(&client, &written).await;
        larder.kill();
        larder = Options::new(Plugin::Kv).start_in(&home);
    }
    assert_eq!(token, "");
}
