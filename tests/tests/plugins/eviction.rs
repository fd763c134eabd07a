//! `memory` at its limits: the oldest traces are evicted, and it never traps for lack of memory.

use larder_tests::otlp::{noise, service, span};
use larder_tests::status::retry_info;
use larder_tests::{Larder, Options, Plugin, Query, eventually, http};
use tonic::Code;

fn id(number: u64) -> [u8; 16] {
    u128::from(number).to_be_bytes()
}

async fn statistic(larder: &Larder, name: &str, holds: impl Fn(u64) -> bool) -> u64 {
    eventually(name, async || {
        let value = larder.get("/plugin").json()["statistics"][name].as_u64();
        value.filter(|value| holds(*value))
    })
    .await
}

#[tokio::test]
async fn the_oldest_traces_go_and_their_services_with_them() {
    let larder = Options::new(Plugin::Memory)
        .setting("max_traces", "50")
        .start();
    let client = larder.client().await;
    for number in 1..=200 {
        let one = span(id(number), 1).name(&format!("op-{number}")).at(number);
        let name = format!("service-{:03}", number / 10);
        client.store([service(name).span(one)]).await;
    }
    let found = client.find(&Query::default().depth(1000)).await;
    let newest: Vec<[u8; 16]> = (151..=200).rev().map(id).collect();
    assert_eq!(found, newest);
    let services: Vec<String> = (15..=20)
        .map(|number| format!("service-{number:03}"))
        .collect();
    assert_eq!(client.services().await.unwrap(), services);
    let operations = client.operations("service-015", "").await.unwrap();
    assert_eq!(
        operations.len(),
        9,
        "150 is gone, 151 to 159 are there: {operations:?}"
    );

    statistic(&larder, "evicted_traces", |evicted| evicted == 150).await;
    statistic(&larder, "traces", |traces| traces == 50).await;
    let metrics = larder.metrics();
    assert_eq!(http::count(&metrics, "larder_storage_traces", &[]), 50);
    let evicted = http::count(&metrics, "larder_storage_evicted_traces_total", &[]);
    assert_eq!(evicted, 150);
}

/// Writes several times its capacity. It must not restart, refuse writes or lose the newest traces.
#[tokio::test]
async fn memory_evicts_and_never_traps_for_want_of_memory() {
    let larder = Options::new(Plugin::Memory)
        .environment("LARDER_LIMITS_MEMORY", "64MiB")
        .start();
    let client = larder.client().await;
    let (requests, traces, spans) = (100, 40, 25);
    for request in 0..requests {
        let all = (0..traces).flat_map(|trace| {
            let number = request * traces + trace + 1;
            (1..=spans).map(move |one| {
                let filler = noise(number * spans + one, 1500);
                let one = span(id(number), one).at(number * 1000 + one);
                one.attribute("filler", filler)
            })
        });
        client
            .store([service(format!("s-{request}")).spans(all)])
            .await;
    }
    let last = requests * traces;
    let found = client.find(&Query::default().depth(1)).await;
    assert_eq!(found, [id(last)]);
    assert_eq!(
        client.get_trace(id(last)).await.span_ids().len() as u64,
        spans
    );
    assert!(client.get_traces([id(1)]).await.unwrap().is_empty());
    assert!(!client.services().await.unwrap().contains(&"s-0".to_owned()));

    statistic(&larder, "evicted_spans", |evicted| evicted > 0).await;
    let plugin = larder.get("/plugin").json();
    assert_eq!(plugin["restarts"], 0, "{plugin}");
    assert!(
        plugin["memory_used"].as_u64().unwrap() <= 64 << 20,
        "{plugin}"
    );
}

/// A single endless trace exceeds the memory: other traces are served all the same.
#[tokio::test]
async fn one_trace_larger_than_the_memory_does_no_harm() {
    let larder = Options::new(Plugin::Memory)
        .environment("LARDER_LIMITS_MEMORY", "64MiB")
        .start();
    let client = larder.client().await;
    for part in 0..60 {
        let spans = (0..200).map(|number| {
            let number = part * 200 + number;
            span(id(1), number + 1)
                .at(number)
                .attribute("filler", noise(number, 10_000))
        });
        client.store([service("endless").spans(spans)]).await;
    }
    client
        .store([service("fine").span(span(id(2), 1).at(5))])
        .await;
    assert_eq!(
        client.find(&Query::default().service("fine")).await,
        [id(2)]
    );
    assert_eq!(larder.get("/plugin").json()["restarts"], 0);
}

/// `minimal` never evicts: when it is full it refuses writes with a retry delay, and reads continue.
#[tokio::test]
async fn a_plugin_that_is_full_refuses_writes_and_reads_go_on() {
    let larder = Options::new(Plugin::Minimal)
        .environment("LARDER_LIMITS_MEMORY", "16MiB")
        .start();
    let client = larder.client().await;
    let filler = "h".repeat(500_000);
    let mut stored = 0;
    let refused = loop {
        let one = span(id(stored + 1), 1)
            .at(stored)
            .attribute("filler", filler.as_str());
        match client.export([service("a").span(one)]).await {
            Ok(_) => stored += 1,
            Err(refused) => break refused,
        }
        assert!(stored < 40, "20 MB in 16 MiB");
    };
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}");
    assert!(refused.message().contains("limits.memory"), "{refused:?}");
    assert!(retry_info(&refused).is_some(), "{refused:?}");
    assert!(stored > 10, "{stored} of half a megabyte each");
    let found = client.find(&Query::default().service("a")).await;
    assert_eq!(found.len() as u64, stored);
    assert_eq!(larder.get("/plugin").json()["restarts"], 0);
}
