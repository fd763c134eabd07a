//! The clock of the deadlines: it ticks while guests run, and sleeps after a while without one.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use wasmtime::EngineWeak;

use crate::component::Error;

/// Interval at which a guest that runs for long checks its deadline and lets other tasks run. It may run on the thread that polls the
/// sockets, so other calls wait as long.
const TICK: Duration = Duration::from_millis(1);
/// The interval while no guest runs for long, and so the longest time until the first tick of one that does. A tick costs 20 to 40 us of a
/// processor, and most calls are over before the next: ticks of 1 ms took a tenth of the time of the writes that they interrupted.
const FIRST_TICK: Duration = Duration::from_millis(4);
/// The clock sleeps after this many ticks without a guest. It does not at once, since a call that wakes it takes longer.
const IDLE_TICKS: u32 = 2;
/// Interval at which a sleeping clock checks that its engine still exists.
const MAX_SLEEP: Duration = Duration::from_secs(1);

/// Increments the engine's epoch once a tick.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    running: AtomicUsize,
    /// A guest has run for longer than a tick.
    is_long: AtomicBool,
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

    /// Ticks faster if a call that began at `begun`, and runs on after a tick, has run for longer than one.
    pub(crate) fn interrupted(&self, begun: Instant, now: Instant) {
        if now.duration_since(begun) >= TICK {
            self.is_long.store(true, Ordering::Relaxed);
        }
    }

    fn is_needed(&self) -> bool {
        self.running.load(Ordering::SeqCst) > 0
    }

    fn run(&self, engine: &EngineWeak) {
        let mut idle = 0;
        loop {
            let is_long = self.is_long.swap(false, Ordering::Relaxed);
            thread::sleep(if is_long { TICK } else { FIRST_TICK });
            let Some(engine) = engine.upgrade() else {
                return;
            };
            engine.increment_epoch();
            drop(engine);
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
    #[test]
    fn calls_that_run_for_longer_than_a_tick_make_it_tick_faster() {
        let clock = Clock::default();
        let begun = Instant::now();
        clock.interrupted(begun, begun + TICK / 2);
        assert!(!clock.is_long.load(Ordering::Relaxed));
        clock.interrupted(begun, begun + TICK);
        assert!(clock.is_long.load(Ordering::Relaxed));
    }
}
