#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};
use std::time::Duration;

use proptest::prelude::*;
use tokio::task::yield_now;

use super::*;

mod tasks;

type Waits = Pin<Box<dyn Future<Output = Turn> + Send>>;

/// Counts its wakes.
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
fn a_flood_beside_another_tenant_leaves_that_one_a_turn() {
    let scheduler = Arc::new(Scheduler::new(3, 2));
    let woken = Arc::new(Woken::default());
    drop(poll(&mut waits(&scheduler, "quiet"), &woken));
    let mut flood: Vec<Waits> = (0..10).map(|_| waits(&scheduler, "flood")).collect();
    let turns: Vec<Turn> = flood.iter_mut().filter_map(|it| poll(it, &woken)).collect();
    assert_eq!(turns.len(), 2);
    let quiet = poll(&mut waits(&scheduler, "quiet"), &woken);
    assert!(quiet.is_some(), "the third turn is another tenant's");
    assert_eq!(woken.0.load(Ordering::Relaxed), 0);
}

#[test]
fn a_tenant_alone_has_all_turns_until_another_comes_and_a_second_after_it_went() {
    let mut state = State::new(3, 1);
    let (flood, quiet): (Arc<str>, Arc<str>) = ("flood".into(), "quiet".into());
    let (begin, none) = (Instant::now(), Waker::noop());
    let enters = |state: &mut State, tenant: &Arc<str>, seconds: u64| {
        let mut ticket = None;
        let now = begin + Duration::from_secs(seconds);
        state.enter(now, tenant, &mut ticket, none).then_some(())
    };
    for _ in 0..3 {
        enters(&mut state, &flood, 0).unwrap();
    }
    assert!(enters(&mut state, &quiet, 10).is_none(), "there are three");
    // The first turn goes to the tenant that waits, and the second to none: the flood is no longer alone.
    let at = begin + Duration::from_secs(10);
    assert_eq!(state.release(at, &flood).len(), 1);
    assert!(enters(&mut state, &flood, 10).is_none());
    assert!(state.release(at, &flood).is_empty());
    assert!(state.release(at, &quiet).is_empty());
    let later = at + Duration::from_secs(1);
    assert_eq!(state.release(later, &flood).len(), 1, "it is alone again");
    enters(&mut state, &flood, 11).unwrap();
}

#[test]
fn a_turn_is_idle_for_a_tenant_that_may_take_it_while_nothing_waits() {
    let mut state = State::new(3, 1);
    let (one, other): (Arc<str>, Arc<str>) = ("one".into(), "other".into());
    let now = Instant::now();
    assert_eq!(state.idle(now, &one), 3);
    assert!(state.try_enter(now, &one));
    assert_eq!(state.idle(now, &one), 2, "it is alone");
    assert_eq!(state.idle(now, &other), 1, "the first computes as well");
    assert!(state.try_enter(now, &other));
    assert_eq!(state.idle(now, &one), 0, "it has its turn");
    let later = now + Duration::from_secs(2);
    assert_eq!(state.idle(later, &one), 1, "the other computes no more");
    assert!(state.try_enter(later, &one));
    let mut ticket = None;
    assert!(!state.enter(later, &other, &mut ticket, Waker::noop()));
    assert!(state.release(later, &one).is_empty());
    assert_eq!(state.idle(later, &one), 0, "the other waits");
}

#[test]
fn waiting_tenants_are_served_round_robin() {
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
fn a_waiter_that_is_dropped_hands_on_the_turn_it_was_granted() {
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
async fn a_future_gated_twice_shares_the_turn() {
    let scheduler = Arc::new(Scheduler::new(1, 1));
    let lane = scheduler.lane("a");
    let both = lane.gated(scheduler.lane("b").gated(async {
        yield_now().await;
        scheduler.state().held()
    }));
    assert_eq!(both.await, 1);
    assert!(scheduler.state().is_empty());
    // Alone it waits again.
    let held = lane.turn().await;
    let mut alone = lane.gated(async {});
    assert!(futures_util::poll!(&mut alone).is_pending());
    // Within another turn it goes on, and its place in the lane is free.
    let other = Arc::new(Scheduler::new(1, 1)).lane("a");
    other.gated(alone).await;
    drop(held);
    assert!(scheduler.state().is_empty());
}

#[tokio::test]
async fn work_aside_takes_a_turn_that_its_caller_does_not_hold() {
    let scheduler = Arc::new(Scheduler::new(1, 1));
    let lane = scheduler.lane("a");
    let held = |scheduler: &Arc<Scheduler>| {
        let scheduler = Arc::clone(scheduler);
        move |_turn: Turn| scheduler.state().held()
    };
    assert_eq!(lane.aside(held(&scheduler)).await.unwrap(), 1);
    // The one turn is the caller's while it is polled, and the work's in between.
    let asks = lane.gated(async {
        let first = lane.aside(held(&scheduler)).await.unwrap();
        first + lane.aside(held(&scheduler)).await.unwrap()
    });
    assert_eq!(asks.await, 2);
    assert!(scheduler.state().is_empty());
    // It does not pass others that wait.
    let taken = lane.turn().await;
    let mut waits = Box::pin(lane.aside(held(&scheduler)));
    for _ in 0..100 {
        assert!(futures_util::poll!(waits.as_mut()).is_pending());
        yield_now().await;
    }
    drop(taken);
    assert_eq!(waits.await.unwrap(), 1);
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
    /// Calls come, wait, get turns and are dropped: the bounds hold, and no call waits while there is a turn that it may have.
    #[test]
    fn no_turn_is_lost_and_none_is_made(
        total in 1_usize..4,
        beside_others in 1_usize..4,
        steps in prop::collection::vec((0_u8..3, 0_usize..12, 0_usize..3), 0..200),
    ) {
        let scheduler = Arc::new(Scheduler::new(total, beside_others));
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
            // Woken calls are polled, as by an executor.
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
            let could = |(tenant, _): &(usize, Waits)| of(*tenant) < beside_others;
            prop_assert!(held.len() == total || !waiting.values().any(could));
        }
        waiting.clear();
        held.clear();
        prop_assert!(scheduler.state().is_empty());
    }
}
