//! The time by which stored data ages: the system's clock, without its jumps until they have held for an hour.
//!
//! A clock that is wrong for a moment, such as a dead hardware clock before the time is synchronised, must not make retention delete
//! everything. So a jump, against the monotonic clock while the process runs and against the newest write at its start, is believed only
//! once it has held, or once an operator has confirmed it.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;

/// A change by no more than this is no jump: clocks are adjusted, and servers are restarted.
pub const TOLERANCE: Duration = Duration::from_mins(5);
/// Time for which a jump has to hold.
pub const HOLD: Duration = Duration::from_hours(1);

type Wall = Box<dyn Fn() -> u64 + Send + Sync>;
type Elapsed = Box<dyn Fn() -> Duration + Send + Sync>;

/// The clock of retention. Times are Unix nanoseconds.
pub struct TrustedClock {
    wall: Wall,
    elapsed: Elapsed,
    hold: Duration,
    state: Mutex<State>,
}

struct State {
    /// A time that is believed, and the monotonic time at which it was.
    believed: u64,
    at: Duration,
    jump: Option<PendingJump>,
}

/// A jump that is not believed yet.
struct PendingJump {
    /// How far the system's clock is ahead of the believed time, in nanoseconds; negative if it is behind.
    ahead: i128,
    since: Duration,
}

/// A jump of the system's clock that is not believed yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Jump {
    /// Size of the jump.
    pub by: Duration,
    /// True if the system's clock is ahead of the believed time, false if it is behind.
    pub is_ahead: bool,
    /// Time after which it is believed, if it holds.
    pub left: Duration,
}

// === impl TrustedClock ===

impl TrustedClock {
    /// The system's clock. `newest` is the time of the newest write that is stored; without it the system's clock is believed as it is.
    pub fn system(newest: Option<u64>) -> Arc<Self> {
        let started = Instant::now();
        Self::new(
            Box::new(unix_nanos),
            Box::new(move || started.elapsed()),
            HOLD,
            newest,
        )
    }

    /// A clock with other sources, and another time for which a jump has to hold.
    pub fn new(wall: Wall, elapsed: Elapsed, hold: Duration, newest: Option<u64>) -> Arc<Self> {
        let state = Mutex::new(State {
            believed: newest.unwrap_or_else(&wall),
            at: elapsed(),
            jump: None,
        });
        Arc::new(Self {
            wall,
            elapsed,
            hold,
            state,
        })
    }

    /// The time for retention: no later than the believed time, and no later than the system's clock.
    pub fn now(&self) -> u64 {
        let (wall, believed) = self.look();
        wall.min(believed)
    }

    /// The time that marks a write: no earlier than the believed time, and no earlier than the system's clock, so that the write is not
    /// forgotten too soon, whichever is right.
    pub fn mark(&self) -> u64 {
        let (wall, believed) = self.look();
        wall.max(believed)
    }

    /// The believed time.
    pub fn believed(&self) -> u64 {
        self.look().1
    }

    /// The jump that is not believed yet.
    pub fn jump(&self) -> Option<Jump> {
        self.look();
        let state = self.state.lock();
        let jump = state.jump.as_ref()?;
        let held = (self.elapsed)().saturating_sub(jump.since);
        Some(Jump {
            by: duration(jump.ahead),
            is_ahead: jump.ahead > 0,
            left: self.hold.saturating_sub(held),
        })
    }

    /// Believes the system's clock from now on. Returns the jump that this has confirmed.
    pub fn confirm(&self) -> Option<Jump> {
        let jump = self.jump();
        let mut state = self.state.lock();
        *state = State {
            believed: (self.wall)(),
            at: (self.elapsed)(),
            jump: None,
        };
        jump
    }

    /// The system's time and the believed one.
    fn look(&self) -> (u64, u64) {
        let mut state = self.state.lock();
        let (wall, elapsed) = ((self.wall)(), (self.elapsed)());
        let since = elapsed.saturating_sub(state.at);
        let since = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
        let believed = state.believed.saturating_add(since);
        let ahead = i128::from(wall) - i128::from(believed);
        if duration(ahead) <= TOLERANCE {
            if state.jump.take().is_some() {
                tracing::info!("the system's clock is back at the believed time");
            }
            (state.believed, state.at) = (wall, elapsed);
            return (wall, wall);
        }
        let is_same = |jump: &PendingJump| duration(jump.ahead - ahead) <= TOLERANCE;
        match state.jump.as_ref().filter(|jump| is_same(jump)) {
            Some(jump) if elapsed.saturating_sub(jump.since) >= self.hold => {
                tracing::warn!(by = ?duration(ahead), "a jump of the system's clock has held, and is believed: retention goes by it");
                *state = State {
                    believed: wall,
                    at: elapsed,
                    jump: None,
                };
                return (wall, wall);
            }
            Some(_) => {}
            None => {
                tracing::warn!(
                    by = ?duration(ahead),
                    is_ahead = ahead > 0,
                    hold = ?self.hold,
                    "the system's clock has jumped, against the newest write or the monotonic clock: retention believes it once it has held; `POST /clock` on the admin port confirms it at once"
                );
                state.jump = Some(PendingJump {
                    ahead,
                    since: elapsed,
                });
            }
        }
        (wall, believed)
    }
}

