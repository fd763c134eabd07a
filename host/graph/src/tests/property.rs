//! Random histories: whatever happens in whatever order, dependencies are those of brute force.
//!
//! `LARDER_PROPERTY_CASES=10000` runs more histories than by default.

use std::sync::atomic::Ordering;
use std::time::Duration;

use larder_model::storage::Observer as _;
use larder_oracle::otlp::{service, span};
use larder_search::testing::Memory;
use opentelemetry_proto::tonic::trace::v1::ResourceSpans;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::world::{BUCKET, SECOND, START, World, trace};
use crate::Config;

/// The variable that asks for more cases.
const CASES: &str = "LARDER_PROPERTY_CASES";

/// A span, of a few traces, ids and services.
#[derive(Clone, Debug)]
pub(super) struct Spec {
    trace: u128,
    id: u64,
    parent: u64,
    service: &'static str,
    start: u64,
    end: u64,
    is_error: bool,
}

#[derive(Clone, Debug)]
enum Event {
    /// True if what was marked becomes durable before it is written.
    Write(Vec<Spec>, bool),
    /// The last export comes again.
    Again,
    /// Some pieces of work.
    Steps(usize),
    /// Time, and work until nothing is due.
    Work(u64),
    Pass(u64),
    /// The clock goes back.
    Back(u64),
    Sync,
    /// What is not durable is lost.
    Lose,
    Restart,
    Crash,
    DropFragments(usize),
    DropTrace,
    Count,
    /// The place to keep things fails from now on, or no longer.
    Fail(bool),
    Purge,
    Ask(u64, u64),
}

pub(super) fn time() -> impl Strategy<Value = u64> {
    let offsets = vec![0, 1, SECOND, BUCKET / 2, BUCKET - 1];
    let near = (0..7_u64, select(offsets))
        .prop_map(|(bucket, offset)| START - 4 * BUCKET + bucket * BUCKET + offset);
    let far = select(vec![0, 1, BUCKET, u64::MAX - 1, u64::MAX]);
    prop_oneof![20 => near, 1 => far]
}

prop_compose! {
    fn spec()(
        (trace, id, parent) in (1..7_u128, 1..5_u64, 0..6_u64),
        service in select(&["a", "b", "c", ""][..]),
        start in time(),
        lasting in select(&[0, 1, SECOND, BUCKET, 4 * BUCKET, 100 * BUCKET][..]),
        is_backwards in prop::bool::weighted(0.05),
        is_error: bool,
    ) -> Spec {
        let end = if is_backwards { start.saturating_sub(lasting) } else { start.saturating_add(lasting) };
        Spec { trace, id, parent, service, start, end, is_error }
    }
}

/// Mostly spans of one trace at times near each other, as real ones are.
pub(super) fn export() -> impl Strategy<Value = Vec<Spec>> {
    let alike =
        (1..20_u128, time(), vec((spec(), 0..3_u64), 1..6)).prop_map(|(trace, start, specs)| {
            let specs = specs.into_iter().map(|(spec, step)| {
                let start = start.saturating_add(step * SECOND);
                let length = spec.end.saturating_sub(spec.start).min(10 * SECOND);
                Spec {
                    trace,
                    start,
                    end: start.saturating_add(length),
                    ..spec
                }
            });
            specs.collect()
        });
    prop_oneof![1 => vec(spec(), 1..8), 2 => alike]
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        20 => (export(), any::<bool>()).prop_map(|(specs, synced)| Event::Write(specs, synced)),
        2 => Just(Event::Again),
        10 => (1..6_usize).prop_map(Event::Steps),
        10 => (0..40_u64).prop_map(Event::Work),
        4 => (0..400_u64).prop_map(Event::Pass),
        1 => (0..4000_u64).prop_map(Event::Back),
        3 => Just(Event::Sync),
        2 => Just(Event::Lose),
        2 => Just(Event::Restart),
        2 => Just(Event::Crash),
        3 => (1..5_usize).prop_map(Event::DropFragments),
        2 => Just(Event::DropTrace),
        2 => Just(Event::Count),
        1 => any::<bool>().prop_map(Event::Fail),
        1 => Just(Event::Purge),
        8 => (time(), time()).prop_map(|(one, other)| Event::Ask(one.min(other), one.max(other))),
    ]
}

