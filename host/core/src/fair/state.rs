//! The turns that are held, and the queues for them.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Waker;
use std::time::{Duration, Instant};

use super::task::Ready;

/// A tenant that has computed within this time counts as computing.
const ACTIVE: Duration = Duration::from_secs(1);

/// Behind the scheduler's lock.
#[derive(Debug)]
pub(super) struct State {
    /// The most turns at a time, and the most of one tenant while others compute as well.
    total: usize,
    beside_others: usize,
    held: usize,
    /// One for every tenant that holds a turn or waits for one.
    lanes: HashMap<Arc<str>, Waiting>,
    /// The tenants that wait, in the order in which their next turns come.
    ring: VecDeque<Arc<str>>,
    /// The two tenants that had turns last, and when.
    last: [Option<(Arc<str>, Instant)>; 2],
}

#[derive(Debug, Default)]
struct Waiting {
    held: usize,
    queue: VecDeque<Waits>,
}

/// An entry of a queue: a ticket whose waker is called, or a task that is run by the thread that gives up a turn.
#[derive(Debug)]
enum Waits {
    Ticket(Ticket, Waker),
    Task(Ready),
}

/// An entry that was granted a turn.
#[derive(Debug)]
pub(super) enum Next {
    /// To be woken: it takes its turn when it is polled.
    Wake(Waker),
    /// To be run.
    Run(Ready),
}

/// A place in the queue. Once granted, the turn counts as held.
#[derive(Clone, Debug)]
pub(super) struct Ticket(Arc<AtomicBool>);

// === impl State ===

impl State {
    pub(super) fn new(total: usize, beside_others: usize) -> Self {
        Self {
            total: total.max(1),
            beside_others: beside_others.max(1),
            held: 0,
            lanes: HashMap::new(),
            ring: VecDeque::new(),
            last: [None, None],
        }
    }

    /// The most turns that the tenant may hold now.
    fn most(&self, now: Instant, tenant: &Arc<str>) -> usize {
        let is_other = |(other, at): &(Arc<str>, Instant)| {
            other != tenant && now.saturating_duration_since(*at) < ACTIVE
        };
        if self.last.iter().flatten().any(is_other) {
            self.beside_others
        } else {
            self.total
        }
    }

    fn computes(&mut self, now: Instant, tenant: &Arc<str>) {
        let [newest, before] = &mut self.last;
        match newest {
            Some((last, at)) if last == tenant => *at = now,
            _ => *before = newest.replace((Arc::clone(tenant), now)),
        }
    }

    /// The turns that the tenant could take now. None while anything waits for one.
    pub(super) fn idle(&self, now: Instant, tenant: &Arc<str>) -> usize {
        if !self.ring.is_empty() {
            return 0;
        }
        let held = self.lanes.get(tenant).map_or(0, |lane| lane.held);
        let free = self.total.saturating_sub(self.held);
        free.min(self.most(now, tenant).saturating_sub(held))
    }

    /// Takes a turn, if one is free and the tenant's queue is empty.
    pub(super) fn try_enter(&mut self, now: Instant, tenant: &Arc<str>) -> bool {
        self.computes(now, tenant);
        let (is_free, most) = (self.held < self.total, self.most(now, tenant));
        let lane = self.lanes.entry(Arc::clone(tenant)).or_default();
        let enters = is_free && lane.held < most && lane.queue.is_empty();
        if enters {
            lane.held += 1;
            self.held += 1;
        } else {
            self.forget_if_idle(tenant);
        }
        enters
    }

    /// Takes a turn, or queues to be woken for one.
    pub(super) fn enter(
        &mut self,
        now: Instant,
        tenant: &Arc<str>,
        ticket: &mut Option<Ticket>,
        waker: &Waker,
    ) -> bool {
        if let Some(mine) = ticket {
            if mine.is_granted() {
                *ticket = None;
                return true;
            }
            let lane = self.lanes.entry(Arc::clone(tenant)).or_default();
            if let Some(old) = lane.queue.iter_mut().find_map(|it| it.waker_of(mine)) {
                old.clone_from(waker);
            }
            return false;
        }
        if self.try_enter(now, tenant) {
            return true;
        }
        let mine = Ticket(Arc::default());
        self.wait(tenant, Waits::Ticket(mine.clone(), waker.clone()));
        *ticket = Some(mine);
        false
    }

