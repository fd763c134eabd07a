use std::collections::BTreeSet;

use super::{Corpus, ExportTraceServiceRequest, Message, Span, extras};

fn spans(corpus: &Corpus) -> anyhow::Result<Vec<(Span, usize)>> {
    let mut spans = Vec::new();
    for index in 0..corpus.requests() {
        let request = ExportTraceServiceRequest::decode(corpus.request(index).bytes)?;
        for scope in request
            .resource_spans
            .into_iter()
            .flat_map(|of| of.scope_spans)
        {
            let attributes = scope.scope.unwrap_or_default().attributes.len();
            spans.extend(scope.spans.into_iter().map(|span| (span, attributes)));
        }
    }
    Ok(spans)
}

#[test]
fn a_request_is_the_same_at_every_call() {
    let corpus = Corpus::new(7, 3_500, 1_000);
    let counts: Vec<_> = (0..4).map(|index| corpus.request(index).spans).collect();
    assert_eq!(counts, [1_000, 1_000, 1_000, 500]);
    assert_eq!(corpus.request(2).bytes, corpus.request(2).bytes);
    assert_ne!(
        corpus.request(2).bytes,
        Corpus::new(8, 3_500, 1_000).request(2).bytes
    );
}

#[test]
fn one_span_in_fifty_has_events_a_link_and_a_scope_attribute() -> anyhow::Result<()> {
    let corpus = Corpus::new(7, 50_000, 1_000);
    let spans = spans(&corpus)?;
    assert_eq!(spans.len(), 50_000);
    let with_extras: Vec<_> = spans
        .iter()
        .filter(|(span, _)| extras::are_in(span))
        .collect();
    assert!(
        (900..1_100).contains(&with_extras.len()),
        "{}",
        with_extras.len()
    );
    for (span, scope_attributes) in &spans {
        let expected = if extras::are_in(span) {
            (2, 1, 1)
        } else {
            (0, 0, 0)
        };
        assert_eq!(
            (span.events.len(), span.links.len(), *scope_attributes),
            expected
        );
    }
    let ids: BTreeSet<_> = spans
        .iter()
        .map(|(span, _)| (&span.trace_id, &span.span_id))
        .collect();
    assert_eq!(ids.len(), spans.len());
    Ok(())
}

/// The figures of one version are compared with those of another.
#[test]
fn a_span_is_about_510_bytes() {
    let corpus = Corpus::new(7, 20_000, 1_000);
    let bytes: usize = (0..20).map(|index| corpus.request(index).bytes.len()).sum();
    assert!((500..520).contains(&(bytes / 20_000)), "{}", bytes / 20_000);
}
