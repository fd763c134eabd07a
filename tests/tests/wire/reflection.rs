//! Server reflection v1 and v1alpha, as `grpcurl` uses them.

use std::collections::BTreeSet;

use larder_tests::{Client, Options, Plugin, patiently};
use prost::Message as _;
use prost_types::FileDescriptorProto;
use tokio_stream::StreamExt as _;

const SERVICES: [&str; 5] = [
    "jaeger.storage.v2.TraceReader",
    "jaeger.storage.v2.DependencyReader",
    "jaeger.storage.v2.Capabilities",
    "opentelemetry.proto.collector.trace.v1.TraceService",
    "grpc.health.v1.Health",
];

macro_rules! reflects {
    ($test:ident, $version:ident) => {
        #[tokio::test]
        async fn $test() {
            use tonic_reflection::pb::$version::ServerReflectionRequest;
            use tonic_reflection::pb::$version::server_reflection_client::ServerReflectionClient;
            use tonic_reflection::pb::$version::server_reflection_request::MessageRequest;
            use tonic_reflection::pb::$version::server_reflection_response::MessageResponse;

            let larder = Options::new(Plugin::Memory).start();
            let mut client = ServerReflectionClient::new(larder.client().await.channel());
            let mut ask = async |question: MessageRequest| {
                let request = ServerReflectionRequest {
                    host: String::new(),
                    message_request: Some(question),
                };
                let answers = client.server_reflection_info(tokio_stream::iter([request]));
                let mut answers = patiently("reflection", answers).await.unwrap().into_inner();
                let answer = patiently("reflection", answers.next()).await;
                answer
                    .unwrap()
                    .map(|answer| answer.message_response.unwrap())
            };

            let MessageResponse::ListServicesResponse(listed) =
                ask(MessageRequest::ListServices(String::new()))
                    .await
                    .unwrap()
            else {
                panic!("no list of services");
            };
            let listed: BTreeSet<String> = listed.service.into_iter().map(|one| one.name).collect();
            for service in SERVICES {
                assert!(listed.contains(service), "{listed:?}");
            }

            // Every listed service can be described, down to the types of its methods.
            for service in SERVICES {
                let question = MessageRequest::FileContainingSymbol(service.to_owned());
                let MessageResponse::FileDescriptorResponse(files) = ask(question).await.unwrap()
                else {
                    panic!("{service} is listed but not described");
                };
                let file =
                    FileDescriptorProto::decode(&files.file_descriptor_proto[0][..]).unwrap();
                let (package, name) = service.rsplit_once('.').unwrap();
                assert_eq!(file.package(), package);
                assert!(
                    file.service.iter().any(|one| one.name() == name),
                    "{service}"
                );
                for dependency in &file.dependency {
                    let question = MessageRequest::FileByFilename(dependency.clone());
                    let answer = ask(question).await.unwrap();
                    assert!(
                        matches!(answer, MessageResponse::FileDescriptorResponse(_)),
                        "{service} needs {dependency}: {answer:?}"
                    );
                }
            }

            let question = MessageRequest::FileContainingSymbol("no.such.Thing".to_owned());
            let unknown = ask(question).await.unwrap_err();
            assert_eq!(unknown.code(), tonic::Code::NotFound);
        }
    };
}

reflects!(reflection_v1_describes_every_service, v1);
reflects!(reflection_v1alpha_describes_every_service, v1alpha);

#[tokio::test]
async fn the_writer_port_reflects_what_it_serves() {
    use tonic_reflection::pb::v1::ServerReflectionRequest;
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

    let larder = Options::new(Plugin::Memory).writer_port().start();
    let writer = Client::connect(larder.writer()).await;
    let mut client = ServerReflectionClient::new(writer.channel());
    let questions = [
        MessageRequest::ListServices(String::new()),
        MessageRequest::FileContainingSymbol(SERVICES[3].to_owned()),
    ];
    let requests = questions.map(|question| ServerReflectionRequest {
        host: String::new(),
        message_request: Some(question),
    });
    let answers = client.server_reflection_info(tokio_stream::iter(requests));
    let mut answers = patiently("reflection", answers).await.unwrap().into_inner();
    let mut next = async || {
        let answer = patiently("reflection", answers.next()).await;
        answer.unwrap().unwrap().message_response.unwrap()
    };
    let MessageResponse::ListServicesResponse(listed) = next().await else {
        panic!("no list of services");
    };
    let listed: BTreeSet<String> = listed.service.into_iter().map(|one| one.name).collect();
    assert!(listed.contains(SERVICES[3]), "{listed:?}");
    assert!(listed.contains(SERVICES[4]), "{listed:?}");
    for reader in &SERVICES[..3] {
        assert!(!listed.contains(*reader), "{listed:?}");
    }
    let described = next().await;
    assert!(
        matches!(described, MessageResponse::FileDescriptorResponse(_)),
        "{described:?}"
    );
}
