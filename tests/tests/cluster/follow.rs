//! What is written on one host and read on another.

use larder_tests::otlp::{ResourceBuilder, span};
use larder_tests::{SpanSearch, timestamp};

use crate::Hosts;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acknowledged_export_is_found_on_the_other_host_at_once() {
    let hosts = Hosts::start().await;
    let write = async |writer: u64| {
        let name = format!("writer-{writer}");
        for turn in 0..25 {
            let number = turn * 4 + writer;
            let (here, there) = hosts.turn(turn);
            let one = span(here.trace(number), number + 1).at(here.at(number));
            here.store([here.resource(&name).span(one)]).await;

            let trace = there.client.get_trace(there.trace(number)).await;
            assert_eq!(trace.span_ids(), [number + 1]);
            let newest = there.query().service(there.service(&name)).depth(1);
            assert_eq!(there.find(newest).await, [number]);
        }
    };
    tokio::join!(write(0), write(1), write(2), write(3));
    for scene in [&hosts.on_a, &hosts.on_b] {
        let all: Vec<u64> = (0..100).rev().collect();
        assert_eq!(scene.find(scene.query()).await, all);
    }
}

#[tokio::test]
async fn both_hosts_answer_in_the_same_order() {
    let hosts = Hosts::start().await;
    // Every third time is that of another trace, whose id decides then; the traces with an even number come from `a`.
    let time = |number: u64| number * 17 % 60 / 3;
    for number in 0..60 {
        let (here, _) = hosts.turn(number);
        let one = span(here.trace(number), 1).at(here.at(time(number)));
        here.store([here.resource("ordered").span(one)]).await;
    }
    let mut expected: Vec<u64> = (0..60).collect();
    expected.sort_by_key(|number| (std::cmp::Reverse(time(*number)), *number));
    for scene in [&hosts.on_a, &hosts.on_b] {
        assert_eq!(scene.find(scene.query()).await, expected);
        assert_eq!(scene.find(scene.query().depth(7)).await, expected[..7]);
    }
}

#[tokio::test]
async fn pages_that_begin_on_one_host_continue_on_the_other() {
    let hosts = Hosts::start().await;
    for number in 0..30 {
        let (here, _) = hosts.turn(number);
        let one = span(here.trace(number), 1).at(here.at(number));
        here.store([here.resource("paged").span(one)]).await;
    }
    let newest_first: Vec<u64> = (0..30).rev().collect();

    let (mut found, mut token) = (Vec::new(), String::new());
    for turn in 0.. {
        let (here, _) = hosts.turn(turn);
        let query = here.query().depth(0).page(7, &token);
        let (ids, next) = here.client.page_of_ids(&query).await.unwrap();
        found.extend(here.numbers(&ids));
        token = next;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(found, newest_first);

    for (order, expected) in [
        ("desc", newest_first.clone()),
        ("asc", newest_first.into_iter().rev().collect()),
    ] {
        let search = hosts.on_a.span_search().order_by("startTime", order);
        assert_eq!(spans(&hosts, &search).await, expected, "{order}");
    }
}

/// Follows the pages of a search, each on the other host than the one before. Returns the numbers of the spans' traces.
async fn spans(hosts: &Hosts, search: &SpanSearch) -> Vec<u64> {
    let (mut found, mut token) = (Vec::new(), String::new());
    for turn in 0.. {
        let (here, _) = hosts.turn(turn);
        let page = search.clone().page(4, &token);
        let (spans, next) = here.client.page_of_spans(&page).await.unwrap();
        let ids = spans.iter().map(|one| {
            let span = &one.scope_spans[0].spans[0];
            span.trace_id[..].try_into().unwrap()
        });
        found.extend(here.numbers(&ids.collect::<Vec<_>>()));
        token = next;
        if token.is_empty() {
            break;
        }
    }
    found
}

/// The spans of one trace come through both hosts.
#[tokio::test]
async fn calls_between_services_are_the_same_on_both_hosts() {
    let hosts = Hosts::start().await;
    for round in 1..=3 {
        for number in (round - 1) * 10..round * 10 {
            let (here, there) = hosts.turn(number);
            let id = here.trace(number);
            let of = |name: &str, id: u64, parent| -> ResourceBuilder {
                let one = span(here.trace(number), id).at(here.at(number * 1000 + id));
                here.resource(name).span(match parent {
                    Some(parent) => one.parent(parent),
                    None => one,
                })
            };
            here.store([of("front", 1, None), of("cart", 2, Some(1))])
                .await;
            there.store([of("store", 3, Some(2))]).await;
            let mut spans = there.client.get_trace(id).await.span_ids();
            spans.sort_unstable();
            assert_eq!(spans, [1, 2, 3]);
        }
        for scene in [&hosts.on_a, &hosts.on_b] {
            let (start, end) = (timestamp(scene.at(0)), timestamp(scene.at(1_000_000)));
            let found = scene.client.dependencies(Some(start), Some(end)).await;
            let mut found: Vec<(String, String, u64)> = found
                .unwrap()
                .into_iter()
                .map(|link| (link.parent, link.child, link.call_count))
                .collect();
            found.sort();
            let [front, cart, store] = ["front", "cart", "store"].map(|name| scene.service(name));
            let calls = round * 10;
            assert_eq!(
                found,
                [(cart.clone(), store, calls), (front, cart, calls)],
                "after round {round}"
            );
        }
    }
}
