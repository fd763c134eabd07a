//! Random traces and random queries through the real binary, against an evaluator that reads the specification another time: plain
//! loops over owned spans, without plans, terms or pages. Answers, their order, summaries and dependencies must be equal.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod data;
mod naive;
mod naive_value;

use std::cell::Cell;

use larder_tests::{Plugin, Scene, timestamp};
use naive::Judge;
use proptest::test_runner::{Config, TestCaseError, TestRunner};

use data::{Case, Question};

const CASES: u32 = 150;

/// Runs every case in a corner of its own of one server.
fn answers_equal_the_naive_evaluator_s(plugin: Plugin) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let scene = runtime.block_on(Scene::new(plugin));
    let mut runner = TestRunner::new(Config {
        cases: CASES,
        max_shrink_iters: 200,
        failure_persistence: None,
        ..Config::default()
    });
    let tally = Tally::default();
    let outcome = runner.run(&data::case(), |case| {
        runtime.block_on(try_case(scene.again(), case, &tally))
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
    // Equal answers prove little where they are empty.
    let (asked, answered) = (tally.asked.get(), tally.answered.get());
    assert!(
        answered * 10 > asked,
        "{answered} of {asked} queries found something"
    );
}

/// How many queries were asked, and how many found something.
#[derive(Default)]
struct Tally {
    asked: Cell<u32>,
    answered: Cell<u32>,
}

async fn try_case(scene: Scene, case: Case, tally: &Tally) -> Result<(), TestCaseError> {
    for export in &case.exports {
        let resources = export.iter().map(|resource| resource.build(&scene));
        scene.client.store(resources).await;
    }
    let judge = Judge::new(&case.exports);
    for question in &case.questions {
        let found = try_question(&scene, &judge, question).await?;
        tally.asked.update(|asked| asked + 1);
        tally
            .answered
            .update(|answered| answered + u32::from(found));
    }
    try_dependencies(&scene, &judge, case.dependencies).await
}

/// Whether something was found, and equal.
async fn try_question(
    scene: &Scene,
    judge: &Judge<'_>,
    question: &Question,
) -> Result<bool, TestCaseError> {
    let query = question.build(scene);
    let expected = judge.find(question);
    let found = scene.find(query.clone()).await;
    proptest::prop_assert_eq!(&found, &expected, "{:?}", question);

    for trace in scene.client.find_traces(&query).await.unwrap() {
        let number = scene.numbers(&[trace.id])[0];
        proptest::prop_assert_eq!(trace.span_ids(), judge.span_ids(number));
    }
    let summaries = scene.client.find_trace_summaries(&query).await.unwrap();
    for (summary, number) in summaries.into_iter().zip(expected) {
        let expected = judge.summary(number, &scene.trace(number), scene.at(data::ORIGIN));
        proptest::prop_assert_eq!(summary, expected);
    }
    Ok(!found.is_empty())
}

async fn try_dependencies(
    scene: &Scene,
    judge: &Judge<'_>,
    (from, to): (u64, u64),
) -> Result<(), TestCaseError> {
    let at = |offset| Some(timestamp(scene.at(data::ORIGIN + offset)));
    let found = scene.client.dependencies(at(from), at(to)).await.unwrap();
    let mut found: Vec<_> = found
        .into_iter()
        .map(|link| ((link.parent, link.child), link.call_count))
        .collect();
    found.sort();
    proptest::prop_assert_eq!(found, judge.dependencies(from, to));
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
