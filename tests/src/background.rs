//! Background load of a test, with every answer checked by its task.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::task::JoinHandle;

use crate::eventually;

/// Tasks that run until they are stopped. A task that fails panics, which [`Background::calls`] and [`Background::stop`] pass on.
#[derive(Debug)]
pub struct Background<T> {
    progress: Progress,
    tasks: Vec<JoinHandle<T>>,
}

/// Tells a task when to end, and counts its calls.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    stopped: Arc<AtomicBool>,
    calls: Arc<AtomicU64>,
}

// === impl Progress ===

impl Progress {
    /// Returns false once the task has to end.
    pub fn is_running(&self) -> bool {
        !self.stopped.load(Ordering::Relaxed)
    }

    /// Counts a call that succeeded.
    pub fn count(&self) {
        self.calls.fetch_add(1, Ordering::Relaxed);
    }
}

// === impl Background ===

impl<T> Default for Background<T> {
    fn default() -> Self {
        Self {
            progress: Progress::default(),
            tasks: Vec::new(),
        }
    }
}

impl<T: Send + 'static> Background<T> {
    /// Starts with a first task.
    pub fn spawn<F: Future<Output = T> + Send + 'static>(task: impl FnOnce(Progress) -> F) -> Self {
        let mut background = Self::default();
        background.and(task);
        background
    }

    /// Adds a task.
    pub fn and<F: Future<Output = T> + Send + 'static>(
        &mut self,
        task: impl FnOnce(Progress) -> F,
    ) {
        self.tasks.push(tokio::spawn(task(self.progress.clone())));
    }

    /// Returns once `more` further calls have succeeded.
    pub async fn calls(&self, more: u64) {
        let calls = || self.progress.calls.load(Ordering::Relaxed);
        let until = calls() + more;
        eventually("calls in the background", async || {
            let ended = self.tasks.iter().any(JoinHandle::is_finished);
            assert!(!ended, "a call in the background went wrong");
            (calls() >= until).then_some(())
        })
        .await;
    }

    /// Stops the tasks and returns their results.
    pub async fn stop(self) -> Vec<T> {
        self.progress.stopped.store(true, Ordering::Relaxed);
        let mut results = Vec::new();
        for task in self.tasks {
            results.push(task.await.expect("every call in the background went well"));
        }
        results
    }
}
