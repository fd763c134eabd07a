//! Fair sharing of the processor between tenants: a long computation takes turns, and turns go round the tenants.
//!
//! A turn is held for one poll of a future, never across an await. Gated futures inside that poll share it. Guests yield at each tick of
//! the runtime's clock, and searches after each page, so a turn is short. Waiting tenants are served round robin. A tenant that computes
//! alone may hold all turns; if others have computed in the last second, it leaves one processor to them. So a flood of one tenant waits
//! in its own lane, and a call of another tenant finds a free processor or comes next.
//!
//! A search that computes for long goes on in a task of its lane, on a thread that stays with it: see `task`. While processors are idle it
//! may have further tasks beside it, which take turns of the same lane: see [`Lane::spawn_if_idle`].

mod detached;
mod gate;
mod linger;
mod moving;
mod state;
mod task;

use std::future::Future;
use std::num::NonZero;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::thread::available_parallelism;
use std::time::Instant;

use futures_util::stream::{self, Stream, StreamExt as _};
use parking_lot::{Mutex, MutexGuard};
use tokio::task::{JoinError, spawn_blocking};
use tracing::Instrument as _;

use detached::Detached;
use gate::Gate;
pub use gate::{Gated, LONG};
use linger::Lingering;
pub use moving::{AHEAD, Moving};
use state::{Next, State, Ticket};
use task::Ready;
pub use task::{Ended, Task, is_on_task};

/// Turns beyond the number of processors: while one is handed over, another computes.
const BEYOND_PROCESSORS: usize = 1;

/// Gives out turns: by default one for each processor, and one beyond.
#[derive(Debug)]
pub struct Scheduler {
    state: Mutex<State>,
    lingering: Lingering,
}

/// The queue of one tenant for turns. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Lane {
    scheduler: Arc<Scheduler>,
    tenant: Arc<str>,
}

/// A turn. Dropping it gives it to the next in the queue.
#[derive(Debug)]
pub struct Turn {
    lane: Lane,
    /// Already given back.
    released: bool,
}

/// Threads that a runtime needs so that work without a turn always finds one.
pub fn threads() -> usize {
    processors() + BEYOND_PROCESSORS + 2
}

fn processors() -> usize {
    available_parallelism().map_or(1, NonZero::get)
}

// === impl Scheduler ===

impl Scheduler {
    /// `total` turns at a time, of which one tenant holds at most `beside_others` while others compute as well.
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
        self.state.lock()
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
    /// The tenant's name.
    pub fn tenant(&self) -> &Arc<str> {
        &self.tenant
    }

    /// Makes each poll of the future wait for a turn.
    pub fn gated<F>(&self, future: F) -> Gated<F> {
        Gated::new(self.clone(), future)
    }

    /// Polls the stream where it is awaited, and in a task of the lane once it has computed for [`LONG`]. Dropping it ends it.
    pub fn moving<S: Stream>(&self, stream: S) -> Moving<S> {
        Moving::new(self.clone(), stream)
    }

    /// Runs the future where it is awaited, and in a task of the lane once it has computed for [`LONG`]. Dropping it ends it.
    ///
    /// # Errors
    /// Its task has panicked, or was ended with the runtime.
    pub async fn run<F>(&self, future: F) -> Result<F::Output, Ended>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let mut moving = self.moving(stream::once(future));
        moving.next().await.unwrap_or(Err(Ended::Stopped))
    }

    /// As [`Lane::run`], but once it has begun it goes on to its end, even if the caller drops it or stops polling.
    ///
    /// # Errors
    /// As [`Lane::run`].
    pub async fn run_detached<F>(&self, future: F) -> Result<F::Output, Ended>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let lane = self.clone();
        Detached::new(Box::pin(async move { lane.run(future).await })).await?
    }

    /// Runs the future in a task, in the caller's span, if the tenant may take an idle processor. Gives it back otherwise.
    ///
    /// The caller goes on beside it. Once others compute as well, the task takes turns like everything of its lane.
    ///
    /// # Errors
    /// The future, if [`Lane::idle`] is 0.
    ///
    /// # Panics
    /// Outside of a runtime.
    pub fn spawn_if_idle<F>(&self, future: F) -> Result<Task<F::Output>, F>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        if self.idle() == 0 {
            return Err(future);
        }
        Ok(self.spawn(future.in_current_span()))
    }

    /// The number of processors on which nothing computes, as far as the tenant may take them now. 0 while anything waits for a turn.
    pub fn idle(&self) -> usize {
        let turns = self.scheduler.state().idle(Instant::now(), &self.tenant);
        turns.saturating_sub(BEYOND_PROCESSORS)
    }

    /// A turn to hold while a thread computes.
    pub async fn turn(&self) -> Turn {
        let mut gate = Gate::new(self.clone());
        std::future::poll_fn(move |cx| gate.poll_turn(cx)).await
    }

    /// Runs work on a thread of its own that first computes and then may block. It is given a turn of its own, to drop before it
    /// blocks. The calling task needs no turn meanwhile.
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
        // In a task of its own: the caller may be polled within turns, and would need one to take the one that was granted.
        let lane = self.clone();
        let waits = tokio::spawn(async move {
            let turn = lane.turn().await;
            spawn_blocking(move || work(turn)).await
        });
        waits.await?
    }

    /// A turn, if one is free and no other call of the tenant waits for it.
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

    /// Leaves the queue, and gives back the turn if it was granted meanwhile.
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
    /// A turn that the state of its lane already counts as held.
    fn new(lane: Lane) -> Self {
        Self {
            lane,
            released: false,
        }
    }

    /// Gives it back. A task that wants to go on queues for the next one.
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
