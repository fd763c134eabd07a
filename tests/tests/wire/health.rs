//! `grpc.health.v1` with the names that Jaeger checks.

use larder_tests::{Options, Plugin, patiently};
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

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
async fn the_names_that_jaeger_checks_are_serving() {
    let larder = Options::new(Plugin::Memory).start();
    let mut health = HealthClient::new(larder.client().await.channel());
    for name in NAMES {
        let answer = health.check(check(name)).await.unwrap().into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving, "{name:?}");
        let mut watch = health.watch(check(name)).await.unwrap().into_inner();
        let first = patiently("a health watch", watch.message()).await.unwrap();
        assert_eq!(first.unwrap().status(), ServingStatus::Serving, "{name:?}");
    }
    let unknown = health
        .check(check("jaeger.storage.v3.TraceReader"))
        .await
        .unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
}
