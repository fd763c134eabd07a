//! `jaeger.storage.v2.TraceReader`: the reads of Jaeger's query service.

use std::pin::Pin;

use futures_util::stream::{self, Stream, StreamExt as _};
use larder_model::storage;
use larder_proto::TracesBytes;
use larder_proto::storage::v2::{
    FindSpansRequest, FindSpansResponse, FindTraceIDsRequest, FindTraceIDsResponse,
    FindTraceSummariesRequest, FindTraceSummariesResponse, FindTracesRequest, GetOperationsRequest,
    GetOperationsResponse, GetServicesRequest, GetServicesResponse, GetTracesRequest,
};
use larder_search::Omission;
use tonic::{Request, Response, Status};

use super::generated::jaeger::trace_reader_server::TraceReader;
use super::status;
use super::stores::{ReadPermit, Searchers};

/// The service.
pub(super) struct TraceReaderService {
    searchers: Searchers,
}

/// Messages in the order in which they are found. Dropping the stream ends the search, and a slow client slows it down.
type Answer<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send + 'static>>;

impl TraceReaderService {
    pub(super) fn new(searchers: Searchers) -> Self {
        Self { searchers }
    }

    /// Waits for the first message, so that an error before it becomes the status of the call.
    async fn answer<T: Send + 'static>(
        permit: ReadPermit,
        omission: Omission,
        found: impl Stream<Item = Result<T, storage::Error>> + Send + 'static,
    ) -> Result<Response<Answer<T>>, Status> {
        let mut found = Box::pin(found.map(move |message| {
            let _permit = &permit;
            message.map_err(|error| status::read_storage(&error))
        }));
        let first = found.next().await.transpose()?;
        let rest: Answer<T> = match first {
            Some(first) => Box::pin(stream::iter([Ok(first)]).chain(found)),
            None => Box::pin(stream::empty()),
        };
        Ok(with_omission(rest, omission))
    }
}

/// An answer that tells in its trailers what it leaves out.
pub(super) fn with_omission<T>(answer: T, omission: Omission) -> Response<T> {
    let mut response = Response::new(answer);
    response.extensions_mut().insert(omission);
    response
}

#[tonic::async_trait]
impl TraceReader for TraceReaderService {
    type GetTracesStream = Answer<TracesBytes>;

    async fn get_traces(
        &self,
        request: Request<GetTracesRequest>,
    ) -> Result<Response<Self::GetTracesStream>, Status> {
        let (searcher, permit) = self.searchers.begin(request.extensions()).await?;
        Self::answer(
            permit,
            searcher.omission(),
            searcher.get_traces(request.into_inner()),
        )
        .await
    }

    async fn get_services(
        &self,
        request: Request<GetServicesRequest>,
    ) -> Result<Response<GetServicesResponse>, Status> {
        let (searcher, _permit) = self.searchers.begin(request.extensions()).await?;
        let services = searcher.services().await;
        let services = services.map_err(|error| status::read_storage(&error))?;
        let answer = GetServicesResponse { services };
        Ok(with_omission(answer, searcher.omission()))
    }

    async fn get_operations(
        &self,
        request: Request<GetOperationsRequest>,
    ) -> Result<Response<GetOperationsResponse>, Status> {
        let (searcher, _permit) = self.searchers.begin(request.extensions()).await?;
        let operations = searcher.operations(request.into_inner()).await;
        let operations = operations.map_err(|error| status::read_storage(&error))?;
        let answer = GetOperationsResponse { operations };
        Ok(with_omission(answer, searcher.omission()))
    }

    type FindTracesStream = Answer<TracesBytes>;

    async fn find_traces(
        &self,
        request: Request<FindTracesRequest>,
    ) -> Result<Response<Self::FindTracesStream>, Status> {
        let (searcher, permit) = self.searchers.begin(request.extensions()).await?;
        let query = request.into_inner().query.unwrap_or_default();
        Self::answer(permit, searcher.omission(), searcher.find_traces(query)).await
    }

    /// `FindTraceIDs`. The generator makes this name of it.
    async fn find_trace_i_ds(
        &self,
        request: Request<FindTraceIDsRequest>,
    ) -> Result<Response<FindTraceIDsResponse>, Status> {
        let (searcher, _permit) = self.searchers.begin(request.extensions()).await?;
        let query = request.into_inner().query.unwrap_or_default();
        let found = searcher.find_trace_ids(query).await;
        found
            .map(|found| with_omission(found, searcher.omission()))
            .map_err(|error| status::read_storage(&error))
    }

    type FindTraceSummariesStream = Answer<FindTraceSummariesResponse>;

    async fn find_trace_summaries(
        &self,
        request: Request<FindTraceSummariesRequest>,
    ) -> Result<Response<Self::FindTraceSummariesStream>, Status> {
        let (searcher, permit) = self.searchers.begin(request.extensions()).await?;
        let query = request.into_inner().query.unwrap_or_default();
        Self::answer(
            permit,
            searcher.omission(),
            searcher.find_trace_summaries(query),
        )
        .await
    }

    type FindSpansStream = Answer<FindSpansResponse>;

    async fn find_spans(
        &self,
        request: Request<FindSpansRequest>,
    ) -> Result<Response<Self::FindSpansStream>, Status> {
        let (searcher, permit) = self.searchers.begin(request.extensions()).await?;
        let found = searcher.find_spans(request.into_inner());
        Self::answer(permit, searcher.omission(), found).await
    }
}
