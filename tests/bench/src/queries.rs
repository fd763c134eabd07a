//! Methods and queries of several measurements, and the check of an acknowledgement.

use anyhow::{Result, ensure};
use bytes::Bytes;
use larder_oracle::Query;
use larder_oracle::corpus::Corpus;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message;

/// OTLP's write.
pub(crate) const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
/// Jaeger's search.
pub(crate) const FIND_TRACES: &str = "/jaeger.storage.v2.TraceReader/FindTraces";
/// Traces by their ids.
pub(crate) const GET_TRACES: &str = "/jaeger.storage.v2.TraceReader/GetTraces";

/// A query for the corpus's whole time, of any service: at most `depth` traces.
pub(crate) fn within(corpus: &Corpus, depth: i32) -> Query {
    let (from, to) = corpus.window();
    Query::default().window(from, to).depth(depth)
}

/// Fails, with the server's message, if an Export was acknowledged but some of its spans were refused.
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
