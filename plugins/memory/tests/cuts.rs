//! A trace that outgrows its share of the store, or that is the oldest of a full one, is cut, and others stay.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use larder_memory::Memory;
use larder_plugin::testing::{FragmentBuilder, Harness, fragment, logged};
use larder_plugin::{Counts, Part, TraceId, Wanted};

const MAX_BYTES: u64 = 8 << 20;

/// The number of the trace that grows.
const LARGE: u128 = 1_000_000;

fn store() -> Harness<Memory> {
    Harness::open(&[("max_bytes", "8MiB")]).unwrap()
}

/// Returns bytes that do not pack.
fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let bytes = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_be_bytes()[0]
    });
    bytes.take(len).collect()
}

/// A trace of three spans.
fn small(number: u64) -> FragmentBuilder {
    fragment(number.into())
        .spans(3)
        .digest(noise(number, 120))
        .otlp(noise(number, 1000))
}

/// A hundred spans of the large trace, which do not pack.
fn part(number: u64) -> FragmentBuilder {
    fragment(LARGE)
        .spans(100)
        .digest(noise(number, 4000))
        .otlp(noise(number, 28_000))
}

/// Returns the number of dropped spans that the pieces of a trace tell, and the number of these pieces.
fn told(harness: &mut Harness<Memory>, trace: u128) -> (u64, usize) {
    let wanted = Wanted::Traces(vec![TraceId::from(trace)]);
    let pieces = harness.read(&wanted, Part::Otlp, u32::MAX);
    (pieces.iter().map(|it| it.dropped_spans).sum(), pieces.len())
}

/// Asserts that the lines logged since the last call are about the cuts of these traces, for this reason.
#[track_caller]
fn check_log(traces: &[u128], reason: &str) {
    let logged = logged();
    assert_eq!(logged.len(), traces.len(), "{logged:?}");
    for ((_, line), trace) in logged.iter().zip(traces) {
        assert!(line.contains(&format!("{trace:032x}")), "{line}");
        assert!(line.contains(reason), "{line}");
    }
}

/// Writes 40,000 spans of the large trace, which are half as much again as the whole store.
fn outgrow(harness: &mut Harness<Memory>) -> Counts {
    for number in 1..=400 {
        let counts = harness.write([part(number)]);
        assert!(counts.bytes <= MAX_BYTES, "{counts:?}");
    }
    harness.check_all();
    harness.check_counts()
}

#[test]
fn a_trace_that_outgrows_the_store_is_cut_and_small_ones_stay() {
    let mut harness = store();
    for number in 1..=10 {
        harness.write([small(number)]);
    }
    let counts = outgrow(&mut harness);
    assert_eq!((counts.traces, counts.evicted_traces), (11, 0));
    assert_eq!(counts.spans + counts.evicted_spans, 30 + 40_000);
    let (dropped, kept) = told(&mut harness, LARGE);
    assert_eq!(dropped, counts.evicted_spans);
    assert_eq!(dropped, 40_000 - 100 * kept as u64);
    // A quarter of the store, less the index.
    let bytes = kept as u64 * 32_000;
    assert!((MAX_BYTES / 6..=MAX_BYTES / 4).contains(&bytes), "{bytes}");
    check_log(&[LARGE], "a quarter of `max_bytes`");

    // The rest is for others.
    for number in 11..=2000 {
        harness.write([small(number)]);
    }
    let counts = harness.check_counts();
    assert_eq!((counts.traces, counts.evicted_traces), (2001, 0));
    harness.write([part(401)]);
    assert_eq!(told(&mut harness, LARGE), (dropped + 100, kept));
    check_log(&[], "");
    harness.check_all();
}

#[test]
fn a_trace_that_fits_when_it_is_packed_is_not_cut() {
    let mut harness = store();
    harness.write([small(1)]);
    for _ in 0..400 {
        let part = fragment(LARGE).spans(100).digest(vec![1; 400]);
        harness.write([part.otlp(vec![2; 50_000])]);
    }
    let counts = harness.check_counts();
    assert_eq!((counts.spans, counts.evicted_spans), (40_003, 0));
    assert_eq!(told(&mut harness, LARGE), (0, 400));
    check_log(&[], "");
    harness.check_all();
}

#[test]
fn two_traces_that_outgrow_the_store_both_keep_their_beginning() {
    let mut harness = store();
    for number in 1..=400 {
        harness.write([part(number)]);
        harness.write([part(number).trace(LARGE + 1)]);
    }
    harness.check_all();
    let counts = harness.check_counts();
    assert_eq!((counts.traces, counts.evicted_traces), (2, 0));
    for trace in [LARGE, LARGE + 1] {
        let (dropped, kept) = told(&mut harness, trace);
        assert!(kept > 40, "{kept} fragments");
        assert_eq!(dropped, 40_000 - 100 * kept as u64);
    }
    assert_eq!(logged().len(), 2);
}

/// Fills the store with traces of a part each, until one more evicts the oldest. Returns the oldest that is left.
fn fill(harness: &mut Harness<Memory>) -> u128 {
    for number in 1.. {
        let counts = harness.write([part(number).trace(number.into())]);
        if counts.evicted_traces > 0 {
            break;
        }
    }
    harness.stored().fragments().next().unwrap().trace_id.into()
}

#[test]
fn the_oldest_trace_of_a_full_store_does_not_evict_itself() {
    let mut harness = store();
    let oldest = fill(&mut harness);
    let before = harness.check_counts();
    let late = || {
        let late = fragment(oldest).spans(9);
        late.digest(noise(1, 10_000)).otlp(noise(2, 90_000))
    };
    let counts = harness.write([late()]);
    assert_eq!(counts.evicted_traces, before.evicted_traces);
    assert_eq!(counts.evicted_spans, before.evicted_spans + 9);
    assert_eq!(told(&mut harness, oldest), (9, 1));
    check_log(&[oldest], "has no older one");

    // It is as old as before, so it goes next. What is written of it then is a new trace, as of any that was evicted.
    let next = fragment(u128::MAX).otlp(noise(3, 100_000));
    let counts = harness.write([next]);
    assert!(counts.evicted_traces > before.evicted_traces);
    assert_eq!(told(&mut harness, oldest), (0, 0));
    harness.write([late()]);
    assert_eq!(told(&mut harness, oldest), (0, 1));
    check_log(&[], "");
    harness.check_all();
}

#[test]
fn a_trace_within_its_share_that_is_not_the_oldest_makes_older_ones_go() {
    let mut harness = store();
    let oldest = fill(&mut harness);
    let before = harness.check_counts();
    let newest = harness.stored().fragments().last().unwrap().trace_id;
    let more = fragment(newest.into()).spans(9).otlp(noise(1, 100_000));
    let counts = harness.write([more]);
    assert!(counts.evicted_traces > before.evicted_traces);
    assert_eq!(told(&mut harness, oldest), (0, 0));
    assert_eq!(told(&mut harness, newest.into()), (0, 2));
    check_log(&[], "");
    harness.check_all();
}
