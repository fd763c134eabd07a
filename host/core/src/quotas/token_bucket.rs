//! A token bucket for spans, stored as the time at which it is full again.
//!
//! It holds one second's worth of spans. A request of any size is taken while at least one span is in the bucket, and the rest becomes a
//! debt. So a request larger than the bucket passes, and the long-term rate still holds. A library such as `governor` refuses for ever a
//! request that is larger than the bucket.

use std::time::{Duration, Instant};

/// Time in which an empty bucket fills. Sets the size of a burst.
const BURST: Duration = Duration::from_secs(1);

/// A token bucket that can go into debt.
#[derive(Debug)]
pub(super) struct TokenBucket {
    /// Spans a second.
    rate: u64,
    /// When it is full if nothing more is taken. `None` while it has never been used.
    full_at: Option<Instant>,
}

// === impl TokenBucket ===

impl TokenBucket {
    /// A full bucket that refills at `rate` spans per second.
    pub(super) fn new(rate: u64) -> Self {
        Self {
            rate: rate.max(1),
            full_at: None,
        }
    }

    pub(super) fn rate(&self) -> u64 {
        self.rate
    }

    /// Checks that at least one span is in the bucket.
    ///
    /// # Errors
    /// The time until one is.
    pub(super) fn check(&self, now: Instant) -> Result<(), Duration> {
        let span = self.time_of(1).max(Duration::from_nanos(1));
        let lacks = self.lacks(now).saturating_add(span);
        match lacks.checked_sub(BURST) {
            None | Some(Duration::ZERO) => Ok(()),
            Some(delay) => Err(delay),
        }
    }

    /// Takes `spans` spans.
    ///
    /// # Errors
    /// As [`TokenBucket::check`]. Nothing is taken then.
    pub(super) fn take(&mut self, spans: u64, now: Instant) -> Result<(), Duration> {
        self.check(now)?;
        let lacks = self.lacks(now).saturating_add(self.time_of(spans));
        // Caps the debt at a century, so that the sum stays representable.
        let century = Duration::from_hours(24 * 365 * 100);
        self.full_at = now.checked_add(lacks.min(century)).or(self.full_at);
        Ok(())
    }

    /// The time until it is full.
    fn lacks(&self, now: Instant) -> Duration {
        self.full_at
            .map_or(Duration::ZERO, |at| at.saturating_duration_since(now))
    }

    /// The time in which `spans` spans flow in.
    fn time_of(&self, spans: u64) -> Duration {
        let nanos = u128::from(spans) * 1_000_000_000 / u128::from(self.rate);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_burst_of_a_second_passes_and_then_the_rate() {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(1000);
        for _ in 0..10 {
            assert_eq!(bucket.take(100, start), Ok(()));
        }
        assert_eq!(bucket.take(1, start), Err(MS));
        assert_eq!(bucket.check(start), Err(MS));
        assert_eq!(bucket.take(1, start + MS), Ok(()));
        assert_eq!(bucket.take(1, start + MS), Err(MS));
        assert_eq!(bucket.take(1, start + 2 * MS), Ok(()));
    }

    #[test]
    fn a_request_larger_than_the_bucket_passes_and_leaves_a_debt() {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(10);
        assert_eq!(bucket.take(1, start), Ok(()));
        assert_eq!(bucket.take(35, start), Ok(()), "9 were there");
        let delay = bucket.take(35, start).unwrap_err();
        assert_eq!(delay, 2700 * MS, "26 are owed, and one has to be there");
        let early = start + Duration::from_millis(2699);
        assert_eq!(bucket.take(35, early), Err(MS));
        assert_eq!(bucket.take(35, early + MS), Ok(()));
    }

    #[test]
    fn no_more_than_a_burst_is_saved_up() {
        let start = Instant::now();
        let later = start + Duration::from_hours(1);
        let mut bucket = TokenBucket::new(10);
        bucket.take(10, start).unwrap();
        bucket.take(10, later).unwrap();
        assert_eq!(bucket.check(later), Err(100 * MS));
    }

    #[test]
    fn over_a_long_time_no_more_than_the_rate_passes() {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(1000);
        let mut taken = 0;
        for tick in 0..60_000 {
            let spans = 1 + u64::from(tick % 700);
            if bucket.take(spans, start + tick * MS).is_ok() {
                taken += spans;
            }
        }
        assert!((60_000..=61_700).contains(&taken), "{taken}");
    }

    #[test]
    fn extreme_numbers_do_not_overflow() {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(1);
        assert_eq!(bucket.take(u64::MAX, start), Ok(()));
        assert!(bucket.take(1, start).unwrap_err() > Duration::from_hours(24 * 365));
        let mut fast = TokenBucket::new(u64::MAX);
        assert_eq!(fast.take(u64::MAX, start), Ok(()));
        assert_eq!(fast.take(1, start), Err(Duration::from_nanos(1)));
        assert_eq!(TokenBucket::new(0).take(1, start), Ok(()));
    }
}
