//! SIGTERM drains: readiness goes first, what is under way ends, and a second signal does not wait for it.

use std::net::TcpStream;
use std::os::unix::process::ExitStatusExt as _;

use larder_tests::otlp::{service, span};
use larder_tests::{Client, Larder, Options, Plugin, eventually, http, patiently};
use tokio::task::JoinHandle;
use tonic::Status;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

/// An Export that keeps the guest busy; returns once the guest has it.
async fn busy(larder: &Larder, name: &'static str, line: &str) -> JoinHandle<Result<(), Status>> {
    let client = larder.client().await;
    let write = tokio::spawn(async move { export(&client, name).await });
    larder.told(line).await;
    write
}

async fn export(client: &Client, name: &str) -> Result<(), Status> {
    let one = span([1; 16], 1).at(5);
    client.export([service(name).span(one)]).await.map(drop)
}

fn hostile() -> Options {
    let options = Options::new(Plugin::Hostile);
    options.environment("LARDER_LIMITS_DRAIN_TIMEOUT", "60s")
}

/// `/readyz` is 503 with a reason, while `/livez` stays.
async fn assert_stopping(larder: &Larder) {
    eventually("readiness to go", async || {
        let ready = larder.get("/readyz");
        (ready.status == 503).then(|| assert!(ready.body.contains("stopping"), "{ready:?}"))
    })
    .await;
    assert_eq!(larder.get("/livez").status, 200);
}

#[tokio::test]
async fn a_write_under_way_is_acknowledged_before_the_server_ends() {
    let larder = hostile().start();
    let write = busy(&larder, "slow on write", "the guest is slow").await;
    larder.signal("TERM");
    assert_stopping(&larder).await;
    patiently("the acknowledgement", write)
        .await
        .unwrap()
        .unwrap();
    let (status, lines) = larder.wait();
    assert!(status.success(), "{status:?}: {lines:?}");
}

#[tokio::test]
async fn readiness_goes_first_and_a_second_signal_ends_at_once() {
    let larder = hostile()
        .environment("LARDER_LIMITS_CALL_TIMEOUT", "1h")
        .start();
    let mut health = HealthClient::new(larder.client().await.channel());
    let request = HealthCheckRequest {
        service: String::new(),
    };
    let mut watch = health.watch(request).await.unwrap().into_inner();
    let first = patiently("health", watch.message()).await.unwrap().unwrap();
    assert_eq!(first.status(), ServingStatus::Serving);

    let write = busy(&larder, "spin on write", "the guest spins").await;
    larder.signal("TERM");
    assert_stopping(&larder).await;
    let next = patiently("health", watch.message()).await.unwrap().unwrap();
    assert_eq!(next.status(), ServingStatus::NotServing);
    let address = larder.grpc();
    eventually("new connections to be refused", async || {
        TcpStream::connect(address).is_err().then_some(())
    })
    .await;
    assert!(!write.is_finished(), "there is time for what is under way");

    // Two signals within a moment count as one.
    let (status, _) = larder.insist("TERM").await;
    assert_eq!(status.code(), Some(143), "{status:?}");
    patiently("the end of the write", write)
        .await
        .unwrap()
        .unwrap_err();
}

/// A guest that never ends holds a stop up no longer than the drain may take.
#[tokio::test]
async fn a_stop_ends_in_time_although_a_guest_does_not() {
    let larder = Options::new(Plugin::Hostile)
        .environment("LARDER_LIMITS_CALL_TIMEOUT", "1h")
        .environment("LARDER_LIMITS_DRAIN_TIMEOUT", "200ms")
        .start();
    let write = busy(&larder, "spin on write", "the guest spins").await;
    larder.signal("TERM");
    let (status, lines) = larder.wait();
    assert_eq!(status.signal(), None, "{status:?}");
    assert!(
        lines
            .iter()
            .any(|line| line.contains("limits.drain_timeout")),
        "{lines:?}"
    );
    patiently("the end of the write", write)
        .await
        .unwrap()
        .unwrap_err();
}

/// Under load, every Export is either acknowledged or told to come again, and the server ends by itself.
#[tokio::test]
async fn a_stop_under_load_answers_every_export() {
    let larder = Options::new(Plugin::Memory).start();
    let writers: Vec<JoinHandle<u64>> = (0..8_u8)
        .map(|number| {
            let address = larder.grpc();
            tokio::spawn(async move {
                let client = Client::connect(address).await;
                let mut written = 0;
                loop {
                    let spans = (1..=200).map(|id| span([number + 1; 16], id).at(id));
                    match client.export([service("load").spans(spans)]).await {
                        Ok(answer) => {
                            assert_eq!(answer.partial_success, None);
                            written += 1;
                        }
                        Err(status) => {
                            assert_eq!(status.code(), tonic::Code::Unavailable, "{status:?}");
                            return written;
                        }
                    }
                }
            })
        })
        .collect();
    eventually("some load", async || {
        let spans = http::count(&larder.metrics(), "larder_ingest_spans_total", &[]);
        (spans > 5000).then_some(())
    })
    .await;
    larder.signal("TERM");
    let (status, lines) = larder.wait();
    assert!(status.success(), "{status:?}: {lines:?}");
    for writer in writers {
        patiently("a writer", writer).await.unwrap();
    }
}

#[tokio::test]
async fn an_interrupt_stops_as_well() {
    let larder = Options::new(Plugin::Memory).start();
    larder.signal("INT");
    let (status, lines) = larder.wait();
    assert!(status.success(), "{status:?}: {lines:?}");
}
