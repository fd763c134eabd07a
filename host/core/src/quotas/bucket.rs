//! A token bucket for spans, as the time that it needs to be full again.
//!
//! It holds a second's worth. A request is taken while a span is in it, however large the request is, and what it takes beyond that is
//! a debt: so one that is larger than the bucket passes, and what is taken over a longer time still keeps to the rate. A library such as
//! `governor` refuses for ever what does not fit at once.

use std::time::{Duration, Instant};

/// How long an empty bucket takes to fill: what may come in a burst.
const BURST: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Debug)]
pub(super) struct Bucket {
    /// Spans a second.
    rate: u64,
    /// When it is full if nothing more is taken; none while it is full.
    full_at: Option<Instant>,
}

// === impl Bucket ===

impl Bucket {
    /// A full one, into which `rate` spans flow in a second.
    pub(super) fn new(rate: u64) -> Self {
        Self {
            rate: rate.max(1),
            full_at: None,
        }
    }

    pub(super) fn rate(&self) -> u64 {
        self.rate
    }

    /// Whether a span is in it.
    ///
    /// # Errors
    /// How long it takes until one is.
    pub(super) fn check(&self, now: Instant) -> Result<(), Duration> {
        let span = self.time_of(1).max(Duration::from_nanos(1));
        let lacks = self.lacks(now).saturating_add(span);
        match lacks.checked_sub(BURST) {
            None | Some(Duration::ZERO) => Ok(()),
            Some(delay) => Err(delay),
        }
    }

    /// Takes this many spans.
    ///
    /// # Errors
    /// As [`Bucket::check`]; nothing is taken then.
    pub(super) fn take(&mut self, spans: u64, now: Instant) -> Result<(), Duration> {
        self.check(now)?;
        let lacks = self.lacks(now).saturating_add(self.time_of(spans));
        // A debt that ends after all time is a century's.
        let century = Duration::from_hours(24 * 365 * 100);
        self.full_at = now.checked_add(lacks.min(century)).or(self.full_at);
        Ok(())
    }

    /// How long it takes to be full.
    fn lacks(&self, now: Instant) -> Duration {
        self.full_at
            .map_or(Duration::ZERO, |at| at.saturating_duration_since(now))
    }

    /// How long so many spans take to flow in.
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
        let mut bucket = Bucket::new(1000);
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
    fn a_request_larger_than_the_bucket_passes_and_is_paid_off() {
        let start = Instant::now();
        let mut bucket = Bucket::new(10);
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
        let mut bucket = Bucket::new(10);
        bucket.take(10, start).unwrap();
        bucket.take(10, later).unwrap();
        assert_eq!(bucket.check(later), Err(100 * MS));
    }

    #[test]
    fn over_a_long_time_no_more_than_the_rate_passes() {
        let start = Instant::now();
        let mut bucket = Bucket::new(1000);
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
    fn numbers_at_their_limits_do_no_harm() {
        let start = Instant::now();
        let mut bucket = Bucket::new(1);
        assert_eq!(bucket.take(u64::MAX, start), Ok(()));
        assert!(bucket.take(1, start).unwrap_err() > Duration::from_hours(24 * 365));
        let mut fast = Bucket::new(u64::MAX);
        assert_eq!(fast.take(u64::MAX, start), Ok(()));
        assert_eq!(fast.take(1, start), Err(Duration::from_nanos(1)));
        assert_eq!(Bucket::new(0).take(1, start), Ok(()));
    }
}
