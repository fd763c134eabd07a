//! Server reflection, v1 and v1alpha, so that `grpcurl` needs no `.proto` file.

use tonic::service::Routes;
use tonic_reflection::server::Builder;

use super::configured;

/// Adds reflection of the main port's services.
pub(super) fn add_to(routes: Routes, limit: usize) -> Routes {
    let described = || {
        Builder::configure()
            .register_encoded_file_descriptor_set(larder_proto::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
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
