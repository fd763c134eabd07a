//! Health, and the end of the server.

use std::sync::Arc;

use larder_tests::otlp::{service, span};
use larder_tests::{eventually, patiently};
use tokio::sync::Semaphore;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::serving::Serving;
use crate::store::Behaviour;

const NAMES: [&str; 5] = [
    "",
    "jaeger.storage.v2.TraceReader",
    "jaeger.storage.v2.DependencyReader",
    "jaeger.storage.v2.TraceWriter",
    "jaeger.storage.v2.Capabilities",
];

fn check(service: &str) -> HealthCheckRequest {
    HealthCheckRequest {
        service: service.to_owned(),
    }
}

#[tokio::test]
async fn health_follows_the_plugin() {
    let serving = Serving::new().await;
    let mut health = HealthClient::new(serving.client.channel());
    for (ready, wanted) in [
        (false, ServingStatus::NotServing),
        (true, ServingStatus::Serving),
    ] {
        serving.ready.send(ready).unwrap();
        for name in NAMES {
            let answer = health.check(check(name)).await.unwrap().into_inner();
            assert_eq!(answer.status(), wanted, "{name:?}");
        }
    }
    let unknown = health.check(check("jaeger.Unknown")).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound, "{unknown:?}");
    drop(health);
    serving.stop().await;
}

#[tokio::test]
async fn a_health_watch_tells_the_drain_and_does_not_hold_it_up() {
    let serving = Serving::new().await;
    let mut health = HealthClient::new(serving.client.channel());
    let mut watch = health.watch(check("")).await.unwrap().into_inner();
    let mut unknown = health
        .watch(check("jaeger.Unknown"))
        .await
        .unwrap()
        .into_inner();
    drop(health);
    let first = watch.message().await.unwrap().unwrap();
    assert_eq!(first.status(), ServingStatus::Serving);
    let first = unknown.message().await.unwrap().unwrap();
    assert_eq!(first.status(), ServingStatus::ServiceUnknown);

    serving.draining.cancel();
    let last = watch.message().await.unwrap().unwrap();
    assert_eq!(last.status(), ServingStatus::NotServing);
    assert!(watch.message().await.unwrap().is_none());
    assert!(unknown.message().await.unwrap().is_none());
    serving.stop().await;
}

#[tokio::test]
async fn a_write_under_way_is_acknowledged_before_the_server_ends() {
    let serving = Serving::new().await;
    let gate = Arc::new(Semaphore::new(0));
    serving.store.behave(Behaviour::Wait(Arc::clone(&gate)));
    let client = serving.client.clone();
    let export = tokio::spawn(async move {
        let shop = service("shop").span(span([1; 16], 1));
        client.export([shop]).await
    });
    eventually("the write", || async {
        (serving.store.begun() == 1).then_some(())
    })
    .await;
    serving.draining.cancel();
    let refused = eventually("the port to close", || async {
        tokio::net::TcpStream::connect(serving.address).await.err()
    });
    refused.await;
    assert!(!serving.served.is_finished());
    gate.add_permits(1);
    let answer = patiently("the answer", export).await.unwrap().unwrap();
    assert_eq!(answer.partial_success, None);
    assert_eq!(serving.store.spans_written(), 1);
    serving.stop().await;
}
