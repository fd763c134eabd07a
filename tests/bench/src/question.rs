//! Questions to a storage, each with its method and request.

use bytes::Bytes;
use larder_oracle::Query;
use larder_proto::storage::v2 as proto;
use prost::Message;

use crate::queries::{FIND_TRACES, GET_TRACES};

/// A question to `TraceReader` or `DependencyReader`.
#[derive(Clone, Debug)]
pub(crate) enum Question {
    /// `FindTraces`.
    Traces(Query),
    /// `FindTraceIDs`.
    Ids(Query),
    /// `FindTraceSummaries`.
    Summaries(Query),
    /// `GetTraces` of one.
    Trace([u8; 16]),
    /// `GetServices`.
    Services,
    /// `GetOperations` of a service, of every kind.
    Operations(String),
    /// `GetDependencies` in a window of nanoseconds since the epoch.
    Dependencies(u64, u64),
}

impl Question {
    /// Returns the path of its method.
    pub(crate) fn method(&self) -> &'static str {
        match self {
            Self::Traces(_) => FIND_TRACES,
            Self::Ids(_) => "/jaeger.storage.v2.TraceReader/FindTraceIDs",
            Self::Summaries(_) => "/jaeger.storage.v2.TraceReader/FindTraceSummaries",
            Self::Trace(_) => GET_TRACES,
            Self::Services => "/jaeger.storage.v2.TraceReader/GetServices",
            Self::Operations(_) => "/jaeger.storage.v2.TraceReader/GetOperations",
            Self::Dependencies(..) => "/jaeger.storage.v2.DependencyReader/GetDependencies",
        }
    }

    /// Encodes its request.
    pub(crate) fn request(&self) -> Bytes {
        let query = |query: &Query| Some(query.0.clone());
        match self {
            Self::Traces(of) => proto::FindTracesRequest { query: query(of) }.encode_to_vec(),
            Self::Ids(of) => proto::FindTraceIDsRequest { query: query(of) }.encode_to_vec(),
            Self::Summaries(of) => {
                proto::FindTraceSummariesRequest { query: query(of) }.encode_to_vec()
            }
            Self::Trace(id) => {
                let one = proto::GetTraceParams {
                    trace_id: id.to_vec(),
                    ..proto::GetTraceParams::default()
                };
                proto::GetTracesRequest { query: vec![one] }.encode_to_vec()
            }
            Self::Services => proto::GetServicesRequest {}.encode_to_vec(),
            Self::Operations(service) => proto::GetOperationsRequest {
                service: service.clone(),
                span_kind: String::new(),
            }
            .encode_to_vec(),
            Self::Dependencies(from, to) => proto::GetDependenciesRequest {
                start_time: Some(larder_oracle::timestamp(*from)),
                end_time: Some(larder_oracle::timestamp(*to)),
            }
            .encode_to_vec(),
        }
        .into()
    }

    /// Returns true if spans after its window, or of other traces, do not change the answer.
    pub(crate) fn has_window(&self) -> bool {
        match self {
            Self::Traces(_) | Self::Ids(_) | Self::Summaries(_) | Self::Trace(_) => true,
            Self::Services | Self::Operations(_) | Self::Dependencies(..) => false,
        }
    }
}
