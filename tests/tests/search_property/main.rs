//! Random spans and random queries through the real binary, compared with the oracle. Answers, their order, summaries and dependencies
//! must be equal; searches for spans are walked page by page. Filters that were broken on purpose must be refused with `FILTER_INVALID`.
//!
//! `LARDER_PROPERTY_CASES=5000` runs more cases than by default; each is one set of spans with some 80 queries and a few searches for
//! spans.
//! `LARDER_TESTS_ENDPOINT=127.0.0.1:17271` asks another storage.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::cell::Cell;

use larder_oracle::strategies::{
    LATEST, Place, Question, SpanQuestion, Window, Written, broken, filtered, legacy, span_search,
    written,
};
use larder_oracle::{Oracle, compare};
use larder_tests::otlp::{ResourceBuilder, SpanRef, spans_of};
use larder_tests::status::error_info;
use larder_tests::{Plugin, Query, Scene, SpanSearch, timestamp};
use opentelemetry_proto::tonic::trace::v1::ResourceSpans;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use tonic::Code;

/// The variable that asks for more cases.
const CASES: &str = "LARDER_PROPERTY_CASES";

/// The written spans, the queries, the searches for spans with the sizes of their pages, and the queries to be refused.
#[derive(Clone, Debug)]
struct Case {
    filtered: Vec<Question>,
    legacy: Vec<Question>,
    spans: Vec<(SpanQuestion, u32)>,
    broken: Vec<Question>,
    dependencies: (u64, u64),
    written: Written,
}

/// Queries come first, so that shrinking isolates the failing one before it shrinks the spans.
fn case() -> impl Strategy<Value = Case> {
    let window = (0..=LATEST / 2, LATEST / 2..=2 * LATEST);
    let questions = (
        vec(filtered(Window::Place), 1..80),
        vec(legacy(Window::Place), 1..60),
        vec((span_search(), 1_u32..9), 1..6),
        vec(broken(), 0..16),
    );
    (questions, window, written()).prop_map(
        |((filtered, legacy, spans, broken), dependencies, written)| Case {
            filtered,
            legacy,
            spans,
            broken,
            dependencies,
            written,
        },
    )
}

