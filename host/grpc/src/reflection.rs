//! Server reflection, v1 and v1alpha, so that `grpcurl` needs no `.proto` file.

use tonic::service::Routes;
use tonic_reflection::server::Builder;

use super::{Port, configured};

/// The services of the port for writes.
const WRITER_SERVICES: [&str; 2] = [
    "grpc.health.v1.Health",
    "opentelemetry.proto.collector.trace.v1.TraceService",
];

/// Adds reflection of the services of a port.
pub(super) fn add_to(routes: Routes, port: Port, limit: usize) -> Routes {
    let described = || {
        let all = Builder::configure()
            .register_encoded_file_descriptor_set(larder_proto::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET);
        match port {
            Port::Main => all,
            Port::Writer => WRITER_SERVICES
                .into_iter()
                .fold(all, Builder::with_service_name),
        }
    };
    match (described().build_v1(), described().build_v1alpha()) {
        (Ok(v1), Ok(v1alpha)) => routes
            .add_service(configured!(limit, v1))
            .add_service(configured!(limit, v1alpha)),
        (Err(error), _) | (_, Err(error)) => {
            // The descriptor sets are constants, and a test decodes them.
            tracing::error!(%error, "no server reflection");
            routes
        }
    }
}
