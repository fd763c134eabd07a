//! gRPC with raw bytes, so that a test can send malformed messages and compare answers byte for byte.

use bytes::Bytes;
use larder_oracle::grpc::Raw;
use prost::Message;
use tonic::client::Grpc;
use tonic::codec::CompressionEncoding;
use tonic::metadata::MetadataMap;
use tonic::transport::Channel;
use tonic::{Request, Response, Status, Streaming};

use crate::patiently;

/// The settings of a call: by default uncompressed, accepting no compression, and with the limits of Jaeger's client.
#[derive(Clone, Debug)]
pub struct Call {
    channel: Channel,
    send: Option<CompressionEncoding>,
    accept: Option<CompressionEncoding>,
    limit: Option<usize>,
    metadata: MetadataMap,
}

/// The result of a call: its messages, its metadata, and its status.
#[derive(Debug)]
pub struct Reply {
    /// Messages in order.
    pub messages: Vec<Bytes>,
    /// Header metadata.
    pub metadata: MetadataMap,
    /// `Ok` or the status that the stream ended with.
    pub end: Result<(), Status>,
}

impl Call {
    /// Makes plain calls on `channel`.
    pub fn new(channel: Channel) -> Self {
        Self {
            channel,
            send: None,
            accept: None,
            limit: None,
            metadata: MetadataMap::new(),
        }
    }

    /// Compresses requests.
    #[must_use]
    pub fn send(mut self, encoding: CompressionEncoding) -> Self {
        self.send = Some(encoding);
        self
    }

    /// Accepts compressed responses.
    #[must_use]
    pub fn accept(mut self, encoding: CompressionEncoding) -> Self {
        self.accept = Some(encoding);
        self
    }

    /// Accepts messages of up to `bytes`, as Jaeger does where its limit is raised.
    #[must_use]
    pub fn limit(mut self, bytes: usize) -> Self {
        self.limit = Some(bytes);
        self
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        self.metadata
            .append(name, value.parse().expect("a header's value"));
        self
    }

    fn request(&self, body: Bytes) -> Request<Bytes> {
        let mut request = Request::new(body);
        *request.metadata_mut() = self.metadata.clone();
        request
    }

    fn grpc(&self) -> Grpc<Channel> {
        // Requests may be larger than responses: Jaeger's exporter sets no limit either.
        let mut grpc = Grpc::new(self.channel.clone());
        if let Some(encoding) = self.send {
            grpc = grpc.send_compressed(encoding);
        }
        if let Some(bytes) = self.limit {
            grpc = grpc.max_decoding_message_size(bytes);
        }
        if let Some(encoding) = self.accept {
            grpc = grpc.accept_compressed(encoding);
        }
        grpc
    }

    /// Makes a unary call with an unmodified body.
    pub async fn unary(
        &self,
        method: &'static str,
        body: Bytes,
    ) -> Result<Response<Bytes>, Status> {
        patiently(method, async {
            let mut grpc = self.grpc();
            ready(&mut grpc).await?;
            grpc.unary(self.request(body), path(method), Raw).await
        })
        .await
    }

    /// Starts a call and never sends its request.
    pub async fn unfinished(&self, method: &'static str) -> Status {
        let nothing = Request::new(tokio_stream::pending());
        let answer = patiently(method, async {
            let mut grpc = self.grpc();
            ready(&mut grpc).await?;
            grpc.client_streaming(nothing, path(method), Raw).await
        });
        let answer: Result<Response<Bytes>, Status> = answer.await;
        answer.expect_err("a call without a request")
    }

    /// Opens a server stream with an unmodified body.
    pub async fn open(
        &self,
        method: &'static str,
        body: Bytes,
    ) -> Result<Response<Streaming<Bytes>>, Status> {
        patiently(method, async {
            let mut grpc = self.grpc();
            ready(&mut grpc).await?;
            grpc.server_streaming(self.request(body), path(method), Raw)
                .await
        })
        .await
    }

    /// Reads a server stream to its end.
    pub async fn stream(&self, method: &'static str, body: Bytes) -> Reply {
        let response = match self.open(method, body).await {
            Ok(response) => response,
            Err(status) => {
                return Reply {
                    messages: Vec::new(),
                    metadata: status.metadata().clone(),
                    end: Err(status),
                };
            }
        };
        let metadata = response.metadata().clone();
        let mut stream = response.into_inner();
        let mut messages = Vec::new();
        let end = loop {
            match patiently(method, stream.message()).await {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break Ok(()),
                Err(status) => break Err(status),
            }
        };
        Reply {
            messages,
            metadata,
            end,
        }
    }

    /// Makes a unary call with typed messages.
    pub async fn ask<A: Message + Default>(
        &self,
        method: &'static str,
        question: &impl Message,
    ) -> Result<A, Status> {
        let answer = self
            .unary(method, question.encode_to_vec().into())
            .await?
            .into_inner();
        Ok(A::decode(answer).unwrap_or_else(|error| panic!("{method} answered: {error}")))
    }
}
async fn ready(grpc: &mut Grpc<Channel>) -> Result<(), Status> {
    grpc.ready()
        .await
        .map_err(|error| Status::unavailable(format!("no connection: {error}")))
}

fn path(method: &'static str) -> http::uri::PathAndQuery {
    http::uri::PathAndQuery::from_static(method)
}
