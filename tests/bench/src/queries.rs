//! Requests that more than one measurement sends, and what an acknowledgement has to say.

use anyhow::{Result, ensure};
use bytes::Bytes;
use larder_proto::storage::v2 as proto;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message;

use crate::generate::Corpus;

/// OTLP's write.
pub(crate) const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
/// Jaeger's search.
pub(crate) const FIND_TRACES: &str = "/jaeger.storage.v2.TraceReader/FindTraces";
/// Traces by their ids.
pub(crate) const GET_TRACES: &str = "/jaeger.storage.v2.TraceReader/GetTraces";

/// All of the corpus's time, of any service: at most `depth` traces.
pub(crate) fn within(corpus: &Corpus, depth: i32) -> proto::TraceQueryParameters {
    let (from, to) = corpus.window();
    proto::TraceQueryParameters {
        start_time_min: timestamp(from),
        start_time_max: timestamp(to),
        search_depth: depth,
        ..proto::TraceQueryParameters::default()
    }
}

/// A request of `FindTraces`: the newest `depth` traces of a service.
pub(crate) fn newest(corpus: &Corpus, service: &str, depth: i32) -> Bytes {
    let query = proto::TraceQueryParameters {
        service_name: service.to_owned(),
        ..within(corpus, depth)
    };
    proto::FindTracesRequest { query: Some(query) }
        .encode_to_vec()
        .into()
}

/// A request of `GetTraces` for one trace.
pub(crate) fn trace(id: [u8; 16]) -> Bytes {
    proto::GetTracesRequest {
        query: vec![proto::GetTraceParams {
            trace_id: id.to_vec(),
            ..proto::GetTraceParams::default()
        }],
    }
    .encode_to_vec()
    .into()
}

/// Fails, with the server's words, if an Export was answered and yet some of its spans were refused.
pub(crate) fn all_kept(answer: &[Bytes]) -> Result<()> {
    for message in answer {
        let refused = ExportTraceServiceResponse::decode(message.clone())?.partial_success;
        let refused = refused.unwrap_or_default();
        ensure!(
            refused.rejected_spans == 0,
            "{} spans refused: {}",
            refused.rejected_spans,
            refused.error_message
        );
    }
    Ok(())
}

/// Nanoseconds since the epoch as a query has them.
#[expect(clippy::unnecessary_wraps, reason = "the shape of the field")]
pub(crate) fn timestamp(nanos: u64) -> Option<prost_types::Timestamp> {
    let seconds = i64::try_from(nanos / 1_000_000_000).unwrap_or(i64::MAX);
    let rest = i32::try_from(nanos % 1_000_000_000).unwrap_or(0);
    Some(prost_types::Timestamp {
        seconds,
        nanos: rest,
    })
}

/// The nanoseconds since the epoch of a query's time.
pub(crate) fn nanos(time: Option<&prost_types::Timestamp>) -> u64 {
    let time = time.copied().unwrap_or_default();
    let seconds = u64::try_from(time.seconds).unwrap_or(0);
    seconds * 1_000_000_000 + u64::try_from(time.nanos).unwrap_or(0)
}
