use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};

use super::*;

fn found(ids: &[(&str, &str)]) -> Findings {
    Findings::newest_first(
        ids.iter()
            .map(|(id, about)| ((*id).to_owned(), (*about).to_owned())),
    )
}

fn message(ids: &[u8]) -> Bytes {
    let spans = ids.iter().map(|id| Span {
        trace_id: vec![*id; 2],
        ..Span::default()
    });
    let scope = ScopeSpans {
        spans: spans.collect(),
        ..ScopeSpans::default()
    };
    let resource = ResourceSpans {
        scope_spans: vec![scope],
        ..ResourceSpans::default()
    };
    TracesData {
        resource_spans: vec![resource],
    }
    .encode_to_vec()
    .into()
}

#[test]
fn a_trace_in_pieces_is_one_and_one_in_two_places_is_two() -> Result<()> {
    let question = Question::Trace([0; 16]);
    let read = |messages: &[&[u8]]| {
        let answer: Vec<Bytes> = messages.iter().map(|ids| message(ids)).collect();
        Findings::read(&question, &answer)
    };
    let expected = found(&[("0202", "3 spans"), ("0101", "1 spans")]);
    let came = read(&[&[2, 2], &[2], &[1]])?;
    assert_eq!(expected.difference(&came, false), None);
    let torn = expected.difference(&read(&[&[2, 2], &[1], &[2]])?, false);
    assert!(torn.is_some_and(|of| of.contains("1 twice")));
    Ok(())
}

#[test]
fn missing_extra_and_wrong_items_are_counted_and_the_first_named() {
    let expected = found(&[("a", "1"), ("b", "2"), ("c", "3")]);
    let came = found(&[("b", "7"), ("c", "3"), ("d", ""), ("e", "")]);
    assert_eq!(
        expected.difference(&came, false).as_deref(),
        Some("1 of 3 missing (a), 2 too many (d), 1 wrong (b with 7, not 2)")
    );
    assert!(expected.difference(&found(&[]), true).is_some());
}

#[test]
fn another_order_differs_where_it_is_promised_and_not_for_a_peer() {
    let (expected, came) = (
        found(&[("a", ""), ("b", "")]),
        found(&[("b", ""), ("a", "")]),
    );
    assert_eq!(
        expected.difference(&came, false).as_deref(),
        Some("in another order")
    );
    assert_eq!(expected.difference(&came, true), None);
    let anyhow = Findings::any_order([
        ("a".to_owned(), String::new()),
        ("b".to_owned(), String::new()),
    ]);
    assert_eq!(anyhow.difference(&came, false), None);
}

#[test]
fn other_answers_are_read_into_names_and_counts() -> Result<()> {
    let ids = proto::FindTraceIDsResponse {
        trace_ids: vec![proto::FoundTraceId {
            trace_id: vec![1; 16],
            ..proto::FoundTraceId::default()
        }],
        ..proto::FindTraceIDsResponse::default()
    };
    let question = Question::Ids(larder_oracle::Query::default());
    let read = Findings::read(&question, &[ids.encode_to_vec().into()])?;
    assert_eq!(read, found(&[(&"01".repeat(16), "")]));
    let calls = proto::GetDependenciesResponse {
        dependencies: vec![proto::Dependency {
            parent: "a".to_owned(),
            child: "b".to_owned(),
            call_count: 3,
            ..proto::Dependency::default()
        }],
    };
    let read = Findings::read(
        &Question::Dependencies(0, 1),
        &[calls.encode_to_vec().into()],
    )?;
    assert_eq!(read, found(&[("a -> b", "3 calls")]));
    let operations = proto::GetOperationsResponse {
        operations: vec![proto::Operation {
            name: "get".to_owned(),
            span_kind: "server".to_owned(),
        }],
    };
    let question = Question::Operations(String::new());
    let read = Findings::read(&question, &[operations.encode_to_vec().into()])?;
    assert_eq!(read, found(&[("get [server]", "")]));
    Ok(())
}
