//! `jaeger.storage.v2.DependencyReader`: which service calls which.

use larder_proto::storage::v2::{GetDependenciesRequest, GetDependenciesResponse};
use tonic::{Request, Response, Status};

use super::generated::jaeger::dependency_reader_server::DependencyReader;
use super::reads::Reads;
use super::status;
use crate::search::Searcher;

/// The service.
pub(super) struct DependencyReaderService {
    searcher: Searcher,
    reads: Reads,
}

impl DependencyReaderService {
    pub(super) fn new(searcher: Searcher, reads: Reads) -> Self {
        Self { searcher, reads }
    }
}

#[tonic::async_trait]
impl DependencyReader for DependencyReaderService {
    async fn get_dependencies(
        &self,
        request: Request<GetDependenciesRequest>,
    ) -> Result<Response<GetDependenciesResponse>, Status> {
        let _permit = self.reads.begin()?;
        let dependencies = self.searcher.dependencies(request.into_inner()).await;
        let dependencies = dependencies.map_err(|error| status::read_storage(&error))?;
        Ok(Response::new(GetDependenciesResponse { dependencies }))
    }
}
