//! A client with a method per RPC, typed where tests need types.

use std::net::SocketAddr;

use bytes::Bytes;
use larder_oracle::otlp::{ResourceBuilder, SpanRef, request, spans_of};
use larder_oracle::{Query, SpanSearch};
use larder_proto::storage::v2::{
    Dependency, FindSpansRequest, FindSpansResponse, FindTraceIDsRequest, FindTraceIDsResponse,
    FindTraceSummariesRequest, FindTraceSummariesResponse, FindTracesRequest, FoundTraceId,
    GetCapabilitiesRequest, GetCapabilitiesResponse, GetDependenciesRequest,
    GetDependenciesResponse, GetOperationsRequest, GetOperationsResponse, GetServicesRequest,
    GetServicesResponse, GetTraceParams, GetTracesRequest, Operation, TraceSummary,
};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, TracesData};
use prost::Message as _;
use prost_types::Timestamp;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

use crate::answers::{Trace, merge};
use crate::patiently;
use crate::rpc::Call;
use crate::status::error_info;

/// The paths of the methods.
pub mod method {
    /// OTLP's write.
    pub const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
    /// Traces by id.
    pub const GET_TRACES: &str = "/jaeger.storage.v2.TraceReader/GetTraces";
    /// All services.
    pub const GET_SERVICES: &str = "/jaeger.storage.v2.TraceReader/GetServices";
    /// A service's operations.
    pub const GET_OPERATIONS: &str = "/jaeger.storage.v2.TraceReader/GetOperations";
    /// Traces by query.
    pub const FIND_TRACES: &str = "/jaeger.storage.v2.TraceReader/FindTraces";
    /// Ids by query.
    pub const FIND_TRACE_IDS: &str = "/jaeger.storage.v2.TraceReader/FindTraceIDs";
    /// Summaries by query.
    pub const FIND_TRACE_SUMMARIES: &str = "/jaeger.storage.v2.TraceReader/FindTraceSummaries";
    /// Spans by query.
    pub const FIND_SPANS: &str = "/jaeger.storage.v2.TraceReader/FindSpans";
    /// Calls between services.
    pub const GET_DEPENDENCIES: &str = "/jaeger.storage.v2.DependencyReader/GetDependencies";
    /// The storage's capabilities.
    pub const GET_CAPABILITIES: &str = "/jaeger.storage.v2.Capabilities/GetCapabilities";
}

/// A connection to a storage.
#[derive(Clone, Debug)]
pub struct Client {
    channel: Channel,
    call: Call,
    /// For Exports, if they go to another host.
    export: Option<Call>,
}

impl Client {
    /// Connects; waits at most [`crate::PATIENCE`].
    pub async fn connect(address: SocketAddr) -> Self {
        let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address");
        let channel = patiently("a connection", endpoint.connect())
            .await
            .unwrap_or_else(|error| panic!("could not connect to {address}: {error}"));
        Self {
            call: Call::new(channel.clone()),
            channel,
            export: None,
        }
    }

    /// Returns the same connection, whose Exports go to another host. `call` and `channel` stay with this one.
    #[must_use]
    pub fn exporting_to(self, other: &Self) -> Self {
        Self {
            export: Some(other.call.clone()),
            ..self
        }
    }

    /// Returns the channel, for generated clients.
    pub fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// Starts a call with raw bytes, or with headers and compression.
    pub fn call(&self) -> Call {
        self.call.clone()
    }

    /// Returns the same connection, with a header added to its calls.
    #[must_use]
    pub fn with_header(&self, name: &'static str, value: &str) -> Self {
        let add = |call: &Call| call.clone().header(name, value);
        Self {
            channel: self.channel.clone(),
            call: add(&self.call),
            export: self.export.as_ref().map(add),
        }
    }

    /// Returns the same connection as a tenant.
    #[must_use]
    pub fn tenant(&self, name: &str) -> Self {
        self.with_header("x-tenant", name)
    }

    /// Returns the same connection, with a bearer token.
    #[must_use]
    pub fn token(&self, token: &str) -> Self {
        self.with_header("authorization", &format!("Bearer {token}"))
    }

    /// Returns the code of `GetServices`, which needs the right to read.
    pub async fn read_code(&self) -> Code {
        self.services()
            .await
            .map_or_else(|status| status.code(), |_| Code::Ok)
    }

    /// Exports bytes unchanged.
    pub async fn export_bytes(
        &self,
        body: impl Into<Bytes>,
    ) -> Result<ExportTraceServiceResponse, Status> {
        let call = self.export.as_ref().unwrap_or(&self.call);
        let answer = call.unary(method::EXPORT, body.into()).await?;
        Ok(ExportTraceServiceResponse::decode(answer.into_inner()).expect("an Export's answer"))
    }

    /// Exports these resources in one request.
    pub async fn export(
        &self,
        resources: impl IntoIterator<Item = ResourceBuilder>,
    ) -> Result<ExportTraceServiceResponse, Status> {
        self.export_bytes(request(resources).encode_to_vec()).await
    }

