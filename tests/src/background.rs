//! Calls that go on in the background of a test, each of which has to be answered as its task wants it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::task::JoinHandle;

use crate::eventually;

/// Tasks that go on until they are stopped. A task that fails panics, which [`Background::calls`] and [`Background::stop`] pass on.
#[derive(Debug)]
pub struct Background<T> {
    turns: Turns,
    tasks: Vec<JoinHandle<T>>,
}

/// Tells a task when to end, and counts what it does.
#[derive(Clone, Debug, Default)]
pub struct Turns {
    stopped: Arc<AtomicBool>,
    calls: Arc<AtomicU64>,
}

// === impl Turns ===

impl Turns {
    /// False once the task has to end.
    pub fn go_on(&self) -> bool {
        !self.stopped.load(Ordering::Relaxed)
    }

    /// Another call has ended well.
    pub fn count(&self) {
        self.calls.fetch_add(1, Ordering::Relaxed);
    }
}

// === impl Background ===

impl<T> Default for Background<T> {
    fn default() -> Self {
        Self {
            turns: Turns::default(),
            tasks: Vec::new(),
        }
    }
}

impl<T: Send + 'static> Background<T> {
    /// With a first task.
    pub fn spawn<F: Future<Output = T> + Send + 'static>(task: impl FnOnce(Turns) -> F) -> Self {
        let mut background = Self::default();
        background.and(task);
        background
    }

    /// With another task.
    pub fn and<F: Future<Output = T> + Send + 'static>(&mut self, task: impl FnOnce(Turns) -> F) {
        self.tasks.push(tokio::spawn(task(self.turns.clone())));
    }

    /// Returns once so many calls more have ended well.
    pub async fn calls(&self, more: u64) {
        let calls = || self.turns.calls.load(Ordering::Relaxed);
        let until = calls() + more;
        eventually("calls in the background", async || {
            let ended = self.tasks.iter().any(JoinHandle::is_finished);
            assert!(!ended, "a call in the background went wrong");
            (calls() >= until).then_some(())
        })
        .await;
    }

    /// Ends them, and gives what they gave.
    pub async fn stop(self) -> Vec<T> {
        self.turns.stopped.store(true, Ordering::Relaxed);
        let mut results = Vec::new();
        for task in self.tasks {
            results.push(task.await.expect("every call in the background went well"));
        }
        results
    }
}
