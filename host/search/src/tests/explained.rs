//! The explanation of dependencies, without anything that is kept.

use std::sync::Arc;
use std::time::Duration;

use larder_core::telemetry::Metrics;
use larder_model::storage::ErrorKind;
use larder_proto::storage::v2::GetDependenciesRequest;

use super::super::testing::{Memory, limits, of, op, run, searcher};
use super::super::{Limits, Searcher, time::timestamp};
use super::traces;

fn from(start: u64) -> GetDependenciesRequest {
    GetDependenciesRequest {
        start_time: Some(timestamp(start)),
        end_time: None,
    }
}

/// Traces in which "a" calls "b", a pair of spans each.
fn calls(count: u64) -> Arc<Memory> {
    let call = |n: u64| {
        let id = u128::from(n);
        let child = op(id, 2, n, n + 1).parent(1);
        vec![of("a", op(id, 1, n, n + 1)), of("b", child)]
    };
    let calls: Vec<_> = (1..=count).map(call).collect();
    Arc::new(Memory::of(&calls))
}

#[test]
fn dependencies_of_which_nothing_is_kept_are_judged_and_that_is_counted() {
    let metrics = Arc::new(Metrics::new());
    let searcher = Searcher::new(calls(9), limits(), Arc::clone(&metrics));
    let told = run(searcher.explain_dependencies(from(0), None)).unwrap();
    assert_eq!(
        told.from,
        "all traces of the window: none are kept (dependencies.kept)"
    );
    assert_eq!((told.coverage, told.summed), (None, None));
    assert_eq!((told.links, told.calls), (1, 9));
    assert_eq!((told.judged_traces, told.judged_spans), (9, 18));
    assert!(told.pages > 1 && told.bytes > 0, "{told:?}");
    let judged = |traces: u64| {
        let text = metrics.encode();
        let line = format!("larder_dependencies_judged_traces_total {traces}\n");
        assert!(text.contains(&line), "{text}");
    };
    judged(9);
    run(searcher.dependencies(from(0), None)).unwrap();
    judged(18);
}

#[test]
fn dependencies_that_are_refused_are_not_explained() {
    let searcher = searcher(&calls(1), limits());
    let request = GetDependenciesRequest::default();
    let error = run(searcher.explain_dependencies(request, None)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert_eq!(error.message(), "start time is required");
}

#[test]
fn dependencies_over_their_budget_are_explained_up_to_there() {
    let memory = Arc::new(Memory::of(&traces(9)));
    let limits = Limits {
        dependencies_timeout: Duration::ZERO,
        ..limits()
    };
    let searcher = searcher(&memory, limits);
    let told = run(searcher.explain_dependencies(from(0), None)).unwrap();
    let error = told.error.unwrap();
    assert!(error.contains("limits.dependencies_timeout"), "{error}");
    assert_eq!((told.links, told.judged_traces), (0, 0));
}

#[test]
fn a_window_before_all_spans_has_no_dependencies() {
    let mut end = timestamp(0);
    end.seconds = -1;
    let mut start = end;
    start.seconds = -2;
    let request = GetDependenciesRequest {
        start_time: Some(start),
        end_time: Some(end),
    };
    let searcher = searcher(&calls(1), limits());
    let told = run(searcher.explain_dependencies(request, None)).unwrap();
    assert_eq!(told.from, "nothing: no span can lie within the window");
    assert_eq!((told.calls, told.pages), (0, 0));
}
