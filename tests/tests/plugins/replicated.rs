//! A plugin whose data is in `kv`: readers see the writer's writes, also while it writes.

use larder_tests::otlp::{service, span};
use larder_tests::status::retry_info;
use larder_tests::{
    Client, Larder, Options, Plugin, Query, arm, disarm, eventually, http, patiently,
};
use tokio::task::{JoinHandle, JoinSet};
use tonic::Code;

/// A spinning writer spins for as long as the test runs.
fn options() -> Options {
    Options::new(Plugin::Hostile).environment("LARDER_LIMITS_CALL_TIMEOUT", "1h")
}

async fn store(client: &Client, number: u8) {
    let one = span([number; 16], 1)
        .name("op")
        .at(1000 + u64::from(number));
    client.store([service("a").span(one)]).await;
}

/// Starts a write that keeps the writer busy forever; returns once it runs.
async fn spin(larder: &Larder, client: &Client) -> JoinHandle<()> {
    arm(client, "spin at write").await;
    let spinning = client.clone();
    let write = tokio::spawn(async move { store(&spinning, 99).await });
    larder.wait_for_line("about to spin at write").await;
    write
}

async fn assert_reads(client: &Client, numbers: &[u8]) {
    let ids: Vec<[u8; 16]> = numbers.iter().rev().map(|number| [*number; 16]).collect();
    assert_eq!(client.find(&Query::default().service("a")).await, ids);
    assert_eq!(client.get_traces(&ids).await.unwrap().len(), ids.len());
    assert_eq!(client.services().await.unwrap(), ["a"]);
    assert_eq!(client.operations("a", "").await.unwrap().len(), 1);
}

#[tokio::test]
async fn readers_see_every_write_that_was_acknowledged() {
    let larder = options().start();
    let client = larder.client().await;
    assert_eq!(larder.get("/plugin").json()["instancing"], "replicated");
    let mut numbers = Vec::new();
    for number in 1..=10 {
        store(&client, number).await;
        numbers.push(number);
        assert_reads(&client, &numbers).await;
    }
}

#[tokio::test]
async fn reads_are_served_while_a_write_runs() {
    let larder = options().start();
    let client = larder.client().await;
    store(&client, 1).await;
    store(&client, 2).await;

    let write = spin(&larder, &client).await;
    let reads = (0..8).map(|_| assert_reads(&client, &[1, 2]));
    for read in reads.collect::<Vec<_>>() {
        read.await;
    }
    assert!(
        !write.is_finished(),
        "the write was over before the reads were"
    );
}

/// A full queue is `RESOURCE_EXHAUSTED` with a retry delay; queued writes keep waiting, and reads continue.
#[tokio::test]
async fn a_full_queue_refuses_writes_and_reads_go_on() {
    let larder = options()
        .environment("LARDER_LIMITS_QUEUE_DEPTH", "2")
        .start();
    let client = larder.client().await;
    store(&client, 1).await;
    let write = spin(&larder, &client).await;

    let mut waiting = JoinSet::new();
    for number in 50..56 {
        let client = client.clone();
        let one = service("b").span(span([number; 16], 1).at(5));
        waiting.spawn(async move { client.export([one]).await });
    }
    let refused = patiently("a refusal", waiting.join_next()).await.unwrap();
    let refused = refused.unwrap().unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}");
    assert!(retry_info(&refused).is_some(), "{refused:?}");
    assert_reads(&client, &[1]).await;
    assert!(!write.is_finished());
}

/// A purge gives the plugin a new, empty store.
#[tokio::test]
async fn purge_empties_kv() {
    let larder = options().purge().start();
    let client = larder.client().await;
    store(&client, 1).await;
    assert_eq!(larder.post("/purge").status, 200);
    assert!(client.find(&Query::default()).await.is_empty());
    assert!(client.services().await.unwrap().is_empty());
    store(&client, 2).await;
    assert_reads(&client, &[2]).await;
}

/// What the host reads in the background to keep the calls of traces is read again after the restart.
#[tokio::test]
async fn a_trap_in_the_background_ends_no_call_and_loses_no_calls_that_are_kept() {
    let larder = Options::new(Plugin::Hostile)
        .environment("LARDER_DEPENDENCIES_KEPT", "true")
        .environment("LARDER_DEPENDENCIES_SETTLE_AFTER", "10ms")
        .start();
    let client = larder.client().await;
    arm(&client, "trap at find").await;
    eventually("a trap in the background", async || {
        let restarts = http::count(&larder.metrics(), "larder_plugin_restarts_total", &[]);
        (restarts > 0).then_some(())
    })
    .await;
    disarm(&client).await;
    store(&client, 1).await;
    eventually("all calls to be kept", async || {
        let open = http::count(&larder.metrics(), "larder_dependencies_open_buckets", &[]);
        (open == 0).then_some(())
    })
    .await;
    let found = client.find(&Query::default().service("a")).await;
    assert_eq!(found, [[1; 16]]);
}
