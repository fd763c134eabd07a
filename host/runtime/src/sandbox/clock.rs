//! The clock behind deadlines: it ticks while guests run, and sleeps once none has for a while.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, Thread};
use std::time::Duration;

use wasmtime::EngineWeak;

use crate::component::Error;

/// Interval at which a running guest checks its deadline and lets other tasks run. The thread that runs it may be the one that has
/// to look at the sockets, so that others' calls wait as long for it.
const TICK: Duration = Duration::from_millis(1);
/// So many ticks without a guest, and the clock sleeps: waking it costs a call more than letting it tick.
const LINGER: u32 = 1_000;
/// Interval at which a sleeping clock checks that its engine is still there.
const NAP: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    running: AtomicUsize,
    asleep: AtomicBool,
    thread: OnceLock<Thread>,
}

/// A guest's call, for which the clock ticks.
#[derive(Debug)]
pub(crate) struct Running(Arc<Clock>);

// === impl Clock ===

impl Clock {
    /// Ticks until the engine is gone.
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

    /// Has the clock tick for as long as what is returned is there.
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
            if idle < LINGER {
                continue;
            }
            self.asleep.store(true, Ordering::SeqCst);
            // A call that began before `asleep` was set has woken no clock.
            if !self.is_needed() {
                thread::park_timeout(NAP);
            }
            // It goes on sleeping at the next tick if no call has begun.
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
        // And it sleeps again, while the engine is there.
        while !clock.asleep.load(Ordering::SeqCst) {
            thread::yield_now();
        }
    }
}