    /// Exports these resources; all spans must be accepted.
    pub async fn store(&self, resources: impl IntoIterator<Item = ResourceBuilder>) {
        let answer = self.export(resources).await.expect("an Export that works");
        // Go sends an empty partial success where Larder sends none.
        let refused = answer.partial_success.unwrap_or_default();
        assert_eq!((refused.rejected_spans, &*refused.error_message), (0, ""));
    }

    /// Returns the traces of these ids; ids may have any length.
    pub async fn get_traces(
        &self,
        ids: impl IntoIterator<Item = impl AsRef<[u8]>>,
    ) -> Result<Vec<Trace>, Status> {
        let query = ids
            .into_iter()
            .map(|id| GetTraceParams {
                trace_id: id.as_ref().to_vec(),
                ..GetTraceParams::default()
            })
            .collect();
        self.traces(
            method::GET_TRACES,
            GetTracesRequest { query }.encode_to_vec(),
        )
        .await
    }

    /// Returns the trace of this id, which must exist.
    pub async fn get_trace(&self, id: [u8; 16]) -> Trace {
        let mut traces = self.get_traces([id]).await.expect("GetTraces");
        assert_eq!(traces.len(), 1, "GetTraces of one id");
        assert_eq!(traces[0].id, id);
        traces.remove(0)
    }

    /// Returns the matching traces, in the order received.
    pub async fn find_traces(&self, query: &Query) -> Result<Vec<Trace>, Status> {
        let request = FindTracesRequest {
            query: Some(query.0.clone()),
        };
        self.traces(method::FIND_TRACES, request.encode_to_vec())
            .await
    }

    async fn traces(&self, method: &'static str, body: Vec<u8>) -> Result<Vec<Trace>, Status> {
        let reply = self.call.stream(method, body.into()).await;
        reply.end.map(|()| merge(&reply.messages))
    }

    /// Returns the ids of the matching traces, in the order received. Asks `FindTraces` and `FindTraceIDs`, which must agree (Q16), as
    /// must the ids of the summaries (F1).
    pub async fn find(&self, query: &Query) -> Vec<[u8; 16]> {
        let traces = self.find_traces(query).await.expect("FindTraces");
        let found: Vec<[u8; 16]> = traces.iter().map(|trace| trace.id).collect();
        let ids = self.find_trace_ids(query).await.expect("FindTraceIDs");
        let ids: Vec<&[u8]> = ids.iter().map(|found| &found.trace_id[..]).collect();
        assert_eq!(found, ids, "FindTraces and FindTraceIDs differ: {query:?}");
        let summaries = self.find_trace_summaries(query).await.expect("summaries");
        let ids: Vec<&[u8]> = summaries.iter().map(|found| &found.trace_id[..]).collect();
        assert_eq!(
            found, ids,
            "FindTraces and FindTraceSummaries differ: {query:?}"
        );
        found
    }

    /// Like [`Self::find`], but also returns refusals, on which all three must agree as well.
    pub async fn search(&self, query: &Query) -> Result<Vec<[u8; 16]>, Status> {
        let Err(refused) = self.find_trace_ids(query).await else {
            return Ok(self.find(query).await);
        };
        let others = [
            self.find_traces(query).await.map(drop),
            self.find_trace_summaries(query).await.map(drop),
        ];
        for other in others {
            let other = other.expect_err("FindTraceIDs refuses what another RPC answers");
            assert_eq!(other.code(), refused.code(), "{other:?} and {refused:?}");
            assert_eq!(other.message(), refused.message());
            assert_eq!(error_info(&other), error_info(&refused));
        }
        Err(refused)
    }

    /// `FindTraceIDs`.
    pub async fn find_trace_ids(&self, query: &Query) -> Result<Vec<FoundTraceId>, Status> {
        let request = FindTraceIDsRequest {
            query: Some(query.0.clone()),
        };
        let answer: FindTraceIDsResponse = self.call.ask(method::FIND_TRACE_IDS, &request).await?;
        Ok(answer.trace_ids)
    }

    /// Returns one page of `FindTraceIDs`, and the token of the next.
    pub async fn page_of_ids(&self, query: &Query) -> Result<(Vec<[u8; 16]>, String), Status> {
        let request = FindTraceIDsRequest {
            query: Some(query.0.clone()),
        };
        let answer: FindTraceIDsResponse = self.call.ask(method::FIND_TRACE_IDS, &request).await?;
        let ids = answer.trace_ids.iter();
        let ids = ids.map(|found| found.trace_id.as_slice().try_into().expect("a trace id"));
        Ok((ids.collect(), answer.next_page_token))
    }

