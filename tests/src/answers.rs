//! Puts the messages of a stream together as Jaeger's client does, and holds every one of them against the rules that all
//! streams of traces must keep (W6, W7).

use bytes::Bytes;
use larder_proto::otlp::pdata;
use opentelemetry_proto::tonic::trace::v1::{Span, TracesData};
use prost::Message as _;

use larder_oracle::otlp::spans_of;

/// What Jaeger's client takes in one message.
const CLIENT_LIMIT: usize = 4 * 1024 * 1024;

/// One trace of an answer.
#[derive(Clone, Debug)]
pub struct Trace {
    /// Its id.
    pub id: [u8; 16],
    /// How many messages it came in.
    pub messages: usize,
    /// All of it.
    pub data: TracesData,
}

impl Trace {
    /// Its spans, in the order they came.
    pub fn spans(&self) -> Vec<&Span> {
        spans_of(&self.data.resource_spans)
            .map(|one| one.span)
            .collect()
    }

    /// The ids of its spans as numbers, in the order they came.
    pub fn span_ids(&self) -> Vec<u64> {
        self.spans()
            .iter()
            .map(|span| u64::from_be_bytes(span.span_id[..].try_into().expect("eight bytes")))
            .collect()
    }
}

/// Merges messages of one trace that follow each other.
///
/// # Panics
/// When a message is empty, holds two traces, passes 4 MiB or cannot be decoded by Jaeger's client, or when a trace comes up again after another one.
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
