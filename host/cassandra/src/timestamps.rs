//! Timestamps of objects. Of two writes to one cell, Cassandra keeps the one with the greater timestamp.
//!
//! An object that exists is not changed by a later put. A condition or a read before each put would tell, at the price of another round
//! trip. Instead the timestamps of puts *fall* as time goes on: the first put has the greatest one, and a later one is without effect.
//! A reclaim deletes with a timestamp above those of all puts, so what a fenced host puts late is dead as soon as it arrives.
//!
//! ```text
//!  0 ............ now mirrored at 2020 <-- puts fall ... | 2020 = DELETE | .......... now
//! ```
//!
//! All of them are positive and in the past, so Cassandra's guardrails against timestamps of the future do not refuse them. Hosts whose
//! clocks differ matter only where two hosts put different values under one key, which the contract forbids.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// 2020-01-01T00:00:00Z in microseconds: above the timestamps of all puts.
pub(crate) const DELETE: i64 = 1_577_836_800_000_000;

/// Gives out the timestamps of puts.
#[derive(Debug)]
pub(crate) struct Falling(AtomicI64);

// === impl Falling ===

impl Falling {
    pub(crate) fn new() -> Self {
        Self(AtomicI64::new(DELETE))
    }

    /// A timestamp below all those given out before, here and, if clocks are right, on other hosts.
    pub(crate) fn next(&self) -> i64 {
        self.next_at(micros(SystemTime::now()))
    }

    fn next_at(&self, now: i64) -> i64 {
        let mirrored = DELETE.saturating_add(DELETE).saturating_sub(now);
        let next = |last: i64| mirrored.min(last.saturating_sub(1)).max(1);
        let before = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| {
                Some(next(last))
            });
        next(before.unwrap_or_else(|last| last))
    }
}

/// A timestamp above those of all conditions up to now, for the removal of partitions that no condition can write to any more.
pub(crate) fn after_conditions() -> i64 {
    let ahead = SystemTime::now() + Duration::from_hours(24);
    micros(ahead)
}

/// This host's time in milliseconds.
pub(crate) fn now_millis() -> i64 {
    micros(SystemTime::now()) / 1000
}

fn micros(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_put_has_a_smaller_timestamp() {
        let falling = Falling::new();
        let now = 1_800_000_000_000_000;
        let first = falling.next_at(now);
        let same_moment = falling.next_at(now);
        let clock_set_back = falling.next_at(now - 5_000_000);
        let later = falling.next_at(now + 5_000_000);
        assert!(first > same_moment && same_moment > clock_set_back && clock_set_back > later);
    }

    #[test]
    fn puts_of_another_host_at_a_later_time_are_smaller() {
        let now = 1_800_000_000_000_000;
        assert!(Falling::new().next_at(now) > Falling::new().next_at(now + 1));
    }

    #[test]
    fn a_reclaim_is_above_all_puts_even_if_the_clock_is_wrong() {
        for now in [0, DELETE, 1_800_000_000_000_000, i64::MAX] {
            let put = Falling::new().next_at(now);
            assert!(put > 0 && put < DELETE, "{now}: {put}");
        }
    }
}
