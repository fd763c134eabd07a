#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Wake;

use proptest::prelude::*;
use tokio::task::yield_now;

use super::*;

type Waits = Pin<Box<dyn Future<Output = Turn> + Send>>;

/// Counts how often it is woken.
#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn waits(scheduler: &Arc<Scheduler>, tenant: &str) -> Waits {
    let lane = scheduler.lane(tenant);
    Box::pin(async move { lane.turn().await })
}

fn poll(waits: &mut Waits, woken: &Arc<Woken>) -> Option<Turn> {
    let waker = Arc::clone(woken).into();
    match waits.as_mut().poll(&mut Context::from_waker(&waker)) {
        Poll::Ready(turn) => Some(turn),
        Poll::Pending => None,
    }
}

#[test]
fn a_flood_of_one_tenant_waits_and_another_finds_a_turn() {
    let scheduler = Arc::new(Scheduler::new(3, 2));
    let woken = Arc::new(Woken::default());
    let mut flood: Vec<Waits> = (0..10).map(|_| waits(&scheduler, "flood")).collect();
    let turns: Vec<Turn> = flood.iter_mut().filter_map(|it| poll(it, &woken)).collect();
    assert_eq!(turns.len(), 2);
    let quiet = poll(&mut waits(&scheduler, "quiet"), &woken);
    assert!(quiet.is_some(), "the third turn is another tenant's");
    assert_eq!(woken.0.load(Ordering::Relaxed), 0);
}

#[test]
fn those_who_wait_are_served_one_of_each_tenant_after_the_other() {
    let scheduler = Arc::new(Scheduler::new(1, 1));
    let none = Arc::new(Woken::default());
    let first = poll(&mut waits(&scheduler, "a"), &none);
    let mut waiting: Vec<(&str, Waits, Arc<Woken>)> = ["a", "a", "a", "b", "b", "c"]
        .into_iter()
        .map(|tenant| (tenant, waits(&scheduler, tenant), Arc::default()))
        .collect();
    for (_, waits, woken) in &mut waiting {
        assert!(poll(waits, woken).is_none());
    }
    let (mut turn, mut order) = (first, Vec::new());
    while !waiting.is_empty() {
        drop(turn.take());
        let is_woken = |(_, _, woken): &(_, _, Arc<Woken>)| woken.0.load(Ordering::Relaxed) == 1;
        let place = waiting.iter().position(is_woken).unwrap();
        let (tenant, mut next, woken) = waiting.remove(place);
        assert!(!waiting.iter().any(is_woken), "one turn, one woken");
        turn = poll(&mut next, &woken);
        order.push(tenant);
    }
    assert_eq!(order, ["a", "b", "c", "a", "b", "a"]);
    drop(turn);
    assert!(scheduler.state().is_empty());
}

#[test]
fn who_goes_away_with_a_turn_granted_hands_it_on() {
    let scheduler = Arc::new(Scheduler::new(1, 1));
    let (gone, stays) = (Arc::new(Woken::default()), Arc::new(Woken::default()));
    let held = poll(&mut waits(&scheduler, "a"), &gone);
    let (mut one, mut other) = (waits(&scheduler, "b"), waits(&scheduler, "c"));
    assert!(poll(&mut one, &gone).is_none() && poll(&mut other, &stays).is_none());
    drop(held);
    assert_eq!(gone.0.load(Ordering::Relaxed), 1);
    drop(one);
    assert_eq!(stays.0.load(Ordering::Relaxed), 1);
    assert!(poll(&mut other, &stays).is_some());
    assert!(scheduler.state().is_empty());
}

#[tokio::test]
async fn a_future_holds_a_turn_only_while_it_is_polled() {
    let scheduler = Arc::new(Scheduler::new(1, 1));
    let (one, other) = (scheduler.lane("a"), scheduler.lane("a"));
    let steps = AtomicUsize::new(0);
    let step = || async {
        for _ in 0..3 {
            steps.fetch_add(1, Ordering::Relaxed);
            yield_now().await;
        }
    };
    tokio::join!(one.gated(step()), other.gated(step()));
    assert_eq!(steps.load(Ordering::Relaxed), 6);
    assert!(scheduler.state().is_empty());
}

#[tokio::test]
async fn a_poll_that_panics_gives_its_turn_back() {
    let scheduler = Arc::new(Scheduler::new(1, 1));
    let lane = scheduler.lane("a");
    #[allow(clippy::panic, reason = "what is tested")]
    let panics = tokio::spawn(lane.gated(async { panic!("on purpose") }));
    assert!(panics.await.unwrap_err().is_panic());
    drop(pin!(lane.turn()).await);
    assert!(scheduler.state().is_empty());
}

proptest! {
    /// Whatever comes, waits, gets a turn and goes away: bounds hold, and nobody waits beside a turn that he could have.
    #[test]
    fn no_turn_is_lost_and_none_is_made(
        total in 1_usize..4,
        each in 1_usize..4,
        steps in prop::collection::vec((0_u8..3, 0_usize..12, 0_usize..3), 0..200),
    ) {
        let scheduler = Arc::new(Scheduler::new(total, each));
        let woken = Arc::new(Woken::default());
        let mut waiting: BTreeMap<usize, (usize, Waits)> = BTreeMap::new();
        let mut held: BTreeMap<usize, (usize, Turn)> = BTreeMap::new();
        for (number, (what, place, tenant)) in steps.into_iter().enumerate() {
            match what {
                0 => {
                    waiting.insert(number, (tenant, waits(&scheduler, &tenant.to_string())));
                }
                1 => drop(held.pop_first()),
                _ => {
                    let gone = waiting.keys().nth(place).copied();
                    gone.and_then(|gone| waiting.remove(&gone));
                }
            }
            // Those who are woken come, as on an executor.
            for key in waiting.keys().copied().collect::<Vec<_>>() {
                let (tenant, waits) = waiting.get_mut(&key).unwrap();
                let tenant = *tenant;
                if let Some(turn) = poll(waits, &woken) {
                    held.insert(key, (tenant, turn));
                    waiting.remove(&key);
                }
            }
            let of = |tenant: usize| held.values().filter(|(it, _)| *it == tenant).count();
            prop_assert!(held.len() <= total);
            prop_assert!((0..3).all(|tenant| of(tenant) <= each));
            let could = |(tenant, _): &(usize, Waits)| of(*tenant) < each;
            prop_assert!(held.len() == total || !waiting.values().any(could));
        }
        waiting.clear();
        held.clear();
        prop_assert!(scheduler.state().is_empty());
    }
}
