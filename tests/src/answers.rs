//! Merges the messages of a stream as Jaeger's client does, and checks each against the rules for all streams of traces (W6, W7).

use bytes::Bytes;
use larder_proto::otlp::pdata;
use opentelemetry_proto::tonic::trace::v1::{Span, TracesData};
use prost::Message as _;

use larder_oracle::otlp::spans_of;

/// The largest message that Jaeger's client accepts, bytes.
const CLIENT_LIMIT: usize = 4 * 1024 * 1024;

/// One trace of an answer.
#[derive(Clone, Debug)]
pub struct Trace {
    /// Its id.
    pub id: [u8; 16],
    /// The number of messages that held it.
    pub messages: usize,
    /// All of its spans.
    pub data: TracesData,
}

impl Trace {
    /// Returns its spans in the order received.
    pub fn spans(&self) -> Vec<&Span> {
        spans_of(&self.data.resource_spans)
            .map(|one| one.span)
            .collect()
    }

    /// Returns its span ids as numbers, in the order received.
    pub fn span_ids(&self) -> Vec<u64> {
        self.spans()
            .iter()
            .map(|span| u64::from_be_bytes(span.span_id[..].try_into().expect("eight bytes")))
            .collect()
    }
}

/// Merges consecutive messages of one trace.
///
/// # Panics
/// If a message is empty, holds two traces, exceeds 4 MiB or cannot be decoded by Jaeger's client, or if a trace continues after another.
pub fn merge(messages: &[Bytes]) -> Vec<Trace> {
    let mut traces: Vec<Trace> = Vec::new();
    for message in messages {
        assert!(message.len() < CLIENT_LIMIT, "{} bytes (W7)", message.len());
        assert!(pdata::decodes(message), "Jaeger cannot read it");
        let data = TracesData::decode(&message[..]).expect("a TracesData");
        let spans: Vec<_> = spans_of(&data.resource_spans).collect();
        assert!(!spans.is_empty(), "an empty message (W6)");
        let id: [u8; 16] = spans[0].span.trace_id[..].try_into().unwrap();
        assert!(
            spans.iter().all(|one| one.span.trace_id == id),
            "two traces in one message (W6)"
        );
        if let Some(last) = traces.last_mut().filter(|last| last.id == id) {
            last.messages += 1;
            last.data.resource_spans.extend(data.resource_spans);
        } else {
            assert!(
                traces.iter().all(|trace| trace.id != id),
                "a trace whose messages are apart (W6)"
            );
            traces.push(Trace {
                id,
                messages: 1,
                data,
            });
        }
    }
    traces
}
