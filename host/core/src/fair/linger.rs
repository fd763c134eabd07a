//! Threads that have run tasks and wait for more. The last one to come is the first to go on: a call that waited for the disk or for
//! its client comes back to the thread and the processor that it left.

use std::sync::mpsc::{Sender, channel};
use std::thread::{self, ThreadId};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};

use super::Turn;
use super::task::Ready;

/// Time that a thread waits for a task. A runtime that stops waits as long.
const LINGER: Duration = Duration::from_millis(20);

/// A task and its turn.
pub(super) type Due = (Ready, Turn);

/// The waiting threads, each with the channel that wakes it.
#[derive(Debug, Default)]
pub(super) struct Lingering(Mutex<Vec<(ThreadId, Sender<Due>)>>);

// === impl Lingering ===

impl Lingering {
    /// Gives the task to the thread that came last. Given back if no thread waits.
    pub(super) fn give(&self, due: Due) -> Result<(), Due> {
        let Some((_, thread)) = self.threads().pop() else {
            return Err(due);
        };
        thread.send(due).map_err(|unsent| unsent.0)
    }

    /// Waits for the next task of this thread.
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
        // Another thread has taken this one off the list and is about to send a task.
        if was_there { None } else { given.recv().ok() }
    }

    fn threads(&self) -> MutexGuard<'_, Vec<(ThreadId, Sender<Due>)>> {
        self.0.lock()
    }
}
