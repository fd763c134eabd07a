//! Clients that ask much and do nothing wrong: none of their calls may fail.

use bytes::Bytes;
use larder_proto::storage::v2::{FindTraceIDsRequest, FindTracesRequest};
use larder_tests::otlp::{service, span};
use larder_tests::{Client, Larder, Options, Plugin, Query, method, patiently};
use prost::Message as _;
use tokio::task::JoinSet;

/// Searches that start at the same time, many more than `limits.concurrent_queries` allows to run.
const SEARCHES: usize = 200;

/// A server with the limits that users have, but for deadlines.
async fn start() -> (Larder, Client) {
    let larder = Options::new(Plugin::Kv).start();
    let client = larder.client().await;
    (larder, client)
}

/// Stores so many traces of one span each.
async fn fill(client: &Client, name: &str, traces: u32) {
    let one = |number: u32| {
        let id = (u128::from(number) + 1).to_be_bytes();
        span(id, 1).at(1000 + u64::from(number))
    };
    for first in (0..traces).step_by(5000) {
        let numbers = first..traces.min(first + 5000);
        client.store([service(name).spans(numbers.map(one))]).await;
    }
}

#[tokio::test]
async fn two_hundred_searches_at_once_are_all_answered() {
    let (larder, client) = start().await;
    fill(&client, "busy", 2000).await;
    let mut searches = JoinSet::new();
    for number in 0..SEARCHES {
        // Some on a connection of their own, as several processes of Jaeger have.
        let client = match number % 50 {
            0 => larder.client().await,
            _ => client.clone(),
        };
        searches.spawn(async move {
            let query = Query::default().service("busy").depth(100);
            client.find_traces(&query).await.map(|found| found.len())
        });
    }
    while let Some(found) = searches.join_next().await {
        assert_eq!(found.unwrap().unwrap(), 100);
    }
}

/// One connection with a large answer that is read slowly, a large request, and many calls that are started and cancelled.
#[tokio::test]
async fn cancelled_calls_end_no_other_on_their_connection() {
    let (_larder, client) = start().await;
    fill(&client, "busy", 20_000).await;
    let query = Some(Query::default().service("busy").depth(10_000).0);
    let traces: Bytes = FindTracesRequest {
        query: query.clone(),
    }
    .encode_to_vec()
    .into();
    let ids: Bytes = FindTraceIDsRequest { query }.encode_to_vec().into();
    for round in 0..20 {
        let slow = client.call();
        let slow = slow.open(method::FIND_TRACES, traces.clone()).await;
        let mut slow = slow.unwrap().into_inner();
        let first = patiently("a message", slow.message()).await;
        assert!(first.unwrap().is_some());
        let writer = client.clone();
        let export = tokio::spawn(async move {
            let spans = (1..=5000).map(|id| span([0xff - round; 16], id).at(1));
            writer.export([service("written").spans(spans)]).await
        });
        let cancelled: Vec<_> = (0..200)
            .map(|_| {
                let (call, ids) = (client.call(), ids.clone());
                tokio::spawn(async move { call.unary(method::FIND_TRACE_IDS, ids).await })
            })
            .collect();
        // So that the connection has sent them.
        for _ in 0..3 {
            tokio::task::yield_now().await;
        }
        for call in cancelled {
            call.abort();
        }
        export.await.unwrap().unwrap();
        while patiently("a message", slow.message())
            .await
            .unwrap_or_else(|status| panic!("round {round}: {status:?}"))
            .is_some()
        {}
    }
}