    /// Returns one page of `FindTraceSummaries`, and the token of the next, which is in its last message.
    pub async fn page_of_summaries(
        &self,
        query: &Query,
    ) -> Result<(Vec<[u8; 16]>, String), Status> {
        let request = FindTraceSummariesRequest {
            query: Some(query.0.clone()),
        };
        let body = request.encode_to_vec().into();
        let reply = self.call.stream(method::FIND_TRACE_SUMMARIES, body).await;
        reply.end?;
        let messages = reply
            .messages
            .into_iter()
            .map(|message| FindTraceSummariesResponse::decode(message).expect("summaries"));
        let messages: Vec<_> = messages.collect();
        let before = messages.iter().rev().skip(1);
        let mut tokens = before.map(|message| message.next_page_token.as_str());
        assert!(
            tokens.all(str::is_empty),
            "the token is in the last message alone"
        );
        let summaries = messages.iter().flat_map(|message| &message.summaries);
        let ids = summaries.map(|summary| summary.trace_id.as_slice().try_into().expect("an id"));
        let token = messages
            .last()
            .map(|message| message.next_page_token.clone());
        Ok((ids.collect(), token.unwrap_or_default()))
    }

    /// Returns one page of `FindSpans`: its spans, each alone with its resource and scope, and the token of the next. Only the last message
    /// may have the token or no spans.
    pub async fn page_of_spans(
        &self,
        search: &SpanSearch,
    ) -> Result<(Vec<ResourceSpans>, String), Status> {
        let mut spans = Vec::new();
        let mut token = String::new();
        for message in self.messages_of_spans(search).await? {
            assert_eq!(token, "", "a token before the last message");
            let message = FindSpansResponse::decode(message).expect("spans");
            token = message.next_page_token;
            let bytes = message.spans.unwrap_or_default().0;
            assert!(!bytes.is_empty() || !token.is_empty(), "an empty message");
            let data = TracesData::decode(bytes).expect("a TracesData");
            spans.extend(spans_of(&data.resource_spans).map(SpanRef::alone));
        }
        Ok((spans, token))
    }

    /// Returns the messages of one page of `FindSpans`, as sent.
    pub async fn messages_of_spans(&self, search: &SpanSearch) -> Result<Vec<Bytes>, Status> {
        let request = FindSpansRequest {
            query: Some(search.0.clone()),
        };
        let body = request.encode_to_vec().into();
        let reply = self.call.stream(method::FIND_SPANS, body).await;
        reply.end?;
        Ok(reply.messages)
    }

    /// Follows the tokens of a search for spans to the end. Returns the pages, of which all but the last are full.
    pub async fn pages_of_spans(&self, search: &SpanSearch, size: u32) -> Vec<Vec<ResourceSpans>> {
        let mut pages: Vec<Vec<ResourceSpans>> = Vec::new();
        let mut token = String::new();
        loop {
            let page = self.page_of_spans(&search.clone().page(size, &token)).await;
            let (spans, next) = page.expect("FindSpans");
            assert!(
                next.is_empty() || spans.len() == size as usize,
                "a short page"
            );
            assert!(
                next.is_empty() || next != token,
                "a page ends behind the one before"
            );
            pages.push(spans);
            token = next;
            if token.is_empty() {
                return pages;
            }
        }
    }

    /// `FindTraceSummaries`, its messages merged.
    pub async fn find_trace_summaries(&self, query: &Query) -> Result<Vec<TraceSummary>, Status> {
        let request = FindTraceSummariesRequest {
            query: Some(query.0.clone()),
        };
        let reply = self
            .call
            .stream(method::FIND_TRACE_SUMMARIES, request.encode_to_vec().into())
            .await;
        reply.end?;
        Ok(reply
            .messages
            .into_iter()
            .flat_map(|message| {
                FindTraceSummariesResponse::decode(message)
                    .expect("summaries")
                    .summaries
            })
            .collect())
    }

    /// `GetServices`.
    pub async fn services(&self) -> Result<Vec<String>, Status> {
        let answer: GetServicesResponse = self
            .call
            .ask(method::GET_SERVICES, &GetServicesRequest {})
            .await?;
        Ok(answer.services)
    }

    /// `GetOperations`; an empty kind means any.
    pub async fn operations(&self, service: &str, kind: &str) -> Result<Vec<Operation>, Status> {
        let request = GetOperationsRequest {
            service: service.to_owned(),
            span_kind: kind.to_owned(),
        };
        let answer: GetOperationsResponse = self.call.ask(method::GET_OPERATIONS, &request).await?;
        Ok(answer.operations)
    }

    /// `GetDependencies`.
    pub async fn dependencies(
        &self,
        start: Option<Timestamp>,
        end: Option<Timestamp>,
    ) -> Result<Vec<Dependency>, Status> {
        let request = GetDependenciesRequest {
            start_time: start,
            end_time: end,
        };
        let answer: GetDependenciesResponse =
            self.call.ask(method::GET_DEPENDENCIES, &request).await?;
        Ok(answer.dependencies)
    }

    /// `GetCapabilities`.
    pub async fn capabilities(&self) -> Result<GetCapabilitiesResponse, Status> {
        self.call
            .ask(method::GET_CAPABILITIES, &GetCapabilitiesRequest {})
            .await
    }
}
