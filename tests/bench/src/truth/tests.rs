use std::collections::HashMap;

use opentelemetry_proto::tonic::trace::v1::Span;

use super::*;
use crate::generate::Corpus;
use crate::source::all_of;

const SERVICE: &str = "payment-service-07";

fn of_service(seen: &Seen<'_>) -> bool {
    seen.service == SERVICE
}

fn selection(from: u64, to: u64, depth: usize) -> Selection {
    Selection {
        matches: of_service,
        from,
        to,
        depth,
    }
}

fn corpus() -> Corpus {
    Corpus::new(7, 3_000, 500)
}

fn truth(question: Question) -> Result<Findings> {
    let findings = Truth::of(std::iter::once(question), all_of(&corpus()))?;
    findings.into_iter().next().context("an answer")
}

/// All spans with their services.
fn everything() -> Vec<(String, Span)> {
    let corpus = corpus();
    let messages: Vec<_> = (0..corpus.requests())
        .map(|index| corpus.message(index).0)
        .collect();
    let seen = messages.iter().flat_map(seen::spans);
    seen.map(|of| (of.service.to_owned(), of.span.clone()))
        .collect()
}

/// The same by sorting everything: ids with the number of spans, newest first.
fn by_sorting(from: u64, to: u64, depth: usize) -> Vec<(String, String)> {
    let (mut newest, mut sizes) = (HashMap::new(), HashMap::new());
    for (service, span) in everything() {
        *sizes.entry(span.trace_id.clone()).or_insert(0) += 1;
        let start = span.start_time_unix_nano;
        if service == SERVICE && start >= from && start <= to {
            let newest: &mut u64 = newest.entry(span.trace_id).or_default();
            *newest = start.max(*newest);
        }
    }
    let mut order: Vec<_> = newest.into_iter().collect();
    order.sort_by(|(id, start), (other, later)| later.cmp(start).then(id.cmp(other)));
    order.truncate(depth);
    let order = order.into_iter();
    order
        .map(|(id, _)| {
            (
                hex(&id),
                findings::spans(sizes.get(&id).copied().unwrap_or(0)),
            )
        })
        .collect()
}

#[test]
fn the_newest_traces_are_those_that_sorting_all_of_them_gives() -> Result<()> {
    let (start, end) = corpus().window();
    let middle = start + (end - 60_000_000_000 - start) / 2;
    for (from, to, depth) in [
        (start, end, 5),
        (start, end, 1_000),
        (start, middle, 7),
        (middle, end, 7),
    ] {
        let sorted = by_sorting(from, to, depth);
        assert!(sorted.len() >= 5, "{}", sorted.len());
        let found = truth(Question::Traces(selection(from, to, depth)))?;
        assert_eq!(found, Findings::newest_first(sorted));
    }
    Ok(())
}

#[test]
fn both_ends_of_the_window_belong_to_it() -> Result<()> {
    let of_service = everything().into_iter().find(|(of, _)| of == SERVICE);
    let (_, span) = of_service.context("a span of the service")?;
    let start = span.start_time_unix_nano;
    let found = truth(Question::Ids(selection(start, start, 20)))?;
    let only = Findings::newest_first([(hex(&span.trace_id), String::new())]);
    assert_eq!(found, only);
    Ok(())
}

fn kind(kind: i32) -> &'static str {
    let kinds = ["", "internal", "server", "client", "producer", "consumer"];
    let place = usize::try_from(kind).unwrap_or(0);
    kinds.get(place).copied().unwrap_or_default()
}

#[test]
fn names_and_one_trace_are_those_of_all_spans() -> Result<()> {
    let everything = everything();
    let nothing = |name: String| (name, String::new());
    let services: BTreeSet<String> = everything.iter().map(|(of, _)| of.clone()).collect();
    assert_eq!(
        truth(Question::Services)?,
        Findings::any_order(services.into_iter().map(nothing))
    );
    let operations: BTreeSet<String> = everything
        .iter()
        .filter(|(service, _)| service == SERVICE)
        .map(|(_, span)| format!("{} [{}]", span.name, kind(span.kind)))
        .collect();
    assert!(operations.len() > 5);
    let found = truth(Question::Operations(SERVICE.to_owned()))?;
    assert_eq!(
        found,
        Findings::any_order(operations.into_iter().map(nothing))
    );
    let id = corpus().trace_id(1);
    let spans = everything
        .iter()
        .filter(|(_, span)| span.trace_id == id)
        .count();
    assert!(spans > 0);
    assert_eq!(
        truth(Question::Trace(id))?,
        Findings::any_order([(hex(&id), format!("{spans} spans"))])
    );
    assert_eq!(truth(Question::Trace([9; 16]))?.len(), 0);
    Ok(())
}

#[test]
fn dependencies_count_each_span_with_its_parents_service() -> Result<()> {
    let everything = everything();
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for (child, span) in &everything {
        let parents = everything
            .iter()
            .filter(|(_, of)| of.trace_id == span.trace_id && of.span_id == span.parent_span_id);
        for (parent, _) in parents {
            *counts.entry(format!("{parent} -> {child}")).or_default() += 1;
        }
    }
    assert!(counts.len() > 60);
    let counts = counts
        .into_iter()
        .map(|(pair, calls)| (pair, format!("{calls} calls")));
    assert_eq!(truth(Question::Dependencies)?, Findings::any_order(counts));
    Ok(())
}

/// A trace of three spans: the root fails, one is another service's, one has a parent that is not there.
#[test]
fn a_summary_tells_root_times_failures_orphans_and_services() {
    let mut message = Corpus::new(7, 3, 3).request_of(0, "a");
    let mut spans: Vec<Span> = Vec::new();
    for scope in message
        .resource_spans
        .iter_mut()
        .flat_map(|of| &mut of.scope_spans)
    {
        spans.append(&mut scope.spans);
    }
    for ((number, parent, name), span) in [(1, 0, "root"), (2, 1, "child"), (3, 9, "orphan")]
        .into_iter()
        .zip(&mut spans)
    {
        span.trace_id = vec![7; 16];
        span.span_id = vec![number; 8];
        span.parent_span_id = if parent == 0 {
            Vec::new()
        } else {
            vec![parent; 8]
        };
        span.name = name.to_owned();
        span.start_time_unix_nano = 100 + u64::from(number);
        span.end_time_unix_nano = 200 - u64::from(number);
        span.status = (number == 1).then(|| opentelemetry_proto::tonic::trace::v1::Status {
            code: 2,
            message: String::new(),
        });
    }
    let last = spans.pop();
    message.resource_spans.truncate(1);
    let mut other = Corpus::new(7, 1, 1).request_of(0, "b");
    for (of, spans) in [
        (&mut message, spans),
        (&mut other, last.into_iter().collect()),
    ] {
        for scope in of
            .resource_spans
            .iter_mut()
            .flat_map(|of| of.scope_spans.iter_mut().take(1))
        {
            scope.spans = spans.clone();
        }
    }
    message.resource_spans.append(&mut other.resource_spans);
    let mut truth = Truth::new(std::iter::once(Question::Summaries(Selection {
        matches: |of| of.service == "b",
        ..selection(0, 1_000, 20)
    })));
    truth.add(&message);
    let about = "root \"a\" \"root\", 101 to 199, 3 spans, 1 failed, 1 orphans, a 1/2 b 0/1";
    let expected = Findings::newest_first([("07".repeat(16), about.to_owned())]);
    assert_eq!(truth.findings(), [expected]);
}