/// Runs every case in its own scene on one server.
fn answers_equal_the_oracle_s(plugin: Plugin) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let scene = runtime.block_on(Scene::new(plugin));
    let cases = std::env::var(CASES).map_or(60, |cases| cases.parse().unwrap());
    let mut runner = TestRunner::new(Config {
        cases,
        max_shrink_iters: 1500,
        failure_persistence: None,
        ..Config::default()
    });
    let tallies = Tallies::default();
    let outcome = runner.run(&case(), |case| {
        runtime.block_on(try_case(&scene.again(), case, &tallies))
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
    // Equal answers prove little if queries match nothing, or everything.
    // The bounds are well below the usual shares, as sixty cases vary: a third and a fifth, a tenth and a fiftieth, and for spans a half.
    tallies.filtered.assert_fair(0.15, 0.1);
    tallies.legacy.assert_fair(0.05, 0.01);
    tallies.spans.assert_fair(0.2, 0.1);
}

/// Counts the queries and those that found something; the traces judged, and those that matched. For spans, the spans.
#[derive(Default)]
struct Tally {
    asked: Cell<u32>,
    answered: Cell<u32>,
    judged: Cell<u32>,
    matched: Cell<u32>,
}

#[derive(Default)]
struct Tallies {
    filtered: Tally,
    legacy: Tally,
    spans: Tally,
}

impl Tally {
    fn count(&self, found: usize, judged: usize) {
        let number = |count: usize| u32::try_from(count).unwrap();
        self.asked.update(|asked| asked + 1);
        self.answered
            .update(|answered| answered + u32::from(found > 0));
        self.judged.update(|all| all + number(judged));
        self.matched.update(|matched| matched + number(found));
    }

    /// Asserts at least these shares of the queries and of what they judged.
    fn assert_fair(&self, answered: f64, matched: f64) {
        let share =
            |part: &Cell<u32>, all: &Cell<u32>| f64::from(part.get()) / f64::from(all.get());
        let of_queries = share(&self.answered, &self.asked);
        assert!(
            (answered..0.9).contains(&of_queries),
            "{of_queries:.2} of all queries found something"
        );
        let of_judged = share(&self.matched, &self.judged);
        assert!(
            (matched..0.75).contains(&of_judged),
            "{of_judged:.2} of all traces or spans matched"
        );
    }
}

async fn try_case(scene: &Scene, case: Case, tallies: &Tallies) -> Result<(), TestCaseError> {
    // Events can precede their spans.
    let place = Place {
        trace: u64::from_be_bytes(scene.trace(0)[..8].try_into().unwrap()),
        start: scene.at(1000),
    };
    let written = case.written.at(place);
    for export in &written {
        let resources = export.iter().cloned().map(ResourceBuilder);
        scene.store(resources).await;
    }
    let oracle = Oracle::new(written.iter().flatten());
    let filtered = case.filtered.iter().map(|it| (it, &tallies.filtered));
    let legacy = case.legacy.iter().map(|it| (it, &tallies.legacy));
    for (question, tally) in filtered.chain(legacy) {
        let query = Query(question.at(place));
        let found = try_query(scene, &oracle, &query).await;
        let found = found.map_err(|error| TestCaseError::fail(format!("{question:?}: {error}")))?;
        if query.0.search_depth > 3 {
            tally.count(found, oracle.len());
        }
    }
    let count = spans_of(written.iter().flatten()).count();
    for (question, size) in &case.spans {
        let found = try_spans(scene, &oracle, &question.at(place), *size).await;
        let found = found.map_err(|error| {
            TestCaseError::fail(format!("{size} a page: {question:?}: {error}"))
        })?;
        tallies.spans.count(found, count);
    }
    for question in &case.broken {
        let outcome = try_broken(scene, &Query(question.at(place))).await;
        outcome.map_err(|error| TestCaseError::fail(format!("{question:?}: {error}")))?;
    }
    let (from, to) = case.dependencies;
    let (from, to) = (place.at(from), place.at(to));
    let (start, end) = (Some(timestamp(from)), Some(timestamp(to)));
    let mut found = scene.client.dependencies(start, end).await.unwrap();
    found.sort_by(|one, other| (&one.parent, &one.child).cmp(&(&other.parent, &other.child)));
    prop_assert_eq!(found, oracle.dependencies(from, to));
    Ok(())
}

/// Returns the number of traces found. All three RPCs must agree, and each trace must be as written.
async fn try_query(
    scene: &Scene,
    oracle: &Oracle<'_>,
    query: &Query,
) -> Result<usize, TestCaseError> {
    let refused = |refused: tonic::Status| TestCaseError::fail(refused.message().to_owned());
    let expected = oracle.find(&query.0);
    let ids = scene.client.find_trace_ids(query).await.map_err(refused)?;
    let ids: Vec<_> = ids.iter().map(|found| &found.trace_id[..]).collect();
    prop_assert_eq!(&ids, &expected);

    let traces = scene.client.find_traces(query).await.map_err(refused)?;
    let ids: Vec<_> = traces.iter().map(|trace| trace.id).collect();
    prop_assert_eq!(&ids, &expected);
    for trace in &traces {
        let written = oracle.trace(trace.id).iter().map(|one| &one.span.span_id);
        prop_assert!(written.eq(trace.spans().iter().map(|span| &span.span_id)));
    }

    let summaries = scene.client.find_trace_summaries(query).await;
    let expected: Vec<_> = expected.iter().map(|id| oracle.summary(*id)).collect();
    prop_assert_eq!(summaries.map_err(refused)?, expected);
    Ok(ids.len())
}

/// Returns the number of spans found. They must be those of the oracle, in the order asked for, where only spans that are equal in all
/// keys may come in another; and the same in the same order, whether on one page or page by page.
async fn try_spans(
    scene: &Scene,
    oracle: &Oracle<'_>,
    search: &SpanSearch,
    size: u32,
) -> Result<usize, TestCaseError> {
    let refused = |refused: tonic::Status| TestCaseError::fail(refused.message().to_owned());
    let whole = search.clone().page(1000, "");
    let (whole, token) = scene.client.page_of_spans(&whole).await.map_err(refused)?;
    prop_assert_eq!(token, "");
    let order_by = &search.0.order_by;
    let is_sorted =
        spans_of(&whole).is_sorted_by(|one, other| compare(order_by, *one, *other).is_le());
    prop_assert!(is_sorted, "not in order: {whole:?}");
    let expected: Vec<_> = oracle.find_spans(&search.0);
    let expected: Vec<_> = expected.into_iter().map(SpanRef::alone).collect();
    let (mut found, mut expected) = (texts(&whole), texts(&expected));
    let walk = texts(&scene.client.pages_of_spans(search, size).await.concat());
    prop_assert_eq!(&walk, &found);
    found.sort_unstable();
    expected.sort_unstable();
    prop_assert_eq!(&found, &expected);
    Ok(found.len())
}

/// Prints each span with its resource and scope: NaN is not equal to itself, its text is.
fn texts(spans: &[ResourceSpans]) -> Vec<String> {
    spans.iter().map(|one| format!("{one:?}")).collect()
}

async fn try_broken(scene: &Scene, query: &Query) -> Result<(), TestCaseError> {
    let Err(refused) = scene.client.search(query).await else {
        prop_assert!(false, "answered");
        return Ok(());
    };
    prop_assert_eq!(refused.code(), Code::InvalidArgument);
    let reason = error_info(&refused).map(|info| info.reason);
    prop_assert_eq!(reason.as_deref(), Some("FILTER_INVALID"));
    prop_assert!(!refused.message().is_empty());
    Ok(())
}

#[test]
fn kv_answers_as_the_oracle_does() {
    answers_equal_the_oracle_s(Plugin::Kv);
}

#[test]
fn memory_answers_as_the_oracle_does() {
    answers_equal_the_oracle_s(Plugin::Memory);
}

#[test]
fn minimal_answers_as_the_oracle_does() {
    answers_equal_the_oracle_s(Plugin::Minimal);
}
