//! Random spans and random filters through the real binary, against an evaluator that reads the specification another time. The
//! answers, in their order, must be equal; filters that were broken on purpose must be refused, each with `FILTER_INVALID`.
//!
//! `LARDER_PROPERTY_CASES=5000` asks for more cases than usual; each is one set of spans with some 40 filters.
//! `LARDER_TESTS_ENDPOINT=127.0.0.1:17271` asks another storage.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod broken;
mod constants;
mod data;
mod fields;
mod filters;
mod leaves;
mod naive;

use std::cell::Cell;

use larder_tests::filter::text;
use larder_tests::status::error_info;
use larder_tests::{Plugin, Scene};
use naive::Judge;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use tonic::Code;

use broken::Broken;
use data::{Written, written};
use filters::{Question, question};

/// The variable that asks for more cases.
const CASES: &str = "LARDER_PROPERTY_CASES";

/// What is written, what is asked then, and what is refused.
#[derive(Clone, Debug)]
struct Case {
    written: Written,
    questions: Vec<Question>,
    broken: Vec<Broken>,
}

/// The questions come first, so that shrinking leaves the one that matters before it looks at what is written.
fn case() -> impl Strategy<Value = Case> {
    let questions = vec(question(), 1..80);
    let broken = vec(broken::broken(), 0..16);
    (questions, broken, written()).prop_map(|(questions, broken, written)| Case {
        written,
        questions,
        broken,
    })
}

/// Runs every case in a corner of its own of one server.
fn answers_equal_the_naive_evaluator_s(plugin: Plugin) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let scene = runtime.block_on(Scene::new(plugin));
    let cases = std::env::var(CASES).map_or(60, |cases| cases.parse().expect(CASES));
    let mut runner = TestRunner::new(Config {
        cases,
        max_shrink_iters: 1500,
        failure_persistence: None,
        ..Config::default()
    });
    let tally = Tally::default();
    let outcome = runner.run(&case(), |case| {
        runtime.block_on(try_case(scene.again(), case, &tally))
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
    // Equal answers prove little where filters match nothing, or all.
    tally.assert_fair();
}

/// How many filters were asked and how many found something; how many traces they judged, and how many of those matched.
#[derive(Default)]
struct Tally {
    asked: Cell<usize>,
    answered: Cell<usize>,
    judged: Cell<usize>,
    matched: Cell<usize>,
}

impl Tally {
    fn count(&self, found: usize, judged: usize) {
        self.asked.update(|asked| asked + 1);
        self.answered
            .update(|answered| answered + usize::from(found > 0));
        self.judged.update(|all| all + judged);
        self.matched.update(|matched| matched + found);
    }

    fn assert_fair(&self) {
        let (asked, answered) = (self.asked.get(), self.answered.get());
        assert!(
            answered * 3 > asked,
            "only {answered} of {asked} filters found something"
        );
        assert!(
            answered * 10 < asked * 9,
            "{answered} of {asked} filters found something"
        );
        let (judged, matched) = (self.judged.get(), self.matched.get());
        assert!(
            matched * 5 > judged,
            "only {matched} of {judged} traces matched"
        );
        assert!(
            matched * 4 < judged * 3,
            "{matched} of {judged} traces matched"
        );
    }
}

async fn try_case(scene: Scene, case: Case, tally: &Tally) -> Result<(), TestCaseError> {
    let written = case.written.build(&scene);
    for export in &written {
        scene.client.store(export.clone()).await;
    }
    let judge = Judge::new(written.iter().flatten().map(|resource| &resource.0));
    for question in &case.questions {
        try_question(&scene, &judge, question, tally).await?;
    }
    for broken in &case.broken {
        try_broken(&scene, broken).await?;
    }
    Ok(())
}

async fn try_question(
    scene: &Scene,
    judge: &Judge<'_>,
    question: &Question,
    tally: &Tally,
) -> Result<(), TestCaseError> {
    let (query, window) = question.build(scene);
    let filter = query.0.filter.as_ref().expect("a filter");
    let expected = judge.find(filter, window, question.depth);
    match scene.client.search(&query).await {
        Ok(found) => prop_assert_eq!(
            scene.numbers(&found),
            scene.numbers(&expected),
            "found and expected, depth {}: {}",
            question.depth,
            text(filter)
        ),
        Err(refused) => prop_assert!(false, "{:?}: {}", refused.message(), text(filter)),
    }
    if question.depth > 3 {
        tally.count(expected.len(), judge.len());
    }
    Ok(())
}

async fn try_broken(scene: &Scene, broken: &Broken) -> Result<(), TestCaseError> {
    let query = broken.build(scene);
    let filter = query.0.filter.as_ref().map(text).unwrap_or_default();
    let Err(refused) = scene.client.search(&query).await else {
        prop_assert!(false, "answered: {}", filter);
        return Ok(());
    };
    prop_assert_eq!(refused.code(), Code::InvalidArgument, "{}", filter);
    let reason = error_info(&refused).map(|info| info.reason);
    prop_assert_eq!(reason.as_deref(), Some("FILTER_INVALID"), "{}", filter);
    prop_assert!(!refused.message().is_empty(), "{}", filter);
    Ok(())
}

#[test]
fn kv_answers_as_the_naive_evaluator_does() {
    answers_equal_the_naive_evaluator_s(Plugin::Kv);
}

#[test]
fn memory_answers_as_the_naive_evaluator_does() {
    answers_equal_the_naive_evaluator_s(Plugin::Memory);
}

#[test]
fn minimal_answers_as_the_naive_evaluator_does() {
    answers_equal_the_naive_evaluator_s(Plugin::Minimal);
}
