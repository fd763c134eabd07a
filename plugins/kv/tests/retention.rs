//! Retention by age and by size: which data is dropped, and when.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod common;

use std::collections::BTreeSet;

use common::{shapes, small_shape};
use larder_kv::{Kv, Shape};
use larder_plugin::testing::kv::{self, Fault};
use larder_plugin::testing::random::{Fragments, fragments};
use larder_plugin::testing::{batch, environment, fragment};
use larder_plugin::{Part, Plugin, Role, Search, TraceId, Wanted};
use proptest::prelude::*;

const SECOND: u64 = 1_000_000_000;

/// Returns the numbers of all fragments that an instance finds, ascending.
fn found(plugin: &mut Kv) -> Vec<u64> {
    plugin.refresh().unwrap();
    let mut numbers = Vec::new();
    let mut resume = None;
    loop {
        let page = plugin.find(&Search::all(), resume.as_deref(), 30).unwrap();
        let handles = page.found.iter().filter_map(|it| it.fragment).collect();
        let wanted = Wanted::Fragments(handles);
        let pieces = plugin.read(&wanted, Part::Digest, None, u32::MAX).unwrap();
        let number = |bytes: &[u8]| u64::from_be_bytes(*bytes.first_chunk().unwrap());
        numbers.extend(pieces.pieces.iter().map(|it| number(&it.bytes)));
        resume = page.resume;
        if resume.is_none() {
            numbers.sort_unstable();
            return numbers;
        }
    }
}

fn numbered(fragments: Fragments, written: &mut u64) -> Fragments {
    let numbered = fragments.into_iter().map(|fragment| {
        *written += 1;
        fragment.digest(written.to_be_bytes())
    });
    numbered.collect()
}

fn rest(plugin: &mut Kv, now: u64) {
    for _ in 0..5000 {
        if !plugin.maintain(now, kv::sizes()).unwrap() {
            return;
        }
    }
    panic!("upkeep never comes to rest");
}

#[derive(Clone, Debug)]
enum Step {
    Write(Fragments),
    /// This many seconds pass.
    Wait(u64),
    Maintain(u32),
    Rest,
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => fragments(30, 200, 12).prop_map(Step::Write),
        4 => (0..30_u64).prop_map(Step::Wait),
        3 => (1..9_u32).prop_map(Step::Maintain),
        1 => Just(Step::Rest),
        1 => Just(Step::Reopen),
    ]
}

/// Runs with a retention of 240 seconds, which makes buckets of ten seconds.
fn run_by_age(shape: Shape, steps: Vec<Step>) {
    kv::reset();
    let environment = environment(&[("retention", "240s")]);
    let mut reader = environment.clone();
    reader.role = Role::Reader;
    let mut plugin = Kv::open_with(&environment, shape).unwrap();
    let mut reader = Kv::open_with(&reader, shape).unwrap();
    let (mut now, mut written) = (SECOND, 0);
    let mut times = Vec::new();
    let mut spans_written = 0;
    let mut expired = 0;
    for step in steps {
        match step {
            Step::Write(fragments) => {
                let fragments = numbered(fragments, &mut written);
                times.resize(usize::try_from(written).unwrap(), now);
                spans_written += fragments
                    .iter()
                    .map(|it| u64::from(it.clone().build().span_count))
                    .sum::<u64>();
                plugin.write(now, vec![batch(fragments)]).unwrap();
            }
            Step::Wait(seconds) => now += seconds * SECOND,
            Step::Maintain(steps) => {
                for _ in 0..steps {
                    plugin.maintain(now, kv::sizes()).unwrap();
                }
            }
            Step::Rest => rest(&mut plugin, now),
            Step::Reopen => {
                expired += plugin.statistics().expired_spans;
                plugin = Kv::open_with(&environment, shape).unwrap();
            }
        }
        let numbers = found(&mut plugin);
        let gone = written - numbers.len() as u64;
        // Whole buckets are dropped, the oldest first, and none before its last fragment is too old.
        assert_eq!(numbers, (gone + 1..=written).collect::<Vec<_>>());
        if let Some(last) = usize::try_from(gone).unwrap().checked_sub(1) {
            assert!(now - times[last] > 240 * SECOND);
        }
        assert_eq!(found(&mut reader), numbers);
        let counts = plugin.statistics();
        assert_eq!(counts.spans + expired + counts.expired_spans, spans_written);
        let oldest = times.get(usize::try_from(gone).unwrap());
        assert_eq!(counts.oldest_write, oldest.copied());
    }
    rest(&mut plugin, now);
    let numbers = found(&mut plugin);
    if let Some(first) = numbers.first() {
        let oldest = times[usize::try_from(*first).unwrap() - 1];
        // The last fragment of its bucket was written up to ten seconds later.
        assert!(now - oldest <= 250 * SECOND, "{} is too old", now - oldest);
    }
    now += 260 * SECOND;
    rest(&mut plugin, now);
    assert_eq!(found(&mut plugin), []);
    assert_eq!(plugin.statistics().spans, 0);
    assert_eq!(plugin.services().unwrap(), Vec::<String>::new());
    let kept: Vec<_> = kv::keys()
        .into_iter()
        .filter(|it| !it.partition.starts_with("head/"))
        .collect();
    assert!(kept.is_empty(), "{kept:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn data_is_dropped_when_it_is_too_old_and_not_before(
        shape in shapes(),
        steps in prop::collection::vec(step(), 1..60),
    ) {
        run_by_age(shape, steps);
    }

    #[test]
    fn size_stays_below_the_limit_and_the_newest_data_stays(
        shape in shapes(),
        writes in prop::collection::vec(fragments(30, 900, 12), 1..80),
    ) {
        kv::reset();
        let environment = environment(&[("max_bytes", "48KiB")]);
        let mut plugin = Kv::open_with(&environment, shape).unwrap();
        let mut written = 0;
        for fragments in writes {
            let fragments = numbered(fragments, &mut written);
            plugin.write(1, vec![batch(fragments)]).unwrap();
            rest(&mut plugin, 1);
            prop_assert!(kv::stored_bytes() <= 48 << 10, "{}", kv::stored_bytes());
            let numbers = found(&mut plugin);
            let first = written - numbers.len() as u64 + 1;
            prop_assert_eq!(numbers, (first..=written).collect::<Vec<_>>());
        }
    }
}

