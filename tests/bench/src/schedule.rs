//! Schedules of calls at a fixed rate, whether or not earlier ones are answered.

use std::time::{Duration, Instant};

#[cfg(test)]
mod tests;

/// Tells the time since the start, and waits.
pub(crate) trait Clock {
    fn elapsed(&self) -> Duration;
    fn wait(&mut self, time: Duration);
}

/// The system's clock. Waiting blocks the thread: a thread wakes more precisely than the runtime's timer, which counts whole
/// milliseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SystemClock(pub(crate) Instant);

impl Clock for SystemClock {
    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }

    fn wait(&mut self, time: Duration) {
        std::thread::sleep(time);
    }
}

/// Calls at a rate for a time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Schedule {
    /// Calls a second.
    pub(crate) rate: u32,
    /// Duration of the schedule.
    pub(crate) seconds: u32,
}

impl Schedule {
    /// Returns the number of calls.
    pub(crate) fn calls(self) -> u64 {
        u64::from(self.rate) * u64::from(self.seconds)
    }

    /// Returns the time at which call `number` is due, from the start.
    pub(crate) fn due(self, number: u64) -> Duration {
        Duration::from_nanos(number.saturating_mul(1_000_000_000) / u64::from(self.rate.max(1)))
    }

    /// Announces each call with the time at which it was due, never before that. A late call is announced at once and none is skipped, so
    /// that delays of the caller appear in the latencies. Ends early when `announce` returns false.
    pub(crate) fn run(
        self,
        clock: &mut impl Clock,
        mut announce: impl FnMut(u64, Duration) -> bool,
    ) {
        for number in 0..self.calls() {
            let due = self.due(number);
            let early = due.saturating_sub(clock.elapsed());
            if !early.is_zero() {
                clock.wait(early);
            }
            if !announce(number, due) {
                return;
            }
        }
    }
}
