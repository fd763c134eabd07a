//! SIGTERM drains: readiness ends first, running calls finish, and a second signal does not wait for them.

use std::net::TcpStream;
use std::os::unix::process::ExitStatusExt as _;

use larder_tests::otlp::{service, span};
use larder_tests::{Client, Larder, Options, Plugin, arm, eventually, http, patiently};
use tokio::task::JoinHandle;
use tonic::Status;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

/// Starts an Export that keeps the guest busy; returns once the guest has it.
async fn busy(larder: &Larder, misdeed: &str) -> JoinHandle<Result<(), Status>> {
    let client = larder.client().await;
    arm(&client, &format!("{misdeed} at write")).await;
    let one = service("a").span(span([1; 16], 1).at(5));
    let write = tokio::spawn(async move { client.export([one]).await.map(drop) });
    larder
        .wait_for_line(&format!("the guest is about to {misdeed}"))
        .await;
    write
}

fn hostile() -> Options {
    let options = Options::new(Plugin::HostileExclusive);
    options.environment("LARDER_LIMITS_DRAIN_TIMEOUT", "60s")
}

/// Asserts that `/readyz` is 503 with a reason, while `/livez` stays.
pub(crate) async fn assert_stopping(larder: &Larder) {
    eventually("readiness to go", async || {
        let ready = larder.get("/readyz");
        // A server that is starting is not ready either.
        (ready.status == 503 && ready.body.contains("stopping")).then_some(())
    })
    .await;
    assert_eq!(larder.get("/livez").status, 200);
}

#[tokio::test]
async fn a_write_under_way_is_acknowledged_before_the_server_ends() {
    let larder = hostile().start();
    let write = busy(&larder, "linger").await;
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
async fn readiness_ends_first_and_a_second_signal_exits_at_once() {
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

    let write = busy(&larder, "spin").await;
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

    // Two signals in quick succession count as one.
    let (status, lines) = larder.signal_until_exit("TERM").await;
    assert_eq!(
        (status.code(), status.signal()),
        (Some(143), None),
        "{lines:?}"
    );
    assert!(lines.concat().contains("second signal"), "{lines:?}");
    patiently("the end of the write", write)
        .await
        .unwrap()
        .unwrap_err();
}

/// Also for an unknown service name: both watches end with the server, and neither delays it.
#[tokio::test]
async fn a_health_watch_learns_of_a_stop_and_does_not_delay_it() {
    let larder = Options::new(Plugin::Memory).start();
    let mut health = HealthClient::new(larder.client().await.channel());
    let mut watches = Vec::new();
    for (name, status) in [
        ("", ServingStatus::Serving),
        ("jaeger.Unknown", ServingStatus::ServiceUnknown),
    ] {
        let service = name.to_owned();
        let watch = health.watch(HealthCheckRequest { service }).await;
        let mut watch = watch.unwrap().into_inner();
        let first = patiently("health", watch.message()).await.unwrap();
        assert_eq!(first.unwrap().status(), status);
        watches.push(watch);
    }
    larder.signal("TERM");
    let last = patiently("health", watches[0].message()).await.unwrap();
    assert_eq!(last.unwrap().status(), ServingStatus::NotServing);
    for watch in &mut watches {
        let end = patiently("the end of a watch", watch.message()).await;
        assert!(end.unwrap().is_none());
    }
    let (status, lines) = larder.wait();
    assert!(status.success(), "{lines:?}");
}

/// A guest that never returns delays a stop no longer than the drain timeout.
#[tokio::test]
async fn a_stop_ends_in_time_although_a_guest_does_not() {
    let larder = Options::new(Plugin::HostileExclusive)
        .environment("LARDER_LIMITS_CALL_TIMEOUT", "1h")
        .environment("LARDER_LIMITS_DRAIN_TIMEOUT", "200ms")
        .start();
    let write = busy(&larder, "spin").await;
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

/// True if the call's connection was closed while the request was being sent. Clients of OTLP send such a request again.
fn is_cut_off(status: &Status) -> bool {
    use std::error::Error as _;

    let source = status.source();
    source.is_some_and(<dyn std::error::Error>::is::<tonic::transport::Error>)
}

/// Under load, every Export is either acknowledged or refused as retryable, or never arrives, and the server exits by itself.
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
                            let is_refused = status.code() == tonic::Code::Unavailable;
                            assert!(is_refused || is_cut_off(&status), "{status:?}");
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

#[test]
fn either_signal_stops_it_in_order() {
    for signal in ["TERM", "INT"] {
        let larder = Options::new(Plugin::Memory).start();
        larder.signal(signal);
        let (status, lines) = larder.wait();
        assert_eq!(status.code(), Some(0), "{lines:?}");
        assert!(lines.concat().contains("stopped"), "{lines:?}");
    }
}

/// As `timeout` sends it: to the process, and to its process group.
#[test]
fn a_signal_that_is_sent_twice_at_once_is_one_request() {
    let larder = Options::new(Plugin::Memory)
        .environment("LARDER_LIMITS_DRAIN_TIMEOUT", "500ms")
        .start();
    // It never sends anything, and so keeps the drain waiting.
    let silent = TcpStream::connect(larder.grpc()).unwrap();
    // When this is answered, the earlier connection has been accepted.
    larder.get("/livez");
    larder.signal("TERM");
    larder.signal("TERM");
    let (status, lines) = larder.wait();
    assert_eq!(status.code(), Some(0), "{lines:?}");
    let told = lines.concat();
    assert!(told.contains("limits.drain_timeout"), "{lines:?}");
    drop(silent);
}
