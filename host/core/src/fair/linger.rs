//! Threads that have run tasks and wait for more. The one that came last is the first to go on: a call that waits for the disk, or for
//! its client, comes back to the thread and the processor that it left.

use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};
use std::time::Duration;

use super::Turn;
use super::task::Ready;

/// So long a thread waits; a runtime that stops waits with it.
const LINGER: Duration = Duration::from_millis(20);

/// A task and its turn.
pub(super) type Due = (Ready, Turn);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Lingering(Mutex<Vec<(ThreadId, Sender<Due>)>>);

// === impl Lingering ===

impl Lingering {
    /// Has the thread that came last go on with this; given back where there is none.
    pub(super) fn give(&self, due: Due) -> Result<(), Due> {
        let Some((_, thread)) = self.threads().pop() else {
            return Err(due);
        };
        thread.send(due).map_err(|unsent| unsent.0)
    }

    /// Waits for what this thread is to go on with.
    pub(super) fn wait(&self) -> Option<Due> {
        let (sender, given) = channel();
        let me = thread::current().id();
        self.threads().push((me, sender));
        if let Ok(due) = given.recv_timeout(LINGER) {
            return Some(due);
        }
        let mut threads = self.threads();
        let before = threads.len();
        threads.retain(|(thread, _)| *thread != me);
        let was_there = threads.len() < before;
        drop(threads);
        // Whoever has taken it out is about to give something.
        if was_there { None } else { given.recv().ok() }
    }

    fn threads(&self) -> MutexGuard<'_, Vec<(ThreadId, Sender<Due>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
