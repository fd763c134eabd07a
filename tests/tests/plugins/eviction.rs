//! `memory` at its limits: the oldest traces are evicted, and it never traps for lack of memory.

use larder_tests::filter::{eq, field};
use larder_tests::otlp::{ResourceBuilder, SpanBuilder, hex, key_value, noise, service, span};
use larder_tests::status::retry_info;
use larder_tests::{Client, Larder, Options, Plugin, Query, SpanSearch, Trace, eventually, http};
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

/// Asserts that the trace has its first spans, of 40,000 or more that were written, in order and with the mark on the first alone.
/// Returns their number.
fn check_beginning(trace: &Trace, written: u64) -> u64 {
    let ids = trace.span_ids();
    let kept = ids.len() as u64;
    assert_eq!(ids, (1..=kept).collect::<Vec<_>>());
    let dropped = i64::try_from(written - kept).unwrap();
    let mark = key_value("larder.dropped.spans", dropped);
    for (number, span) in (1..).zip(trace.spans()) {
        let mut expected = part_of_large(number);
        if number == 1 {
            expected.0.attributes.push(mark.clone());
        }
        assert_eq!(*span, expected.0);
    }
    kept
}

fn part_of_large(number: u64) -> SpanBuilder {
    let one = span(id(1000), number).at(number);
    one.attribute("number", i64::try_from(number).unwrap())
        .attribute("filler", noise(number, 200))
}

/// A small trace of three spans.
fn small(number: u64) -> ResourceBuilder {
    let spans = (1..=3).map(|one| span(id(number), one).name("small").at(number * 100 + one));
    service(format!("small-{number}")).spans(spans)
}

/// Asserts that these small traces are as they were written, and found.
async fn check_small(client: &Client, numbers: impl IntoIterator<Item = u64>) {
    for number in numbers {
        let query = Query::default().service(format!("small-{number}"));
        let found = client.find_traces(&query).await.unwrap();
        assert_eq!(found.len(), 1, "trace {number}");
        assert_eq!(found[0].data.resource_spans, [small(number).0]);
    }
}

/// A trace that outgrows its share gives way before others do: what is kept of it is its beginning, and it says so.
#[tokio::test]
async fn a_trace_that_outgrows_its_share_keeps_its_beginning_and_the_others_stay() {
    let larder = Options::new(Plugin::Memory)
        .setting("max_bytes", "8MiB")
        .start();
    let client = larder.client().await;
    for number in 1..=10 {
        client.store([small(number)]).await;
    }
    for request in 0..40 {
        let spans = (1..=1000).map(|number| part_of_large(request * 1000 + number));
        client.store([service("large").spans(spans)]).await;
    }
    check_small(&client, 1..=10).await;
    let large = Query::default().service("large");
    let found = client.find_traces(&large).await.unwrap();
    let kept = check_beginning(&found[0], 40_000);
    assert!((3000..40_000).contains(&kept), "{kept} spans");
    assert_eq!(
        check_beginning(&client.get_trace(id(1000)).await, 40_000),
        kept
    );

    // Searches know what is kept, and nothing else; the mark is no attribute of the span that was written.
    let numbered = |number: u64| large.clone().attribute("number", number.to_string());
    assert_eq!(client.find(&numbered(1)).await, [id(1000)]);
    assert_eq!(client.find(&numbered(kept)).await, [id(1000)]);
    assert!(client.find(&numbered(kept + 1)).await.is_empty());
    assert!(client.find(&numbered(40_000)).await.is_empty());
    let marked = (40_000 - kept).to_string();
    let marked = large.clone().attribute("larder.dropped.spans", marked);
    assert!(client.find(&marked).await.is_empty());
    let summaries = client.find_trace_summaries(&large).await.unwrap();
    assert_eq!(summaries[0].span_count, i32::try_from(kept).unwrap());
    let spans = SpanSearch::within(0, 100_000)
        .filter(eq(field("resource", "service"), "large"))
        .order_by("startTime", "asc")
        .page(1000, "");
    let (spans, _) = client.page_of_spans(&spans).await.unwrap();
    assert_eq!(spans.len(), 1000);
    for (number, one) in (1..).zip(&spans) {
        assert_eq!(one.scope_spans[0].spans[0], part_of_large(number).0);
    }

    // What comes of it later is dropped and counted, and new traces do not make the small ones go.
    client
        .store([service("late").span(part_of_large(40_001))])
        .await;
    for number in 11..=100 {
        client.store([small(number)]).await;
    }
    check_small(&client, 1..=100).await;
    assert_eq!(
        check_beginning(&client.get_trace(id(1000)).await, 40_001),
        kept
    );
    assert!(
        !client
            .services()
            .await
            .unwrap()
            .contains(&"late".to_owned())
    );

    let dropped = 40_001 - kept;
    statistic(&larder, "evicted_spans", |evicted| evicted == dropped).await;
    statistic(&larder, "spans", |spans| spans == 300 + kept).await;
    let plugin = larder.get("/plugin").json();
    assert_eq!(plugin["statistics"]["evicted_traces"], 0, "{plugin}");
    let bytes = plugin["statistics"]["bytes"].as_u64().unwrap();
    assert!(bytes <= 8 << 20, "{plugin}");
    assert_eq!(plugin["restarts"], 0, "{plugin}");
    let metrics = larder.metrics();
    let evicted = http::count(&metrics, "larder_storage_evicted_spans_total", &[]);
    assert_eq!(evicted, dropped);
    let line = larder.line("its beginning stays");
    assert!(line.contains(&hex(&id(1000))), "{line}");
    let lines = larder.lines();
    let cuts = lines
        .iter()
        .filter(|line| line.contains("its beginning stays"));
    assert_eq!(cuts.count(), 1, "{lines:?}");
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