/// The most buckets, and the most open ones: mostly more than a history has.
fn bounds() -> impl Strategy<Value = (usize, usize)> {
    let default = Config::default();
    prop_oneof![
        2 => Just((default.most_buckets, default.most_open)),
        1 => (1..8_usize, 0..4_usize),
    ]
}

pub(super) fn resource_spans(specs: &[Spec]) -> Vec<ResourceSpans> {
    let spans = specs.iter().map(|spec| {
        let mut built = span(trace(spec.trace), spec.id).at(spec.start);
        built.0.end_time_unix_nano = spec.end;
        if spec.parent > 0 {
            built = built.parent(spec.parent);
        }
        if spec.is_error {
            built = built.status(StatusCode::Error);
        }
        service(spec.service).span(built).0
    });
    spans.collect()
}

impl World {
    fn happen(&mut self, event: Event, last: &mut Vec<Spec>) {
        match event {
            Event::Write(specs, is_synced) => {
                let export = resource_spans(&specs);
                *last = specs;
                if let Ok(batches) = self.begin(export) {
                    if is_synced {
                        self.sync();
                    }
                    self.store(&batches);
                    self.graph.after_write();
                }
            }
            // A refused write is not stored.
            Event::Again => drop(self.try_write(resource_spans(last))),
            Event::Steps(count) => {
                for _ in 0..count {
                    self.step();
                }
            }
            Event::Work(minutes) => {
                self.pass(Duration::from_secs(60 * minutes));
                for _ in 0..200 {
                    self.step();
                }
            }
            Event::Pass(seconds) => self.pass(Duration::from_secs(seconds)),
            Event::Back(seconds) => self.back(Duration::from_secs(seconds)),
            Event::Sync => self.sync(),
            Event::Lose if self.is_exclusive => {}
            Event::Restart | Event::Crash if self.is_exclusive => self.purge(),
            Event::Lose => self.lose(),
            Event::Restart => {
                self.keep.fails.store(false, Ordering::Relaxed);
                self.restart();
            }
            Event::Crash => {
                self.lose();
                self.restart();
                self.count();
            }
            Event::DropFragments(count) => self.drop_oldest(count),
            Event::DropTrace if !self.is_exclusive => {}
            Event::DropTrace => self.drop_oldest_trace(),
            Event::Count => self.count(),
            Event::Fail(fails) => self.keep.fails.store(fails, Ordering::Relaxed),
            Event::Purge => self.purge(),
            Event::Ask(start, end) => self.check(start, end),
        }
    }
}

pub(super) fn cases() -> u32 {
    let asked = std::env::var(CASES).ok();
    asked.map_or(256, |it| it.parse().expect("a number of cases"))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases()) })]

    #[test]
    fn dependencies_are_those_of_brute_force_whatever_happens(
        before in vec(export(), 0..4),
        events in vec(event(), 1..60),
        (tells_oldest, is_exclusive) in (prop::bool::weighted(0.85), prop::bool::weighted(0.3)),
        (is_odd, most_late) in (any::<bool>(), 1..40_usize),
        (most_buckets, most_open) in bounds(),
        late_buckets in select(vec![1, 16]),
        day_buckets in select(vec![2, 3, 288]),
        seed: u64,
    ) {
        let memory = if is_odd { Memory::default().odd(seed) } else { Memory::default() };
        let before: Vec<_> = before.iter().map(|it| resource_spans(it)).collect();
        let mut world = World::with(memory, &before);
        world.tells_oldest = tells_oldest;
        world.is_exclusive = is_exclusive;
        world.config.late_a_write = most_late;
        world.config.late_buckets = late_buckets;
        world.config.late_traces = most_late.div_ceil(4);
        world.config.most_buckets = most_buckets;
        world.config.most_open = most_open;
        world.config.day_buckets = day_buckets;
        world.config.day_quiet = Duration::from_mins(2);
        world.restart();
        world.count();
        let mut last = Vec::new();
        for event in events {
            world.happen(event, &mut last);
        }
        world.check_all();
        world.keep.fails.store(false, Ordering::Relaxed);
        world.count();
        world.check_all();
        world.catch_up();
        world.settle();
        world.check_all();
        if !is_exclusive {
            world.restart();
            world.count();
        }
        world.settle();
        world.check_all();
        let reports = world.memory.reports.lock().unwrap();
        prop_assert!(world.has_lost || reports.is_empty(), "{:?}", reports);
    }
}