    /// Takes a turn for a task, which is returned to be run, or queues it.
    pub(super) fn submit(
        &mut self,
        now: Instant,
        tenant: &Arc<str>,
        ready: Ready,
    ) -> Option<Ready> {
        if self.try_enter(now, tenant) {
            return Some(ready);
        }
        self.wait(tenant, Waits::Task(ready));
        None
    }

    /// Takes back the turn of a task and queues it for the next one.
    pub(super) fn again(&mut self, now: Instant, tenant: &Arc<str>, ready: Ready) -> Vec<Next> {
        self.computes(now, tenant);
        self.wait(tenant, Waits::Task(ready));
        self.release(now, tenant)
    }

    fn wait(&mut self, tenant: &Arc<str>, waits: Waits) {
        let lane = self.lanes.entry(Arc::clone(tenant)).or_default();
        if lane.queue.is_empty() {
            self.ring.push_back(Arc::clone(tenant));
        }
        lane.queue.push_back(waits);
    }

    /// Takes back a turn. Returns the entries that are granted one by it.
    pub(super) fn release(&mut self, now: Instant, tenant: &Arc<str>) -> Vec<Next> {
        if let Some(lane) = self.lanes.get_mut(tenant) {
            lane.held = lane.held.saturating_sub(1);
            self.held = self.held.saturating_sub(1);
        }
        self.forget_if_idle(tenant);
        self.grant(now)
    }

    /// Takes back a place in the queue, with the turn if it was granted. Returns the entries that are granted one by it.
    pub(super) fn leave(&mut self, now: Instant, tenant: &Arc<str>, ticket: &Ticket) -> Vec<Next> {
        if ticket.is_granted() {
            return self.release(now, tenant);
        }
        if let Some(lane) = self.lanes.get_mut(tenant) {
            lane.queue.retain_mut(|it| it.waker_of(ticket).is_none());
            if lane.queue.is_empty() {
                self.ring.retain(|it| it != tenant);
            }
        }
        self.forget_if_idle(tenant);
        Vec::new()
    }

    /// Grants free turns to the queues, round robin.
    fn grant(&mut self, now: Instant) -> Vec<Next> {
        let mut granted = Vec::new();
        let mut passed = 0;
        while self.held < self.total && passed < self.ring.len() {
            let Some(tenant) = self.ring.pop_front() else {
                break;
            };
            let most = self.most(now, &tenant);
            let Some(lane) = self.lanes.get_mut(&tenant) else {
                continue;
            };
            if lane.held < most
                && let Some(waits) = lane.queue.pop_front()
            {
                granted.push(waits.grant());
                lane.held += 1;
                self.held += 1;
                passed = 0;
            } else {
                passed += 1;
            }
            if !lane.queue.is_empty() {
                self.ring.push_back(tenant);
            }
        }
        granted
    }

    fn forget_if_idle(&mut self, tenant: &Arc<str>) {
        let is_idle = |lane: &Waiting| lane.held == 0 && lane.queue.is_empty();
        if self.lanes.get(tenant).is_some_and(is_idle) {
            self.lanes.remove(tenant);
        }
    }

    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.held
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.held == 0 && self.lanes.is_empty() && self.ring.is_empty()
    }
}

// === impl Waits ===

impl Waits {
    /// The waker of this ticket, if this is its entry.
    fn waker_of(&mut self, mine: &Ticket) -> Option<&mut Waker> {
        match self {
            Self::Ticket(ticket, waker) if ticket.is(mine) => Some(waker),
            Self::Ticket(..) | Self::Task(_) => None,
        }
    }

    fn grant(self) -> Next {
        match self {
            Self::Ticket(ticket, waker) => {
                ticket.0.store(true, Ordering::Relaxed);
                Next::Wake(waker)
            }
            Self::Task(ready) => Next::Run(ready),
        }
    }
}

// === impl Ticket ===

impl Ticket {
    /// Written and read under the scheduler's lock.
    fn is_granted(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}
