//! Tasks of a lane: each poll is a turn, and a thread that has run a turn goes on with the next one that is due, of any tenant.
//!
//! So a long computation stays on its thread, even if it lets others go first. On an async runtime's workers it would move to another
//! thread each time, and delay the calls that are queued there.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use async_task::{Builder, FallibleTask, Runnable, ScheduleInfo, WithInfo};
use futures_util::FutureExt as _;
use tokio::runtime::Handle;
use tokio::task::JoinError;

use super::gate::Within;
use super::linger::Due;
use super::state::Next;
use super::{Lane, Scheduler, Turn};

thread_local! {
    /// This thread runs a task.
    static ON_TASK: Cell<bool> = const { Cell::new(false) };
    /// The task that this thread has just run, if it wants to go on at once.
    static AGAIN: RefCell<Option<Ready>> = const { RefCell::new(None) };
}

/// A task that can go on.
pub(super) type Ready = Runnable<Home>;

/// The lane and the runtime of a task.
#[derive(Debug)]
pub(super) struct Home {
    lane: Lane,
    runtime: Handle,
}

/// A future that runs in a task. Dropping it ends it where it is.
pub struct Task<T>(FallibleTask<Result<T, Payload>, Home>);

/// The reason why a task has no result.
pub enum Ended {
    /// It has panicked, with this payload.
    Panicked(Payload),
    /// The runtime is stopping.
    Stopped,
}

type Payload = Box<dyn Any + Send>;

/// True if this thread runs a task of a lane, which stays on it to its end.
pub fn is_on_task() -> bool {
    ON_TASK.get()
}

fn schedule(ready: Ready, info: ScheduleInfo) {
    // This thread runs it.
    if info.woken_while_running && is_on_task() {
        AGAIN.with_borrow_mut(|again| *again = Some(ready));
        return;
    }
    let Lane { scheduler, tenant } = ready.metadata().lane.clone();
    let entered = scheduler.state().submit(Instant::now(), &tenant, ready);
    entered.into_iter().for_each(start);
}

/// Runs a task that was granted a turn, on the thread that ran one last or on another.
fn start(ready: Ready) {
    let Home { lane, runtime } = ready.metadata();
    let (lane, runtime) = (lane.clone(), runtime.clone());
    let due = (ready, Turn::new(lane.clone()));
    if let Err(due) = lane.scheduler.lingering.give(due) {
        drop(runtime.spawn_blocking(move || run_all(due, &lane.scheduler)));
    }
}

/// Runs the task, then those that come next, until none has come for a while.
fn run_all(due: Due, scheduler: &Scheduler) {
    let mut next = Some(due);
    while let Some((ready, mut turn)) = next.take() {
        let again = run(ready);
        for granted in turn.release(again) {
            match granted {
                Next::Run(ready) if next.is_none() => {
                    let turn = Turn::new(ready.metadata().lane.clone());
                    next = Some((ready, turn));
                }
                other => other.go_on(),
            }
        }
        // A thread that waits holds nothing, not even a lane.
        drop(turn);
        next = next.or_else(|| scheduler.lingering.wait());
    }
}

/// Polls it once. Returns it if it wants to go on.
fn run(ready: Ready) -> Option<Ready> {
    let runtime = ready.metadata().runtime.clone();
    let _runtime = runtime.enter();
    let _here = Here::enter();
    let _within = Within::enter();
    ready.run();
    AGAIN.take()
}

/// Marks this thread as running a task, until it is dropped.
struct Here;

// === impl Here ===

impl Here {
    fn enter() -> Self {
        ON_TASK.set(true);
        Self
    }
}

impl Drop for Here {
    fn drop(&mut self) {
        ON_TASK.set(false);
    }
}

// === impl Lane ===

impl Lane {
    /// Runs the future in a task. Each of its polls takes a turn.
    ///
    /// # Panics
    /// Outside of a runtime.
    pub fn spawn<F>(&self, future: F) -> Task<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let home = Home {
            lane: self.clone(),
            runtime: Handle::current(),
        };
        let caught = AssertUnwindSafe(future).catch_unwind();
        let (ready, task) = Builder::new()
            .metadata(home)
            .spawn(move |_| caught, WithInfo(schedule));
        ready.schedule();
        Task(task.fallible())
    }
}

// === impl Next ===

impl Next {
    pub(super) fn go_on(self) {
        match self {
            Self::Wake(waker) => waker.wake(),
            Self::Run(ready) => start(ready),
        }
    }
}

// === impl Task ===

impl<T> Future for Task<T> {
    type Output = Result<T, Ended>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let ended = Pin::new(&mut self.0).poll(cx);
        ended.map(|ended| ended.ok_or(Ended::Stopped)?.map_err(Ended::Panicked))
    }
}

impl<T> fmt::Debug for Task<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task").finish_non_exhaustive()
    }
}

// === impl Ended ===

impl From<JoinError> for Ended {
    fn from(error: JoinError) -> Self {
        error.try_into_panic().map_or(Self::Stopped, Self::Panicked)
    }
}

impl fmt::Debug for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Panicked(_) => "its task has panicked",
            Self::Stopped => "the server is stopping",
        })
    }
}
