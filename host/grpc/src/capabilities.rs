//! `jaeger.storage.v2.Capabilities`: the supported kinds of search.

use larder_proto::storage::v2::{
    FilterCapabilities, GetCapabilitiesRequest, GetCapabilitiesResponse, SearchCapabilities,
};
use larder_search::filter::{LEVELS, OPERATORS, level_word};
use tonic::{Request, Response, Status};

use super::generated::jaeger::capabilities_server::Capabilities;

/// The service. Jaeger keeps the answer for as long as its connection lasts, so it never changes (A1).
pub(super) struct CapabilitiesService {
    /// True if searches give page tokens (`grpc.pagination`).
    pub(super) paginated: bool,
}

#[tonic::async_trait]
impl Capabilities for CapabilitiesService {
    async fn get_capabilities(
        &self,
        _request: Request<GetCapabilitiesRequest>,
    ) -> Result<Response<GetCapabilitiesResponse>, Status> {
        Ok(Response::new(GetCapabilitiesResponse {
            search: Some(SearchCapabilities {
                without_service_name: true,
                same_span_conjunction: true,
                filter: Some(FilterCapabilities {
                    levels: LEVELS.map(|level| level_word(level).to_owned()).to_vec(),
                    operators: OPERATORS
                        .map(|operator| operator.word().to_owned())
                        .to_vec(),
                }),
                paginated: self.paginated,
                span_search: true,
                span_sorting: true,
            }),
        }))
    }
}
