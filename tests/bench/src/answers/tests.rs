use opentelemetry_proto::tonic::trace::v1::{ScopeSpans, Span};

use super::*;

fn spans(ids: &[u8]) -> Vec<ResourceSpans> {
    let spans = ids.iter().map(|id| Span {
        trace_id: vec![*id; 16],
        ..Span::default()
    });
    vec![ResourceSpans {
        scope_spans: vec![ScopeSpans {
            spans: spans.collect(),
            ..ScopeSpans::default()
        }],
        ..ResourceSpans::default()
    }]
}

/// An answer with a message for each slice.
fn answer(messages: &[&[u8]]) -> Vec<Bytes> {
    let data = messages.iter().map(|ids| TracesData {
        resource_spans: spans(ids),
    });
    data.map(|data| data.encode_to_vec().into()).collect()
}

fn written(ids: &[u8]) -> Traces {
    let mut traces = Traces::default();
    traces.add(&spans(ids));
    traces
}

#[test]
fn an_answer_may_come_in_any_order_and_in_pieces() -> Result<()> {
    written(&[1, 1, 2]).check(&answer(&[&[2, 1], &[], &[1]]))?;
    Traces::default().check(&[])
}

#[test]
fn another_tenants_trace_fails() {
    let error = written(&[1, 2]).check(&answer(&[&[1, 2, 3]]));
    let foreign = format!("{} came back and is none of the 2", "03".repeat(16));
    assert!(error.is_err_and(|error| error.to_string().contains(&foreign)));
}

#[test]
fn a_missing_trace_or_span_or_one_too_many_fails() {
    let traces = written(&[1, 1, 2]);
    assert!(traces.check(&answer(&[&[1, 1]])).is_err());
    assert!(traces.check(&answer(&[&[1, 2]])).is_err());
    assert!(traces.check(&answer(&[&[1, 1, 1, 2]])).is_err());
    assert!(traces.check(&[Bytes::from_static(b"\xff")]).is_err());
}

#[test]
fn a_part_of_the_traces_keeps_their_spans() {
    let traces = written(&[1, 1, 2, 3]);
    assert_eq!(traces.only(&[vec![1; 16], vec![9; 16]]), written(&[1, 1]));
}
