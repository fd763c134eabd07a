//! Random writes, searches, reads and evictions, compared with a plain list.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use larder_memory::Memory;
use larder_plugin::testing::Harness;
use larder_plugin::testing::random::{Step, fragments, run, search, step, step_of_many_terms};
use proptest::prelude::*;

/// Replaces payloads of odd length by bytes that hardly pack.
fn noisy(steps: Vec<Step>) -> Vec<Step> {
    let noise = (0_u64..).map(|n| (n * n).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes()[0]);
    let spoil = |step| {
        let Step::Write(fragments) = step else {
            return step;
        };
        let spoil = |it: larder_plugin::testing::FragmentBuilder| {
            let len = it.clone().build().otlp.len();
            if len.is_multiple_of(2) {
                return it;
            }
            it.otlp(noise.clone().take(len).collect::<Vec<_>>())
        };
        Step::Write(fragments.into_iter().map(spoil).collect())
    };
    steps.into_iter().map(spoil).collect()
}

/// Few traces of large fragments, so that they outgrow their share, and so that the oldest of a full store grows. A write has a single
/// fragment: in a write that evicts a trace and begins it again, the list could not tell which of its fragments are gone.
fn step_of_large_traces() -> impl Strategy<Value = Step> {
    let write = || fragments(5, 60_000, 2);
    prop_oneof![
        12 => write().prop_map(Step::Write),
        1 => (search(), prop::collection::vec(1..60_u32, 1..4)).prop_map(|(s, l)| Step::Find(s, l)),
        1 => (search(), 1..30_u32, prop::collection::vec(write(), 1..4))
            .prop_map(|(s, l, w)| Step::FindAndWrite(s, l, w)),
        1 => (prop::collection::vec(0..5_u128, 1..5), 0..5000_u32).prop_map(|(i, b)| Step::Read(i, b)),
        1 => Just(Step::CheckAll),
    ]
}

fn check(mut harness: Harness<Memory>, steps: Vec<Step>, max_bytes: u64, drift: u128) {
    run(&mut harness, noisy(steps), drift, |counts| {
        assert!(counts.bytes <= max_bytes, "{} bytes", counts.bytes);
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn it_answers_like_a_list_with_a_limit_of_traces(
        steps in prop::collection::vec(step(64), 1..60),
        max_traces in 1..50_usize,
        unpacked in prop_oneof![Just("0"), Just("16KiB"), Just("1GiB")],
    ) {
        let text = max_traces.to_string();
        let harness = Harness::open(&[
            ("max_traces", text.as_str()),
            ("max_bytes", "4MiB"),
            ("unpacked_bytes", unpacked),
        ]);
        let harness = harness.unwrap().with_max_traces(max_traces);
        check(harness, steps, 4 << 20, 0);
    }

    #[test]
    fn it_answers_like_a_list_with_a_limit_of_bytes(
        steps in prop::collection::vec(step(6000), 1..60),
    ) {
        let harness = Harness::open(&[("max_bytes", "1MiB")]).unwrap();
        check(harness, steps, 1 << 20, 20);
    }

    #[test]
    fn it_answers_like_a_list_where_clauses_have_many_terms(
        steps in prop::collection::vec(step_of_many_terms(), 1..30),
    ) {
        let harness = Harness::open(&[("max_bytes", "16MiB")]).unwrap();
        check(harness, steps, 16 << 20, 0);
    }

    #[test]
    fn it_answers_like_a_list_where_traces_are_cut(
        steps in prop::collection::vec(step_of_large_traces(), 1..200),
        unpacked in prop_oneof![Just("0"), Just("1GiB")],
    ) {
        let harness = Harness::open(&[("max_bytes", "1MiB"), ("unpacked_bytes", unpacked)]);
        check(harness.unwrap(), steps, 1 << 20, 0);
    }
}
