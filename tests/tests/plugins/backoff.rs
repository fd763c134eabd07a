//! A plugin that fails repeatedly is restarted with growing pauses. Operators can see that, and other tenants are not affected.

use larder_tests::otlp::{service, span};
use larder_tests::{Client, Larder, Options, Plugin, Query, arm, disarm, eventually, http};
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::attacked::{Attacked, options, status};

/// Returns the pauses before each restart, in ms, from the log.
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

/// Makes the plugin trap. All batches differ, so none is refused for what an earlier one did.
async fn die(client: &Client, number: &mut u64) -> tonic::Status {
    *number += 1;
    let one = span([9; 16], *number).at(5);
    client.export([service("die").span(one)]).await.unwrap_err()
}

#[tokio::test]
async fn a_tenant_whose_plugin_keeps_failing_is_stopped_with_growing_pauses() {
    let server = Attacked::begin(options(Plugin::Hostile)).await;
    let larder = &server.larder;
    let bad = larder.client().await.tenant("bad");
    let mut number = 0;
    let stopped = eventually("a pause that is seen", async || {
        let refused = die(&bad, &mut number).await;
        assert_eq!(refused.code(), tonic::Code::Unavailable, "{refused:?}");
        let metrics = larder.metrics();
        let ready = http::count(&metrics, "larder_plugin_ready", &[]);
        let open = http::count(&metrics, "larder_tenants_open", &[]);
        let seen = status(larder, "bad");
        let reason = &seen["plugin"]["state"]["restarting"]["reason"];
        // The first pauses may be over before everything has been requested.
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
    // The server itself accepts calls.
    assert_eq!(larder.get("/readyz").status, 200);
    let mut health = HealthClient::new(larder.client().await.channel());
    for name in READING.into_iter().chain(WRITING) {
        assert_eq!(
            state_of(&mut health, name).await,
            ServingStatus::Serving,
            "{name:?}"
        );
    }

    eventually("the tenant's next call", async || {
        number += 1;
        let one = span([9; 16], number).at(5);
        bad.export([service("fine").span(one)]).await.ok()
    })
    .await;
    assert_eq!(status(larder, "bad")["plugin"]["state"], "ready");
    server.end().await;
}

/// The state of a plugin whose writer still works.
const READERS: &str = "a trap, of those that read; writes are taken";

#[tokio::test]
async fn a_tenants_status_shows_failing_readers_until_they_recover() {
    let server = Attacked::begin(options(Plugin::Hostile)).await;
    let larder = &server.larder;
    let bad = larder.client().await.tenant("bad");
    arm(&bad, "trap at find").await;
    let query = Query::default().service("fine");
    let mut number = 1;
    eventually("a pause of the readers that is seen", async || {
        let refused = bad.find_traces(&query).await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::Unavailable);
        // Even while reads have to wait.
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
    // Only that tenant is not ready; the server is.
    assert_eq!(larder.get("/readyz").status, 200);

    disarm(&bad).await;
    eventually("the readers to be back", async || {
        (status(larder, "bad")["plugin"]["state"] == "ready").then_some(())
    })
    .await;
    bad.find_traces(&query).await.unwrap();
    server.end().await;
}

/// Without tenants, that is the server's own readiness.
#[tokio::test]
async fn a_server_with_failing_readers_is_not_ready_until_they_recover() {
    let larder = Options::new(Plugin::Hostile).start();
    let client = larder.client().await;
    arm(&client, "trap at find").await;
    let mut health = HealthClient::new(client.channel());
    let query = Query::default().service("fine");
    eventually("a server that is not ready", async || {
        client.find_traces(&query).await.unwrap_err();
        let ready = larder.get("/readyz");
        let mut told = ready.status == 503 && ready.body.contains(READERS);
        for name in READING {
            told &= state_of(&mut health, name).await == ServingStatus::NotServing;
        }
        for name in WRITING {
            assert_eq!(
                state_of(&mut health, name).await,
                ServingStatus::Serving,
                "{name}"
            );
        }
        told.then_some(())
    })
    .await;
    disarm(&client).await;
    eventually("a server that is ready", async || {
        (larder.get("/readyz").status == 200).then_some(())
    })
    .await;
    client.find_traces(&query).await.unwrap();
}

/// The names of gRPC health that say whether reads are served; the empty one says it of everything but a full disk.
const READING: [&str; 4] = [
    "",
    "jaeger.storage.v2.TraceReader",
    "jaeger.storage.v2.DependencyReader",
    "jaeger.storage.v2.Capabilities",
];
/// Those that say it of writes.
const WRITING: [&str; 2] = [
    "jaeger.storage.v2.TraceWriter",
    "opentelemetry.proto.collector.trace.v1.TraceService",
];

async fn state_of(health: &mut HealthClient<Channel>, name: &str) -> ServingStatus {
    let asked = HealthCheckRequest {
        service: name.to_owned(),
    };
    health.check(asked).await.unwrap().into_inner().status()
}

/// With a single instance, the server is not ready either, and gRPC health agrees.
#[tokio::test]
async fn a_server_with_a_failing_plugin_is_not_ready_until_it_recovers() {
    let larder = Options::new(Plugin::HostileExclusive).start();
    let client = larder.client().await;
    let mut health = HealthClient::new(client.channel());
    let mut number = 0;
    eventually("a pause that is seen", async || {
        let refused = die(&client, &mut number).await;
        assert_eq!(refused.code(), tonic::Code::Unavailable, "{refused:?}");
        let ready = larder.get("/readyz");
        let state = larder.get("/plugin").json()["state"]["restarting"]["reason"].clone();
        // The first pauses may be over before everything has been requested.
        let mut told = ready.status == 503 && ready.body.contains("restart") && state == "a trap";
        for name in READING.into_iter().chain(WRITING) {
            told &= state_of(&mut health, name).await == ServingStatus::NotServing;
        }
        told.then_some(())
    })
    .await;
    eventually("the next call", async || client.services().await.ok()).await;
    assert_eq!(larder.get("/readyz").status, 200);
}
