//! Restart times of a plugin that fails: at once, then after delays that double while it keeps failing.

use std::time::{Duration, Instant};

const LONGEST_DELAY: Duration = Duration::from_secs(30);
/// A plugin that held out this long is given a fresh chance.
const FORGIVEN_AFTER: Duration = Duration::from_mins(1);

/// The history of one plugin's failures.
#[derive(Debug)]
pub(crate) struct Backoff {
    /// Delay after the second of two failures in a row.
    first_delay: Duration,
    failures: u32,
    /// When the current or last instance was allowed to start.
    started: Option<Instant>,
}

impl Backoff {
    pub(crate) fn new(first_delay: Duration) -> Self {
        Self {
            first_delay,
            failures: 0,
            started: None,
        }
    }

    /// Takes a failure into account and returns when the next start may be.
    pub(crate) fn failed(&mut self, now: Instant) -> Instant {
        let held_out = self
            .started
            .map(|started| now.saturating_duration_since(started));
        if held_out.is_none_or(|time| time >= FORGIVEN_AFTER) {
            self.failures = 0;
        }
        let delay = match self.failures.checked_sub(1) {
            None => Duration::ZERO,
            Some(doublings) => 2_u32
                .checked_pow(doublings)
                .and_then(|factor| self.first_delay.checked_mul(factor))
                .map_or(LONGEST_DELAY, |delay| {
                    delay.min(LONGEST_DELAY.max(self.first_delay))
                }),
        };
        self.failures = self.failures.saturating_add(1);
        let next = now + delay;
        self.started = Some(next);
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST_DELAY: Duration = Duration::from_millis(100);

    #[test]
    fn the_first_restart_is_at_once_and_the_next_ones_wait_twice_as_long_each() {
        let mut now = Instant::now();
        let mut backoff = Backoff::new(FIRST_DELAY);
        let mut delays = Vec::new();
        for _ in 0..12 {
            let next = backoff.failed(now);
            delays.push((next - now).as_millis());
            now = next;
        }
        let expected = [
            0, 100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 30000, 30000,
        ];
        assert_eq!(delays, expected);
    }

    #[test]
    fn a_minute_without_failure_is_a_fresh_chance() {
        let now = Instant::now();
        let mut backoff = Backoff::new(FIRST_DELAY);
        backoff.failed(now);
        let next = backoff.failed(now);
        let much_later = next + FORGIVEN_AFTER;
        assert_eq!(backoff.failed(much_later), much_later);
    }

    #[test]
    fn any_number_of_failures_is_counted() {
        let now = Instant::now();
        let mut backoff = Backoff {
            failures: u32::MAX,
            started: Some(now),
            first_delay: FIRST_DELAY,
        };
        assert_eq!(backoff.failed(now), now + LONGEST_DELAY);
    }
}
