//! The times that a plugin is given: retention goes by the believed one, and writes are marked with the later one.

use std::sync::atomic::{AtomicU64, Ordering};

use larder_core::clock::{HOLD, TrustedClock};
use tokio::task::yield_now;

use super::*;

const MINUTE: u64 = 60_000_000_000;
const DAY: u64 = 24 * 60 * MINUTE;
const START: u64 = 10_000 * DAY;

/// Remembers whether its time is later than day 10,100. The time is the first parameter of `write` and of `maintain`.
const REMEMBER_IF_LATE: &str = "
    (global.set $writes (i64.gt_u (local.get 0) (i64.const 872640000000000000)))
    (i32.const 4096)";

/// The sources of a clock.
#[derive(Default)]
struct Times {
    elapsed: AtomicU64,
    /// How far the system's clock is ahead of day 10,000 and the time elapsed.
    ahead: AtomicU64,
    looks: AtomicU64,
}

impl Times {
    fn clock() -> (Arc<Self>, Arc<TrustedClock>) {
        let times = Arc::new(Self::default());
        let (of_wall, of_elapsed) = (Arc::clone(&times), Arc::clone(&times));
        let wall = move || {
            of_wall.looks.fetch_add(1, Ordering::Relaxed);
            let ahead = of_wall.ahead.load(Ordering::Relaxed);
            START + ahead + of_wall.elapsed.load(Ordering::Relaxed)
        };
        let elapsed = move || Duration::from_nanos(of_elapsed.elapsed.load(Ordering::Relaxed));
        let clock = TrustedClock::new(Box::new(wall), Box::new(elapsed), HOLD, None);
        (times, clock)
    }

    /// Lets time pass in steps that are no jumps, even for a look that falls between them.
    fn pass(&self, minutes: u64) {
        for _ in 0..minutes {
            self.elapsed.fetch_add(MINUTE, Ordering::Relaxed);
        }
    }

    /// Returns once `maintain` has been called with the time of this moment.
    async fn maintained(&self) {
        let seen = self.looks.load(Ordering::Relaxed);
        while self.looks.load(Ordering::Relaxed) < seen + 3 {
            yield_now().await;
        }
    }
}

async fn open_by(clock: &Arc<TrustedClock>, guest: Guest, maintain_every: Duration) -> Arc<Plugin> {
    let config = RuntimeConfig {
        trusted_clock: Arc::clone(clock),
        ..RuntimeConfig::default()
    };
    let limits = Limits {
        maintain_every,
        ..limits()
    };
    let guest = guest.with("services", ONE_SERVICE_IF_WRITTEN);
    let opened = try_open_on(&config, &guest.build(), limits).await;
    opened.unwrap().tenant
}

#[tokio::test]
async fn retention_goes_by_the_believed_time_until_a_jump_has_held_for_an_hour() {
    let (times, clock) = Times::clock();
    let guest = Guest::new().with("maintain", REMEMBER_IF_LATE);
    let tenant = open_by(&clock, guest, Duration::from_millis(1)).await;
    let is_late = async || {
        times.maintained().await;
        !services(&tenant).await.is_empty()
    };
    assert!(!is_late().await);
    times.ahead.store(400 * DAY, Ordering::Relaxed);
    assert!(!is_late().await);
    times.pass(59);
    assert!(!is_late().await);
    times.pass(1);
    assert!(is_late().await);
}

#[tokio::test]
async fn retention_goes_by_the_systems_clock_once_a_jump_is_confirmed() {
    let (times, clock) = Times::clock();
    let guest = Guest::new().with("maintain", REMEMBER_IF_LATE);
    let tenant = open_by(&clock, guest, Duration::from_millis(1)).await;
    times.ahead.store(400 * DAY, Ordering::Relaxed);
    times.maintained().await;
    assert!(services(&tenant).await.is_empty());
    assert!(clock.confirm().is_some());
    times.maintained().await;
    assert_eq!(services(&tenant).await, ["guest"]);
}

#[tokio::test]
async fn writes_are_marked_with_the_later_time() {
    let (times, clock) = Times::clock();
    let guest = Guest::new().with("write", REMEMBER_IF_LATE);
    let tenant = open_by(&clock, guest, Duration::from_hours(1)).await;
    let is_late = async || {
        tenant.write(batch(1, b"spans")).await.unwrap();
        !services(&tenant).await.is_empty()
    };
    assert!(!is_late().await);
    times.ahead.store(400 * DAY, Ordering::Relaxed);
    assert!(is_late().await);
    clock.confirm();
    times.ahead.store(0, Ordering::Relaxed);
    assert!(is_late().await);
    clock.confirm();
    assert!(!is_late().await);
}