impl Default for TrustedClock {
    fn default() -> Self {
        let started = Instant::now();
        Self {
            wall: Box::new(unix_nanos),
            elapsed: Box::new(move || started.elapsed()),
            hold: HOLD,
            state: Mutex::new(State {
                believed: unix_nanos(),
                at: Duration::ZERO,
                jump: None,
            }),
        }
    }
}

impl fmt::Debug for TrustedClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrustedClock").finish_non_exhaustive()
    }
}

impl fmt::Display for Jump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { by, is_ahead, left } = self;
        let (by, left) = (by.as_secs(), left.as_secs());
        let side = if *is_ahead { "ahead of" } else { "behind" };
        write!(
            f,
            "the system's clock is {by} s {side} the time that retention believes; it is believed in {left} s, or at once after `POST /clock`"
        )
    }
}

fn duration(nanos: i128) -> Duration {
    Duration::from_nanos(u64::try_from(nanos.unsigned_abs()).unwrap_or(u64::MAX))
}

/// The system's clock, in Unix nanoseconds.
pub fn unix_nanos() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    const SECOND: u64 = 1_000_000_000;
    const DAY: u64 = 24 * 60 * 60 * SECOND;
    const START: u64 = 20_000 * DAY;

    /// A clock whose sources a test sets.
    struct Fake {
        wall: Arc<AtomicU64>,
        elapsed: Arc<AtomicU64>,
        clock: Arc<TrustedClock>,
    }

    impl Fake {
        fn new(wall: u64, newest: Option<u64>) -> Self {
            let (wall, elapsed) = (Arc::new(AtomicU64::new(wall)), Arc::default());
            let read = |of: &Arc<AtomicU64>| {
                let of = Arc::clone(of);
                move || of.load(Ordering::Relaxed)
            };
            let (of_wall, of_elapsed) = (read(&wall), read(&elapsed));
            let clock = TrustedClock::new(
                Box::new(of_wall),
                Box::new(move || Duration::from_nanos(of_elapsed())),
                HOLD,
                newest,
            );
            Self {
                wall,
                elapsed,
                clock,
            }
        }

        /// Lets time pass, minute by minute.
        fn pass(&self, minutes: u64) {
            for _ in 0..minutes {
                self.wall.fetch_add(60 * SECOND, Ordering::Relaxed);
                self.elapsed.fetch_add(60 * SECOND, Ordering::Relaxed);
                self.clock.now();
            }
        }

        fn jump_ahead(&self, by: u64) {
            self.wall.fetch_add(by, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_jump_ahead_is_believed_after_an_hour_and_writes_are_marked_by_the_later_time() {
        let fake = Fake::new(START, None);
        fake.pass(10);
        fake.jump_ahead(400 * DAY);
        let before = START + 600 * SECOND;
        assert_eq!(fake.clock.now(), before);
        assert_eq!(fake.clock.mark(), before + 400 * DAY);
        fake.pass(59);
        assert_eq!(fake.clock.now(), before + 59 * 60 * SECOND);
        let jump = fake.clock.jump();
        assert_eq!(jump.map(|it| it.left), Some(Duration::from_mins(1)));
        fake.pass(1);
        assert_eq!(fake.clock.now(), before + 400 * DAY + 3600 * SECOND);
        assert_eq!(fake.clock.jump(), None);
    }

    #[test]
    fn a_start_long_after_the_newest_write_is_a_jump_that_can_be_confirmed() {
        let fake = Fake::new(START + 400 * DAY, Some(START));
        assert_eq!(fake.clock.now(), START);
        fake.pass(1);
        let jump = fake.clock.confirm();
        assert_eq!(jump.map(|it| it.is_ahead), Some(true));
        assert_eq!(fake.clock.now(), START + 400 * DAY + 60 * SECOND);
        assert_eq!(fake.clock.confirm(), None);
    }

    #[test]
    fn a_clock_that_is_set_right_again_was_never_believed() {
        let fake = Fake::new(START + 400 * DAY, Some(START));
        fake.pass(30);
        fake.wall.store(START + 1800 * SECOND, Ordering::Relaxed);
        assert_eq!(fake.clock.now(), START + 1800 * SECOND);
        assert_eq!(fake.clock.jump(), None);
        // The next jump has to hold for an hour of its own.
        fake.jump_ahead(400 * DAY);
        fake.clock.now();
        fake.pass(59);
        assert!(fake.clock.jump().is_some());
    }

    #[test]
    fn a_clock_that_is_behind_forgets_nothing_and_marks_by_the_believed_time() {
        let fake = Fake::new(1000 * DAY, Some(START));
        assert_eq!(fake.clock.now(), 1000 * DAY);
        assert_eq!(fake.clock.mark(), START);
        fake.pass(61);
        assert_eq!(fake.clock.mark(), 1000 * DAY + 61 * 60 * SECOND);
    }

    #[test]
    fn small_steps_are_no_jumps() {
        let fake = Fake::new(START, Some(START - 60 * SECOND));
        assert_eq!(fake.clock.now(), START);
        fake.jump_ahead(200 * SECOND);
        assert_eq!(fake.clock.now(), START + 200 * SECOND);
        assert_eq!(fake.clock.jump(), None);
    }
}
