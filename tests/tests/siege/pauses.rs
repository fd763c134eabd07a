//! A plugin that fails again and again is stopped with growing pauses: whoever looks at the server sees it, and no other tenant does.

use larder_tests::otlp::{service, span};
use larder_tests::{Client, Larder, Options, Plugin, Query, eventually, http};

use crate::siege::{Siege, options, status};

/// How long each new start had to wait, in ms, as the log tells.
fn pauses(larder: &Larder) -> Vec<u64> {
    let lines = larder.lines();
    let of_bad = |line: &&String| {
        line.contains("\"tenant.id\":\"bad\"") && line.contains("failed and is replaced")
    };
    let wait = |line: &String| {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        event["wait_ms"].as_u64().unwrap()
    };
    lines.iter().filter(of_bad).map(wait).collect()
}

#[tokio::test]
async fn a_tenant_whose_plugin_keeps_failing_is_stopped_with_growing_pauses() {
    let siege = Siege::begin(options()).await;
    let larder = &siege.larder;
    let bad = larder.client().await.tenant("bad");
    let mut number = 0;
    let stopped = eventually("a pause that is seen", async || {
        // No two alike: none is refused for what an earlier one did.
        number += 1;
        let one = span([9; 16], number).at(5);
        let answer = bad.export([service("die").span(one)]).await;
        assert_eq!(answer.unwrap_err().code(), tonic::Code::Unavailable);
        let metrics = larder.metrics();
        let ready = http::count(&metrics, "larder_plugin_ready", &[]);
        let open = http::count(&metrics, "larder_tenants_open", &[]);
        let seen = status(larder, "bad");
        let reason = &seen["plugin"]["state"]["restarting"]["reason"];
        // The first pauses may be over before all is asked.
        let told = reason == "a trap" && ready + 1 == open && pauses(larder).len() >= 4;
        told.then_some(seen)
    })
    .await;
    assert!(
        stopped["plugin"]["restarts"].as_u64() >= Some(4),
        "{stopped}"
    );
    let pauses = pauses(larder);
    assert_eq!(pauses[..4], [0, 100, 200, 400], "{pauses:?}");
    // The server itself takes calls.
    assert_eq!(larder.get("/readyz").status, 200);

    eventually("the tenant's next call", async || {
        number += 1;
        let one = span([9; 16], number).at(5);
        bad.export([service("fine").span(one)]).await.ok()
    })
    .await;
    assert_eq!(status(larder, "bad")["plugin"]["state"], "ready");
    siege.end().await;
}

/// Its readers trap in every search, until it is disarmed.
async fn arm(client: &Client) {
    let attack = service("arm trap at find").span(span([9; 16], 1).at(5));
    client.store([attack]).await;
}

/// Of a plugin whose writer goes on.
const READERS: &str = "a trap, of those that read; writes are taken";

#[tokio::test]
async fn a_tenant_whose_readers_keep_failing_says_so_until_they_are_back() {
    let siege = Siege::begin(options()).await;
    let larder = &siege.larder;
    let bad = larder.client().await.tenant("bad");
    arm(&bad).await;
    let query = Query::default().service("fine");
    let mut number = 1;
    eventually("a pause of the readers that is seen", async || {
        let refused = bad.find_traces(&query).await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::Unavailable);
        // Also while reads have to wait.
        number += 1;
        let one = span([9; 16], number).at(5);
        bad.store([service("fine").span(one)]).await;
        let seen = status(larder, "bad");
        let metrics = larder.metrics();
        let ready = http::count(&metrics, "larder_plugin_ready", &[]);
        let open = http::count(&metrics, "larder_tenants_open", &[]);
        let told = seen["plugin"]["state"]["restarting"]["reason"] == READERS;
        (told && ready + 1 == open).then_some(())
    })
    .await;
    // That of one tenant, and not of the server.
    assert_eq!(larder.get("/readyz").status, 200);

    bad.store([service("disarm").span(span([9; 16], 1).at(6))])
        .await;
    eventually("the readers to be back", async || {
        (status(larder, "bad")["plugin"]["state"] == "ready").then_some(())
    })
    .await;
    bad.find_traces(&query).await.unwrap();
    siege.end().await;
}

/// Without tenants that is the server's own readiness.
#[tokio::test]
async fn a_server_whose_readers_keep_failing_is_not_ready_until_they_are_back() {
    let larder = Options::new(Plugin::Rogue).start();
    let client = larder.client().await;
    arm(&client).await;
    let query = Query::default().service("fine");
    eventually("a server that is not ready", async || {
        client.find_traces(&query).await.unwrap_err();
        let ready = larder.get("/readyz");
        (ready.status == 503 && ready.body.contains(READERS)).then_some(())
    })
    .await;
    client
        .store([service("disarm").span(span([9; 16], 1).at(6))])
        .await;
    eventually("a server that is ready", async || {
        (larder.get("/readyz").status == 200).then_some(())
    })
    .await;
    client.find_traces(&query).await.unwrap();
}
