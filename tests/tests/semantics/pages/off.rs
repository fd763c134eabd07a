//! `grpc.pagination: false`: a first page is served, and nothing leads to a later one.

use larder_tests::otlp::{SpanRef, service, span, spans_of};
use larder_tests::{Client, Home, Larder, Options, Plugin, Query, SpanSearch};
use opentelemetry_proto::tonic::trace::v1::ResourceSpans;

use super::{INVALID, assert_refused, page, refusal};

const UNSUPPORTED: &str = "PAGINATION_UNSUPPORTED";

fn off(plugin: Plugin, home: &Home) -> Larder {
    Options::new(plugin)
        .environment("LARDER_GRPC_PAGINATION", "false")
        .start_in(home)
}

async fn store(client: &Client) {
    for number in 1..=3 {
        let one = span([number; 16], 1).at(number.into());
        client.store([service("a").span(one)]).await;
    }
}

fn trace_ids(spans: &[ResourceSpans]) -> Vec<[u8; 16]> {
    let id = |one: SpanRef<'_>| one.span.trace_id[..].try_into().unwrap();
    spans_of(spans).map(id).collect()
}

async fn a_first_page_is_served_without_a_token(plugin: Plugin) {
    let larder = off(plugin, &Home::new());
    let client = larder.client().await;
    store(&client).await;
    let query = Query::default().service("a");
    let whole = [[3; 16], [2; 16], [1; 16]];
    for size in 1..=4 {
        let (ids, token) = page(&client, &query.clone().page(size, "")).await;
        let wanted = &whole[..whole.len().min(size as usize)];
        assert_eq!((&*ids, &*token), (wanted, ""));
    }
    let refused = refusal(&client, &query.clone().page(0, "")).await;
    assert_refused(&refused, INVALID, "page size is required");
    let refused = refusal(&client, &query.clone().depth(5).page(1, "")).await;
    assert_refused(&refused, INVALID, "cannot be combined with search depth");
    let refused = client.find_traces(&query.clone().page(1, "")).await;
    assert_refused(
        &refused.unwrap_err(),
        INVALID,
        "FindTraces cannot be paginated",
    );
    let refused = refusal(&client, &query.page(1, "not-a-token!")).await;
    let text = "this storage backend cannot resume a paginated search: set grpc.pagination: true";
    assert_refused(&refused, UNSUPPORTED, text);
    let search = SpanSearch::within(0, 10);
    for size in 1..=4 {
        let page = client.page_of_spans(&search.clone().page(size, "")).await;
        let (spans, token) = page.unwrap();
        let wanted = &whole[..whole.len().min(size as usize)];
        assert_eq!((&*trace_ids(&spans), &*token), (wanted, ""));
    }
    let refused = client.page_of_spans(&search.clone().page(0, "")).await;
    assert_refused(&refused.unwrap_err(), INVALID, "page size is required");
    let refused = client.page_of_spans(&search.page(1, "not-a-token!")).await;
    assert_refused(&refused.unwrap_err(), UNSUPPORTED, text);
    // Without pagination there is one page as well, of the default size.
    let spans = (1..=120).map(|id| span([9; 16], id).at(1000 + id));
    client.store([service("a").spans(spans)]).await;
    let many = SpanSearch::within(1000, 2000);
    let (spans, token) = client.page_of_spans(&many).await.unwrap();
    assert_eq!((spans.len(), &*token), (100, ""));
    let search = client.capabilities().await.unwrap().search.unwrap();
    assert!(!search.paginated);
}

larder_tests::with_plugins!(a_first_page_is_served_without_a_token: kv = Kv, memory = Memory, minimal = Minimal);

#[tokio::test]
async fn a_token_that_was_given_before_is_refused_while_tokens_are_off() {
    let home = Home::new();
    let larder = Options::new(Plugin::Kv).start_in(&home);
    let client = larder.client().await;
    store(&client).await;
    let (_, token) = page(&client, &Query::default().page(2, "")).await;
    let search = SpanSearch::within(0, 10);
    let first = search.clone().page(2, "");
    let (_, token_of_spans) = client.page_of_spans(&first).await.unwrap();
    let next = search.page(2, &token_of_spans);
    larder.kill();

    let larder = off(Plugin::Kv, &home);
    let client = larder.client().await;
    let refused = refusal(&client, &Query::default().page(2, &token)).await;
    assert_refused(&refused, UNSUPPORTED, "grpc.pagination: true");
    let refused = client.page_of_spans(&next).await.unwrap_err();
    assert_refused(&refused, UNSUPPORTED, "grpc.pagination: true");
    larder.kill();

    let larder = Options::new(Plugin::Kv).start_in(&home);
    let client = larder.client().await;
    let rest = page(&client, &Query::default().page(2, &token)).await;
    assert_eq!(rest, (vec![[1; 16]], String::new()));
    let (spans, token) = client.page_of_spans(&next).await.unwrap();
    assert_eq!((trace_ids(&spans), &*token), (vec![[1; 16]], ""));
}
