//! The clock of the deadlines: it ticks while guests run, and sleeps after a while without one.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, Thread};
use std::time::Duration;

use wasmtime::EngineWeak;

use crate::component::Error;

/// Interval at which a running guest checks its deadline and lets other tasks run. It may run on the thread that
/// polls the sockets, so other calls wait as long.
const TICK: Duration = Duration::from_millis(1);
/// The clock sleeps after this many ticks without a guest. It does not at once, since a call that wakes it takes longer. A tick costs 20 us
/// of a processor, so a clock that ticked on for long would take more than the calls of a quiet server.
const IDLE_TICKS: u32 = 5;
/// Interval at which a sleeping clock checks that its engine still exists.
const MAX_SLEEP: Duration = Duration::from_secs(1);

/// Increments the engine's epoch once a tick.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    running: AtomicUsize,
    asleep: AtomicBool,
    thread: OnceLock<Thread>,
}

/// Keeps the clock ticking while a guest's call runs.
#[derive(Debug)]
pub(crate) struct Running(Arc<Clock>);

// === impl Clock ===

impl Clock {
    /// Starts the thread, which runs until the engine is dropped.
    pub(crate) fn start(engine: EngineWeak) -> Result<Arc<Self>, Error> {
        let clock = Arc::<Self>::default();
        let ticks = Arc::clone(&clock);
        let started = thread::Builder::new()
            .name("wasm-clock".into())
            .spawn(move || ticks.run(&engine));
        let handle = started.map_err(|error| Error::Runtime {
            reason: format!("cannot start the thread behind deadlines: {error}"),
        })?;
        clock.thread.get_or_init(|| handle.thread().clone());
        Ok(clock)
    }

    /// Wakes the clock, and keeps it ticking until the returned value is dropped.
    pub(crate) fn running(self: &Arc<Self>) -> Running {
        self.running.fetch_add(1, Ordering::SeqCst);
        if self.asleep.load(Ordering::SeqCst)
            && self.asleep.swap(false, Ordering::SeqCst)
            && let Some(thread) = self.thread.get()
        {
            thread.unpark();
        }
        Running(Arc::clone(self))
    }

    fn is_needed(&self) -> bool {
        self.running.load(Ordering::SeqCst) > 0
    }

    fn run(&self, engine: &EngineWeak) {
        let mut idle = 0;
        while let Some(engine) = engine.upgrade() {
            engine.increment_epoch();
            drop(engine);
            thread::sleep(TICK);
            idle = if self.is_needed() { 0 } else { idle + 1 };
            if idle < IDLE_TICKS {
                continue;
            }
            self.asleep.store(true, Ordering::SeqCst);
            // A call that began before `asleep` was set has not woken the thread.
            if !self.is_needed() {
                thread::park_timeout(MAX_SLEEP);
            }
            // The next tick puts it to sleep again if no call has begun.
            self.asleep.store(false, Ordering::SeqCst);
        }
    }
}

// === impl Running ===

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use wasmtime::Engine;

    use super::*;

    #[test]
    fn a_clock_that_sleeps_is_woken_by_a_guest() {
        let engine = Engine::default();
        let clock = Clock::start(engine.weak()).unwrap();
        while !clock.asleep.load(Ordering::SeqCst) {
            thread::yield_now();
        }
        let running = clock.running();
        assert!(!clock.asleep.load(Ordering::SeqCst));
        assert!(clock.is_needed());
        drop(running);
        assert!(!clock.is_needed());
        // It sleeps again while the engine exists.
        while !clock.asleep.load(Ordering::SeqCst) {
            thread::yield_now();
        }
    }
}
