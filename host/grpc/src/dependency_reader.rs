//! `jaeger.storage.v2.DependencyReader`: calls between services.

use larder_proto::storage::v2::{GetDependenciesRequest, GetDependenciesResponse};
use tonic::{Request, Response, Status};

use super::generated::jaeger::dependency_reader_server::DependencyReader;
use super::status;
use super::stores::Searchers;
use super::trace_reader::with_omission;

/// The service.
pub(super) struct DependencyReaderService {
    searchers: Searchers,
}

impl DependencyReaderService {
    pub(super) fn new(searchers: Searchers) -> Self {
        Self { searchers }
    }
}

#[tonic::async_trait]
impl DependencyReader for DependencyReaderService {
    async fn get_dependencies(
        &self,
        request: Request<GetDependenciesRequest>,
    ) -> Result<Response<GetDependenciesResponse>, Status> {
        let (searcher, _permit) = self.searchers.begin(request.extensions()).await?;
        let kept = self.searchers.kept(request.extensions());
        let dependencies = searcher.dependencies(request.into_inner(), kept).await;
        let dependencies = dependencies.map_err(|error| status::read_storage(&error))?;
        let answer = GetDependenciesResponse { dependencies };
        Ok(with_omission(answer, searcher.omission()))
    }
}
