use larder_oracle::corpus::{Corpus, service_name};
use larder_oracle::{Oracle, Query};

use super::*;
use crate::queries::within;
use crate::source::all_of;

fn corpus() -> Corpus {
    Corpus::new(7, 3_000, 500)
}

fn messages() -> Vec<ExportTraceServiceRequest> {
    let corpus = corpus();
    let all = 0..corpus.requests();
    all.map(|index| corpus.message(index).0).collect()
}

fn oracle(messages: &[ExportTraceServiceRequest]) -> Oracle<'_> {
    Oracle::new(messages.iter().flat_map(|message| &message.resource_spans))
}

fn truth(question: Question) -> Result<Findings> {
    let findings = Truth::of(std::iter::once(question), all_of(&corpus()))?;
    findings.into_iter().next().context("an answer")
}

fn of_service(depth: i32) -> Query {
    within(&corpus(), depth).service(service_name(7))
}

#[test]
fn the_newest_traces_are_those_that_sorting_all_of_them_gives() -> Result<()> {
    let messages = messages();
    let oracle = oracle(&messages);
    let (start, end) = corpus().window();
    let middle = start + (end - 60_000_000_000 - start) / 2;
    for query in [
        of_service(5),
        of_service(1_000),
        of_service(7).not_after(middle),
        of_service(7).not_before(middle),
    ] {
        let sorted = oracle.find(&query.0).into_iter();
        let sorted: Vec<_> = sorted
            .map(|id| (hex(&id), format!("{} spans", oracle.trace(id).len())))
            .collect();
        assert!(sorted.len() >= 5, "{}", sorted.len());
        let found = truth(Question::Traces(query))?;
        assert_eq!(found, Findings::newest_first(sorted));
    }
    Ok(())
}

#[test]
fn names_and_one_trace_are_those_of_all_spans() -> Result<()> {
    let messages = messages();
    let all = || spans_of(messages.iter().flat_map(|message| &message.resource_spans));
    let names = |names: BTreeSet<String>| {
        assert!(names.len() > 5);
        Findings::any_order(names.into_iter().map(|name| (name, String::new())))
    };
    let services = all().map(|one| service(one).to_owned());
    assert_eq!(truth(Question::Services)?, names(services.collect()));
    let ours = all().filter(|one| service(*one) == service_name(7));
    let operations = ours.map(|one| format!("{} [{}]", one.span.name, kind(one)));
    assert_eq!(
        truth(Question::Operations(service_name(7)))?,
        names(operations.collect())
    );
    let id = corpus().trace_id(1);
    let spans = all().filter(|one| one.span.trace_id == id).count();
    assert!(spans > 0);
    assert_eq!(
        truth(Question::Trace(id))?,
        Findings::any_order([(hex(&id), format!("{spans} spans"))])
    );
    assert_eq!(truth(Question::Trace([9; 16]))?.len(), 0);
    Ok(())
}

#[test]
fn dependencies_are_counted_over_all_exports_within_the_window() -> Result<()> {
    let messages = messages();
    let oracle = oracle(&messages);
    let (start, end) = corpus().window();
    let middle = start + (end - 60_000_000_000 - start) / 2;
    for to in [middle, u64::MAX >> 1] {
        let counts = oracle.dependencies(start, to);
        assert!(counts.len() > 60);
        let counts = counts.into_iter().map(|of| {
            let calls = format!("{} calls", of.call_count);
            (format!("{} -> {}", of.parent, of.child), calls)
        });
        let found = truth(Question::Dependencies(start, to))?;
        assert_eq!(found, Findings::any_order(counts));
    }
    Ok(())
}

#[test]
fn a_summary_is_that_of_all_spans_of_the_trace() -> Result<()> {
    let messages = messages();
    let message = messages.first().context("an Export")?;
    let oracle = Oracle::new(&message.resource_spans);
    let query = of_service(20);
    let expected = oracle.find(&query.0).into_iter();
    let expected: Vec<_> = expected
        .map(|id| (hex(&id), findings::summary(&oracle.summary(id))))
        .collect();
    assert!(expected.len() > 1);
    let found = Truth::of_one(Question::Summaries(query), message);
    assert_eq!(found, Findings::newest_first(expected));
    Ok(())
}
