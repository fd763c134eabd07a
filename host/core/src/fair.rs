//! Fair sharing of the processor between tenants: what computes for long takes a turn, and turns go round the tenants.
//!
//! A turn is held for one poll of a future, never across an await, and what is gated inside of that poll shares it. Guests yield
//! at each tick of the runtime's clock, and searches after each page, so a turn is short. Those who wait are served one of each tenant
//! after the other. A tenant that computes alone may hold all turns; beside others that have computed in the last second it leaves one
//! processor to them. So a flood of one tenant waits in its own lane, and a call of another finds a processor free, or comes next.
//!
//! A search that computes for long goes on in a task of its lane, on a thread that stays with it: see `task`.

mod gate;
mod linger;
mod moving;
mod state;
mod task;

use std::future::Future;
use std::num::NonZero;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::thread::available_parallelism;
use std::time::Instant;

use tokio::task::{JoinError, spawn_blocking};

pub use gate::{Gate, Gated, LONG};
use linger::Lingering;
pub use moving::Moving;
use state::{Next, State, Ticket};
use task::Ready;
pub use task::{Ended, Task, is_on_task};

/// Turns beyond the number of processors: while one is handed over, another one computes.
const BEYOND_PROCESSORS: usize = 1;

/// Gives out turns. By default those of this machine's processors.
#[derive(Debug)]
pub struct Scheduler {
    state: Mutex<State>,
    lingering: Lingering,
}

/// A tenant's way to its turns. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Lane {
    scheduler: Arc<Scheduler>,
    tenant: Arc<str>,
}

/// A turn; dropping it gives it to whoever comes next.
#[derive(Debug)]
pub struct Turn {
    lane: Lane,
    /// It has been given back already.
    released: bool,
}

/// How many threads a runtime needs so that what takes no turn always finds one.
pub fn threads() -> usize {
    processors() + BEYOND_PROCESSORS + 2
}

fn processors() -> usize {
    available_parallelism().map_or(1, NonZero::get)
}

// === impl Scheduler ===

impl Scheduler {
    /// So many turns at a time, and so many of one tenant while others compute as well.
    pub fn new(total: usize, beside_others: usize) -> Self {
        Self {
            state: Mutex::new(State::new(total, beside_others)),
            lingering: Lingering::default(),
        }
    }

    /// The lane of a tenant, by its name.
    pub fn lane(self: &Arc<Self>, tenant: impl Into<Arc<str>>) -> Lane {
        Lane {
            scheduler: Arc::clone(self),
            tenant: tenant.into(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No step under the lock can panic half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Scheduler {
    fn default() -> Self {
        let processors = processors();
        Self::new(processors + BEYOND_PROCESSORS, processors - 1)
    }
}

// === impl Lane ===

impl Lane {
    /// Whose it is.
    pub fn tenant(&self) -> &Arc<str> {
        &self.tenant
    }

    /// Has each poll of the future wait for a turn.
    pub fn gated<F>(&self, future: F) -> Gated<F> {
        Gated::new(self.clone(), future)
    }

    /// Runs the future where it is awaited, and in a task of the lane once it has computed for long. Dropping it ends it.
    pub fn moving<F>(&self, future: F) -> Moving<F>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        Moving::new(self.clone(), future)
    }

    /// For polls of what is no future.
    pub fn gate(&self) -> Gate {
        Gate::new(self.clone())
    }

    /// A turn to hold while a thread computes.
    pub async fn turn(&self) -> Turn {
        let mut gate = self.gate();
        std::future::poll_fn(move |cx| gate.poll_turn(cx)).await
    }

    /// Runs on a thread of its own what computes at first and then may block: it is given a turn of its own, to drop in between. The
    /// task that asks needs none meanwhile.
    ///
    /// # Errors
    /// As of [`spawn_blocking`]: the work has panicked, or was ended with the runtime.
    pub async fn aside<T: Send + 'static>(
        &self,
        work: impl FnOnce(Turn) -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        if let Some(turn) = self.try_turn() {
            return spawn_blocking(move || work(turn)).await;
        }
        // In a task of its own: who asks may be polled within turns, and would need one to take note of the one that has come.
        let lane = self.clone();
        let waits = tokio::spawn(async move {
            let turn = lane.turn().await;
            spawn_blocking(move || work(turn)).await
        });
        waits.await?
    }

    /// A turn, if there is one and nobody waits for it.
    fn try_turn(&self) -> Option<Turn> {
        let mut state = self.scheduler.state();
        let entered = state.try_enter(Instant::now(), &self.tenant);
        entered.then(|| Turn::new(self.clone()))
    }

    fn poll_turn(&self, ticket: &mut Option<Ticket>, cx: &Context<'_>) -> Poll<Turn> {
        let entered =
            self.scheduler
                .state()
                .enter(Instant::now(), &self.tenant, ticket, cx.waker());
        if entered {
            Poll::Ready(Turn::new(self.clone()))
        } else {
            Poll::Pending
        }
    }

    /// Gives up a place in the lane, and the turn if that has come meanwhile.
    fn leave(&self, ticket: &Ticket) {
        let granted = self
            .scheduler
            .state()
            .leave(Instant::now(), &self.tenant, ticket);
        granted.into_iter().for_each(Next::go_on);
    }
}

// === impl Turn ===

impl Turn {
    /// Of a lane in which it counts as held.
    fn new(lane: Lane) -> Self {
        Self {
            lane,
            released: false,
        }
    }

    /// Gives it back; a task that wants to go on waits for the next one.
    fn release(&mut self, again: Option<Ready>) -> Vec<Next> {
        self.released = true;
        let Lane { scheduler, tenant } = &self.lane;
        let (mut state, now) = (scheduler.state(), Instant::now());
        match again {
            Some(ready) => state.again(now, tenant, ready),
            None => state.release(now, tenant),
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if !self.released {
            self.release(None).into_iter().for_each(Next::go_on);
        }
    }
}

#[cfg(test)]
mod tests;
