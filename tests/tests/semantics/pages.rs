//! Pagination (Jaeger's RFC 0014), which `grpc.pagination` enables.

use larder_tests::filter::{and, eq, exists, field, not};
use larder_tests::otlp::{service, span};
use larder_tests::status::error_info;
use larder_tests::{Client, Options, Plugin, Query};
use tonic::{Code, Status};

fn server(plugin: Plugin) -> larder_tests::Larder {
    Options::new(plugin)
        .environment("LARDER_GRPC_PAGINATION", "true")
        .start()
}

fn trace(number: u8) -> [u8; 16] {
    [number; 16]
}

/// Follows the tokens to the end, with both RPCs, which must agree.
async fn all_pages(client: &Client, query: &Query, size: u32) -> Vec<Vec<[u8; 16]>> {
    let mut pages = Vec::new();
    let mut token = String::new();
    loop {
        let query = query.clone().page(size, &token);
        let (ids, next) = client.page_of_ids(&query).await.unwrap();
        let summaries = client.page_of_summaries(&query).await.unwrap();
        assert_eq!(summaries, (ids.clone(), next.clone()));
        pages.push(ids);
        if next.is_empty() {
            return pages;
        }
        assert_ne!(next, token, "a page ends behind the one before it");
        token = next;
    }
}

/// Newest match first, then by id. Each trace is returned once, although later pages come to its older matches.
async fn pages_joined_are_the_whole_answer(plugin: Plugin) {
    let larder = server(plugin);
    let client = larder.client().await;
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
        let new = span(trace(number), 1).at(newest).name("new");
        let old = span(trace(number), 2).at(newest - 450).name("old");
        client.store([service("a").span(new)]).await;
        client.store([service("a").span(old)]).await;
    }
    let whole = [1, 2, 3, 4, 5, 6, 7].map(trace);
    let by_filter = Query::default().filter(and([
        eq(field("resource", "service"), "a"),
        not(exists(field("span", "traceState"))),
    ]));
    for query in [Query::default(), Query::default().service("a"), by_filter] {
        for size in [1, 2, 3, 7, 8] {
            let pages = all_pages(&client, &query, size).await;
            let full = pages.iter().rev().skip(1);
            assert!(
                full.clone().all(|page| page.len() == size as usize),
                "{pages:?}"
            );
            assert_eq!(pages.concat(), whole, "{size} a page: {query:?}");
        }
    }
    // A window that excludes the newest spans changes the order, and pages follow it.
    let old = Query::default().window(1, 460);
    assert_eq!(all_pages(&client, &old, 2).await.concat(), whole);
}

larder_tests::with_plugins!(pages_joined_are_the_whole_answer: kv = Kv, memory = Memory, minimal = Minimal, minimal_0_1 = Minimal0_1, c_0_1 = C0_1);

fn assert_refused(refused: &Status, code: Code, reason: &str, text: &str) {
    assert_eq!(refused.code(), code, "{refused:?}");
    assert_eq!(error_info(refused).expect("an ErrorInfo").reason, reason);
    assert!(refused.message().contains(text), "{text} in {refused:?}");
}

#[tokio::test]
async fn invalid_pages_are_refused_as_invalid_pagination() {
    let larder = server(Plugin::Memory);
    let client = larder.client().await;
    for number in 1..=3 {
        let one = span(trace(number), 1).at(number.into());
        client.store([service("a").span(one)]).await;
    }
    let of_a = Query::default().service("a");
    let (_, token) = client.page_of_ids(&of_a.clone().page(1, "")).await.unwrap();
    let invalid = "PAGINATION_INVALID";
    for (query, text) in [
        (of_a.clone().page(0, ""), "page_size"),
        (of_a.clone().depth(5).page(1, ""), "search_depth"),
        (of_a.clone().page(1, "banana"), "none that this server gave"),
        (Query::default().page(1, &token), "another query"),
        (of_a.clone().window(1, 9).page(1, &token), "another query"),
    ] {
        for refused in [
            client.page_of_ids(&query).await.unwrap_err(),
            client.page_of_summaries(&query).await.unwrap_err(),
        ] {
            assert_refused(&refused, Code::InvalidArgument, invalid, text);
        }
    }
    let refused = client.find_traces(&of_a.page(1, "")).await.unwrap_err();
    assert_refused(
        &refused,
        Code::InvalidArgument,
        invalid,
        "FindTraces has no pages",
    );
    let search = client.capabilities().await.unwrap().search.unwrap();
    assert!(search.paginated);
}

#[tokio::test]
async fn pages_are_off_unless_they_are_turned_on() {
    let larder = Options::new(Plugin::Memory).start();
    let client = larder.client().await;
    let refused = client
        .page_of_ids(&Query::default().page(1, ""))
        .await
        .unwrap_err();
    assert_refused(
        &refused,
        Code::Unimplemented,
        "PAGINATION_UNSUPPORTED",
        "grpc.pagination",
    );
    let search = client.capabilities().await.unwrap().search.unwrap();
    assert!(!search.paginated);
}
