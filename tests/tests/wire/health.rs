//! `grpc.health.v1`, on each port: what it serves, readers and writers apart.

use std::net::SocketAddr;

use larder_tests::{Client, Home, Options, Plugin, eventually, patiently, replace};
use tonic::Code;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus::{self, NotServing, Serving};
use tonic_health::pb::health_client::HealthClient;

/// Names of readers and of writers. Jaeger asks for a `TraceWriter`, and Kubernetes for the service that is called.
const READERS: [&str; 3] = [
    "jaeger.storage.v2.TraceReader",
    "jaeger.storage.v2.DependencyReader",
    "jaeger.storage.v2.Capabilities",
];
const WRITERS: [&str; 2] = [
    "jaeger.storage.v2.TraceWriter",
    "opentelemetry.proto.collector.trace.v1.TraceService",
];

struct Health(HealthClient<Channel>);

impl Health {
    async fn connect(address: SocketAddr) -> Self {
        Self(HealthClient::new(Client::connect(address).await.channel()))
    }

    fn check(service: &str) -> HealthCheckRequest {
        HealthCheckRequest {
            service: service.to_owned(),
        }
    }

    /// The state of a name; none if it is not known.
    async fn of(&mut self, name: &str) -> Option<ServingStatus> {
        match self.0.check(Self::check(name)).await {
            Ok(answer) => Some(answer.into_inner().status()),
            Err(status) => {
                assert_eq!(status.code(), Code::NotFound, "{status:?}");
                None
            }
        }
    }

    /// The first state that a watch of a name gives.
    async fn watched(&mut self, name: &str) -> ServingStatus {
        let watch = self.0.watch(Self::check(name)).await;
        let mut watch = watch.unwrap().into_inner();
        let first = patiently("a health watch", watch.message()).await.unwrap();
        first.unwrap().status()
    }
}

#[tokio::test]
async fn each_port_is_serving_under_the_names_of_its_services() {
    let larder = Options::new(Plugin::Memory).writer_port().start();
    let mut main = Health::connect(larder.grpc()).await;
    let mut writer = Health::connect(larder.writer()).await;
    for name in [""].into_iter().chain(READERS).chain(WRITERS) {
        assert_eq!(main.of(name).await, Some(Serving), "{name:?}");
        assert_eq!(main.watched(name).await, Serving, "{name:?}");
    }
    for name in [""].into_iter().chain(WRITERS) {
        assert_eq!(writer.of(name).await, Some(Serving), "{name:?}");
        assert_eq!(writer.watched(name).await, Serving, "{name:?}");
    }
    for name in READERS {
        assert_eq!(writer.of(name).await, None, "{name:?}");
        let unknown = ServingStatus::ServiceUnknown;
        assert_eq!(writer.watched(name).await, unknown, "{name:?}");
    }
    for name in [
        "jaeger.storage.v3.TraceReader",
        "jaeger.storage.v1.SpanReaderPlugin",
    ] {
        assert_eq!(main.of(name).await, None, "{name:?}");
    }
}

#[tokio::test]
async fn a_full_disk_is_not_serving_for_writes_alone() {
    let home = Home::new();
    let config = |least: &str| format!("kv: {{ min_free: {least} }}\n");
    let options = Options::bare().patient().config(&config("0B"));
    let larder = options.writer_port().start_in(&home);
    let mut main = Health::connect(larder.grpc()).await;
    let mut writer = Health::connect(larder.writer()).await;
    for (least, state) in [("1024TiB", NotServing), ("0B", Serving)] {
        replace(&home.path().join("larder.yaml"), config(least));
        assert_eq!(larder.post("/reload").status, 200);
        eventually("the state of writes", async || {
            (main.of(WRITERS[0]).await == Some(state)).then_some(())
        })
        .await;
        for name in WRITERS {
            assert_eq!(main.of(name).await, Some(state), "{name}");
            assert_eq!(writer.of(name).await, Some(state), "{name}");
        }
        assert_eq!(writer.of("").await, Some(state));
        assert_eq!(main.watched(WRITERS[1]).await, state);
        for name in [""].into_iter().chain(READERS) {
            assert_eq!(main.of(name).await, Some(Serving), "{name:?}");
        }
    }
}