#[test]
fn handles_of_dropped_fragments_read_nothing_and_others_stay_valid() {
    kv::reset();
    let environment = environment(&[("retention", "240s")]);
    let mut plugin = Kv::open_with(&environment, small_shape()).unwrap();
    let mut handles = Vec::new();
    for n in 0..100_u32 {
        let now = u64::from(n) * 5 * SECOND;
        let fragment = fragment(n.into()).starts(now, now).otlp(vec![1; 100]);
        plugin.write(now, vec![batch([fragment])]).unwrap();
        rest(&mut plugin, now);
        let page = plugin.find(&Search::all(), None, 1).unwrap();
        handles.push(page.found[0].fragment.unwrap());
    }
    let mut reader = environment.clone();
    reader.role = Role::Reader;
    for plugin in [
        &mut plugin,
        &mut Kv::open_with(&reader, small_shape()).unwrap(),
    ] {
        let wanted = Wanted::Fragments(handles.clone());
        let page = plugin.read(&wanted, Part::Otlp, None, u32::MAX).unwrap();
        let ids: Vec<TraceId> = page.pieces.iter().map(|it| it.trace_id).collect();
        let due: Vec<TraceId> = (50..100).map(|n: u128| n.into()).collect();
        assert_eq!(ids, due);
    }
    assert_eq!(plugin.statistics().expired_spans, 50);
}

/// A clock that is ahead for a moment must neither keep what was written then for as long, nor what comes after it.
#[test]
fn writes_of_a_clock_that_was_ahead_are_dropped_with_those_that_follow() {
    const DAY: u64 = 24 * 60 * 60 * SECOND;
    kv::reset();
    let environment = environment(&[("retention", "240s")]);
    let mut plugin = Kv::open_with(&environment, small_shape()).unwrap();
    let mut written = 0;
    for (at, marked) in [(0, 0), (20, 400 * DAY), (40, 0), (60, 0)] {
        let now = DAY + at * SECOND;
        let one = numbered(vec![fragment(1).starts(now, now)], &mut written);
        plugin.write(now + marked, vec![batch(one)]).unwrap();
        rest(&mut plugin, now);
    }
    assert_eq!(found(&mut plugin), [1, 2, 3, 4]);
    rest(&mut plugin, DAY + 241 * SECOND);
    assert_eq!(found(&mut plugin), [2, 3, 4]);
    rest(&mut plugin, DAY + 281 * SECOND);
    assert_eq!(found(&mut plugin), [4]);
}

/// Writes for longer than the retention, with maintenance, and returns the number of changes. A failed call is made again, on a
/// reopened instance if the host has crashed.
fn run_with_a_fault(after: usize, fault: Fault) -> usize {
    kv::reset();
    let environment = environment(&[("retention", "24s")]);
    let open = || Kv::open_with(&environment, small_shape()).unwrap();
    let mut plugin = open();
    let begun = kv::changes();
    kv::fail(after, fault);
    let mut failed = false;
    let mut written = BTreeSet::new();
    for n in 0..40_u64 {
        let now = n * SECOND;
        loop {
            let fragments = (0..3).map(|part| {
                let it = fragment(u128::from(n))
                    .starts(now, now)
                    .terms([larder_plugin::testing::random::term(part)]);
                it.digest(n.to_be_bytes()).otlp(vec![2; 300])
            });
            let result = plugin.write(now, vec![batch(fragments)]);
            if result.is_ok() {
                written.insert(n);
            }
            let result = result.and_then(|()| {
                while plugin.maintain(now, kv::sizes())? {}
                Ok(())
            });
            if result.is_ok() {
                break;
            }
            assert!(!std::mem::replace(&mut failed, true), "{result:?}");
            if kv::is_down() {
                kv::restart();
                plugin = open();
            }
        }
        let found: BTreeSet<u64> = found(&mut plugin).into_iter().collect();
        let first = found.first().copied().unwrap();
        assert!(
            n - first <= 26 && (n < 25 || first > 0),
            "at {n} from {first}"
        );
        assert_eq!(found, written.range(first..).copied().collect());
    }
    let changes = kv::changes() - begun;
    kv::restart();
    plugin = open();
    rest(&mut plugin, 200 * SECOND);
    let kept: Vec<_> = kv::keys().into_iter().map(|it| it.partition).collect();
    assert!(kept.iter().all(|it| it == "head/test"), "{kept:?}");
    assert_eq!(kept.len(), 2);
    changes
}

#[test]
fn any_failed_call_leaves_retention_and_reclaiming_correct() {
    for fault in [
        Fault::Crash,
        Fault::Unknown,
        Fault::Unavailable,
        Fault::QuotaExceeded,
    ] {
        let mut after = 0;
        while after < run_with_a_fault(after, fault) {
            after += if fault == Fault::Crash { 1 } else { 3 };
        }
        assert!(after > 100, "{after}");
    }
}
