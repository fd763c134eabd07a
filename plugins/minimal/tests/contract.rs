//! The minimal plugin keeps the contract.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use larder_minimal::Minimal;
use larder_plugin::testing::random::{run, step};
use larder_plugin::testing::{Harness, batch, environment, fragment};
use larder_plugin::{Error, Part, Plugin, Search, Wanted};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Random writes, searches and reads, compared with a plain list.
    #[test]
    fn it_answers_like_a_list(steps in prop::collection::vec(step(64), 1..20)) {
        run(&mut Harness::<Minimal>::open(&[]).unwrap(), steps, 0, |_| {});
    }
}

#[test]
fn unknown_fragments_are_skipped() {
    let mut harness = Harness::<Minimal>::open(&[]).unwrap();
    harness.write([fragment(1)]);
    assert!(
        harness
            .read(&Wanted::Fragments(vec![1000]), Part::Otlp, 10)
            .is_empty()
    );
}

#[test]
fn a_write_that_does_not_fit_is_refused_whole_and_the_rest_stays() {
    let mut environment = environment(&[]);
    environment.memory_limit = 64 << 10;
    let mut plugin = Minimal::open(environment).unwrap();
    let large = |id| fragment(id).otlp(vec![0; 20 << 10]);
    plugin.write(1, vec![batch([large(1)])]).unwrap();
    let batches = vec![batch([fragment(2)]), batch([large(3)])];
    let error = plugin.write(2, batches).unwrap_err();
    assert!(
        matches!(&error, Error::ResourceExhausted(text) if text.contains("limits.memory")),
        "{error:?}"
    );
    assert_eq!(plugin.find(&Search::all(), None, 9).unwrap().found.len(), 1);
}

#[test]
fn a_setting_is_refused() {
    let error = Harness::<Minimal>::open(&[("max_traces", "1")]).unwrap_err();
    assert!(matches!(error, Error::InvalidArgument(text) if text.contains("max_traces")));
}
