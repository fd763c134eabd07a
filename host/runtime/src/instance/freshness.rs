//! How much a reading instance has to know to answer a request: all that was acknowledged before the request began.
//!
//! Moments are numbers of a counter, so that no clock decides what is seen. A request begins at a moment of its own. A refresh begins at the
//! last moment that there was, so it counts for every request up to that one, and for none that begins later.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// A request that goes on for longer has instances refreshed again. What they know must not be so old that something of it, which was
/// reclaimed since, cannot be read any more: drivers keep it for a minute.
const LONGEST: Duration = Duration::from_secs(20);

/// A place in the order of a tenant's requests and refreshes. The default is before all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(u64);

/// The moments of one tenant.
#[derive(Debug, Default)]
pub(crate) struct Moments(AtomicU64);

/// The begin of one request.
#[derive(Debug)]
pub(crate) struct Request(Mutex<(Moment, Instant)>);

// === impl Moments ===

impl Moments {
    /// The last moment so far.
    pub(crate) fn now(&self) -> Moment {
        Moment(self.0.load(Ordering::SeqCst))
    }

    /// A new moment, after all others.
    pub(crate) fn next(&self) -> Moment {
        Moment(self.0.fetch_add(1, Ordering::SeqCst) + 1)
    }
}

// === impl Request ===

impl Request {
    /// A request that begins now.
    pub(crate) fn new(moments: &Moments, now: Instant) -> Self {
        Self(Mutex::new((moments.next(), now)))
    }

    /// Has the reads that follow see all that was acknowledged so far.
    pub(crate) fn renew(&self, moments: &Moments, now: Instant) {
        let mut begun = self.0.lock();
        *begun = (moments.next(), now);
    }

    /// The moment since which an instance has to have been refreshed to answer the request.
    pub(crate) fn since(&self, moments: &Moments, now: Instant) -> Moment {
        let mut begun = self.0.lock();
        if now.saturating_duration_since(begun.1) >= LONGEST {
            *begun = (moments.next(), now);
        }
        begun.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refresh_counts_for_the_requests_before_it_alone() {
        let (moments, now) = (Moments::default(), Instant::now());
        let first = Request::new(&moments, now);
        assert!(Moment::default() < first.since(&moments, now));
        let second = Request::new(&moments, now);
        let refreshed = moments.now();
        let third = Request::new(&moments, now);
        assert!(refreshed >= first.since(&moments, now));
        assert!(refreshed >= second.since(&moments, now));
        assert!(refreshed < third.since(&moments, now));
        first.renew(&moments, now);
        assert!(refreshed < first.since(&moments, now));
    }

    #[test]
    fn a_request_that_goes_on_for_long_has_instances_refreshed_again() {
        let (moments, begun) = (Moments::default(), Instant::now());
        let request = Request::new(&moments, begun);
        let refreshed = moments.now();
        let almost = begun + LONGEST.saturating_sub(Duration::from_millis(1));
        assert!(refreshed >= request.since(&moments, almost));
        let later = begun + LONGEST;
        let since = request.since(&moments, later);
        assert!(refreshed < since);
        assert_eq!(request.since(&moments, later), since);
    }
}
