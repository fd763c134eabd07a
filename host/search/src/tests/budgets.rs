//! A query costs no more than it may, and does nothing that its client does not wait for.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::StreamExt as _;
use larder_core::telemetry::Metrics;
use larder_model::storage::{Error, ErrorKind};
use larder_proto::storage::v2::{GetDependenciesRequest, TraceQueryParameters};

use super::super::testing::{Memory, all, limits, of, op, run, searcher};
use super::super::{Limits, Searcher, time::timestamp};
use super::{by_id, by_service, traces};

fn check_over<T: std::fmt::Debug>(answer: Result<T, Error>, setting: &str) {
    let error = answer.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::QueryBudget, "{error}");
    assert_eq!(error.setting(), Some(setting));
    assert!(error.message().contains(setting), "{error}");
}

#[test]
fn a_query_that_judges_too_many_spans_says_which_setting_raises_the_limit() {
    let memory = Arc::new(Memory::of(&traces(9)));
    let with = |judged_spans| {
        let limits = Limits {
            judged_spans,
            ..limits()
        };
        run(searcher(&memory, limits).find_trace_ids(by_service("s")))
    };
    assert_eq!(with(9).unwrap().trace_ids.len(), 9);
    check_over(with(8), "limits.query_judged_spans");
}

#[test]
fn the_spans_of_a_large_fragment_count_one_by_one() {
    let rows = (1..=9).map(|n| of("s", op(1, n, n, n))).collect();
    let memory = Arc::new(Memory::of(&[rows]));
    let limits = Limits {
        judged_spans: 8,
        ..limits()
    };
    let answer = run(searcher(&memory, limits).find_trace_ids(by_service("s")));
    check_over(answer, "limits.query_judged_spans");
}

#[test]
fn a_query_that_reads_too_many_bytes_says_which_setting_raises_the_limit() {
    let memory = Arc::new(Memory::of(&traces(9)));
    let limits = Limits {
        read_bytes: 100,
        ..limits()
    };
    let searcher = searcher(&memory, limits);
    check_over(
        all(searcher.find_traces(by_service("s"))),
        "limits.query_read_bytes",
    );
    check_over(
        all(searcher.get_traces(by_id(&[1, 2, 3]))),
        "limits.query_read_bytes",
    );
}

#[test]
fn a_query_that_works_for_too_long_says_which_setting_raises_the_limit() {
    let memory = Arc::new(Memory::of(&traces(9)));
    let limits = Limits {
        timeout: Duration::ZERO,
        ..limits()
    };
    let searcher = searcher(&memory, limits);
    let query = || by_service("s");
    check_over(all(searcher.find_traces(query())), "limits.query_timeout");
    check_over(
        all(searcher.find_trace_summaries(query())),
        "limits.query_timeout",
    );
    check_over(
        run(searcher.find_trace_ids(query())),
        "limits.query_timeout",
    );
    check_over(
        all(searcher.get_traces(by_id(&[1]))),
        "limits.query_timeout",
    );
    let request = GetDependenciesRequest {
        start_time: Some(timestamp(0)),
        end_time: None,
    };
    check_over(
        run(searcher.dependencies(request, None)),
        "limits.query_timeout",
    );
}

#[test]
fn empty_pages_without_end_run_into_the_budget() {
    let mut memory = Memory::of(&traces(1));
    let number = std::sync::atomic::AtomicU64::new(0);
    memory.lie_about_sightings = Some(Box::new(move |page| {
        let number = number.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        page.found.clear();
        page.resume = Some([[0; 8], [0; 8], number].concat());
    }));
    let limits = Limits {
        timeout: Duration::from_millis(5),
        ..limits()
    };
    let answer = run(searcher(&Arc::new(memory), limits).find_trace_ids(by_service("s")));
    check_over(answer, "limits.query_timeout");
}

#[test]
fn dependencies_may_judge_and_read_what_they_have_to() {
    let memory = Arc::new(Memory::of(&traces(9)));
    let limits = Limits {
        judged_spans: 1,
        read_bytes: 1,
        ..limits()
    };
    let request = GetDependenciesRequest {
        start_time: Some(timestamp(0)),
        end_time: None,
    };
    run(searcher(&memory, limits).dependencies(request, None)).unwrap();
}

#[test]
fn a_stream_works_only_while_it_is_polled() {
    let memory = Arc::new(Memory::of(&traces(500)));
    let traces = searcher(&memory, limits()).find_traces(TraceQueryParameters {
        search_depth: 500,
        ..by_service("s")
    });
    assert_eq!(memory.finds.load(Ordering::Relaxed), 0);
    run(async {
        let mut traces = pin!(traces);
        traces.next().await.unwrap().unwrap();
    });
    // The first series of readings, of 64 traces, has been read; the others have not.
    assert_eq!(memory.otlp_pieces.load(Ordering::Relaxed), 64);
}

#[test]
fn a_search_for_a_few_looks_at_a_few() {
    let memory = Arc::new(Memory::of(&traces(2000)));
    let query = TraceQueryParameters {
        search_depth: 20,
        ..by_service("s")
    };
    let limits = Limits {
        judged_spans: 64,
        ..limits()
    };
    let found = run(searcher(&memory, limits).find_trace_ids(query)).unwrap();
    assert_eq!(found.trace_ids.len(), 20);
    assert_eq!(memory.finds.load(Ordering::Relaxed), 1);
}

#[test]
fn a_predicate_that_digests_decide_reads_no_spans() {
    let memory = Arc::new(Memory::of(&traces(20)));
    let searcher = searcher(&memory, limits());
    let query = || TraceQueryParameters {
        operation_name: "op".to_owned(),
        duration_min: Some(prost_types::Duration {
            seconds: 0,
            nanos: 1,
        }),
        ..by_service("s")
    };
    assert_eq!(
        run(searcher.find_trace_ids(query()))
            .unwrap()
            .trace_ids
            .len(),
        20
    );
    assert_eq!(
        all(searcher.find_trace_summaries(query())).unwrap().len(),
        1
    );
    assert_eq!(memory.otlp_pieces.load(Ordering::Relaxed), 0);
}

#[test]
fn a_query_that_nothing_can_match_is_not_asked() {
    let memory = Arc::new(Memory::of(&traces(20)));
    let query = TraceQueryParameters {
        start_time_min: Some(timestamp(9)),
        start_time_max: Some(timestamp(8)),
        ..TraceQueryParameters::default()
    };
    let found = run(searcher(&memory, limits()).find_trace_ids(query)).unwrap();
    assert_eq!(found.trace_ids, []);
    assert_eq!(memory.finds.load(Ordering::Relaxed), 0);
}

#[test]
fn every_query_is_counted_even_one_that_is_dropped() {
    let metrics = Arc::new(Metrics::new());
    let memory = Arc::new(Memory::of(&traces(9)));
    let searcher = Searcher::new(memory, limits(), Arc::clone(&metrics));
    let before = metrics.encode();
    drop(searcher.find_traces(by_service("s")));
    assert_ne!(metrics.encode(), before);
}
