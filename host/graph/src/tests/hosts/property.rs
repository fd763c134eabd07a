//! Random histories.

use std::time::Duration;

use larder_search::testing::Memory;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::world::World;
use crate::tests::property::{Spec, cases, export, resource_spans, time};

#[derive(Clone, Debug)]
enum Event {
    Write(usize, Vec<Spec>),
    /// What is written is stored by the next event of the host.
    Begin(usize, Vec<Spec>),
    End(usize),
    Steps(usize, usize),
    /// Time, and work of all until nothing is due.
    Work(u64),
    Pass(u64),
    Pause(usize),
    Wake(usize),
    Restart(usize, bool),
    Adopt(usize, usize),
    /// True if it is told of, and else its process ends.
    Drop(usize, usize, bool),
    Tell(usize),
    Join,
    Ask(u64, u64),
}

fn event() -> impl Strategy<Value = Event> {
    let host = || 0..3_usize;
    prop_oneof![
        20 => (host(), export()).prop_map(|(host, specs)| Event::Write(host, specs)),
        6 => (host(), export()).prop_map(|(host, specs)| Event::Begin(host, specs)),
        5 => host().prop_map(Event::End),
        16 => (host(), 1..6_usize).prop_map(|(host, steps)| Event::Steps(host, steps)),
        10 => (0..40_u64).prop_map(Event::Work),
        4 => (0..400_u64).prop_map(Event::Pass),
        3 => host().prop_map(Event::Pause),
        3 => host().prop_map(Event::Wake),
        3 => (host(), any::<bool>()).prop_map(|(host, stored)| Event::Restart(host, stored)),
        4 => (host(), host()).prop_map(|(host, dead)| Event::Adopt(host, dead)),
        4 => (host(), 1..4_usize, prop::bool::weighted(0.7))
            .prop_map(|(host, count, told)| Event::Drop(host, count, told)),
        3 => host().prop_map(Event::Tell),
        1 => Just(Event::Join),
        8 => (time(), time()).prop_map(|(one, other)| Event::Ask(one.min(other), one.max(other))),
    ]
}

impl World {
    fn happen(&mut self, event: Event) {
        let most = self.hosts.len();
        match event {
            Event::Write(host, specs) => {
                let host = host % most;
                if !self.hosts[host].is_dead && self.begin(host, resource_spans(&specs)).is_ok() {
                    self.end(host);
                }
            }
            Event::Begin(host, specs) => {
                let host = host % most;
                if !self.hosts[host].is_dead {
                    drop(self.begin(host, resource_spans(&specs)));
                }
            }
            // Also of one that stands still: its store may go on with what it has sent.
            Event::End(host) => self.end(host % most),
            Event::Steps(host, count) => {
                let host = host % most;
                for _ in 0..count {
                    if !self.hosts[host].is_dead {
                        self.try_step(host);
                    }
                }
            }
            Event::Work(minutes) => {
                self.pass(Duration::from_secs(60 * minutes));
                for _ in 0..40 {
                    for host in 0..most {
                        if !self.hosts[host].is_dead {
                            self.try_step(host);
                        }
                    }
                }
            }
            Event::Pass(seconds) => self.pass(Duration::from_secs(seconds)),
            Event::Pause(host) => self.pause(host % most),
            Event::Wake(host) => self.wake(host % most),
            Event::Restart(host, is_stored) => self.restart(host % most, is_stored),
            Event::Adopt(host, dead) => self.adopt(host % most, dead % most),
            Event::Drop(host, count, is_told) => {
                let host = host % most;
                self.drop_oldest(host, count, is_told);
                if !is_told && !self.hosts[host].is_dead {
                    self.pause(host);
                }
            }
            Event::Tell(host) => self.tell(host % most),
            Event::Join if most < 4 => self.join(),
            Event::Join => {}
            Event::Ask(start, end) => self.check(start, end),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases()) })]

    #[test]
    fn dependencies_of_all_hosts_are_those_of_brute_force_whatever_happens(
        events in vec(event(), 1..60),
        hosts in 2..4_usize,
        (is_odd, most_late) in (any::<bool>(), 1..40_usize),
        late_buckets in select(vec![1, 16]),
        day_buckets in select(vec![2, 3, 288]),
        most_open in select(vec![2, 4096]),
        seed: u64,
    ) {
        let memory = if is_odd { Memory::default().odd(seed) } else { Memory::default() };
        let mut world = World::empty(memory);
        world.config.late_a_write = most_late;
        world.config.late_buckets = late_buckets;
        world.config.late_traces = most_late.div_ceil(4);
        world.config.most_open = most_open;
        world.config.day_buckets = day_buckets;
        world.config.day_quiet = Duration::from_mins(2);
        for _ in 0..hosts {
            world.join();
        }
        for event in events {
            world.happen(event);
            world.check(0, u64::MAX);
        }
        world.check_all();
        for host in 0..world.hosts.len() {
            world.restart(host, true);
        }
        world.settle();
        world.check_all();
        for host in 0..world.hosts.len() {
            let figures = world.figures(host);
            prop_assert!(!figures.is_unusable, "{:?}", figures);
            let unsettled = figures.open_buckets + figures.suspect_buckets + figures.late_traces;
            prop_assert_eq!(unsettled, 0, "host {}: {:?}", host, figures);
        }
    }
}
