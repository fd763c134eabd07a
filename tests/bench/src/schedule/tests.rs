use std::cell::Cell;

use super::*;

/// A clock that advances when it is waited for, or manually.
#[derive(Default)]
struct ManualClock<'a> {
    now: Cell<u64>,
    /// Milliseconds that the announcement of each call takes, by call.
    delays: &'a [u64],
}

impl Clock for &ManualClock<'_> {
    fn elapsed(&self) -> Duration {
        Duration::from_millis(self.now.get())
    }

    fn wait(&mut self, time: Duration) {
        let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.now.set(self.now.get() + millis);
    }
}

/// Returns for each call when it was announced and when it was due, in milliseconds.
fn announced(schedule: Schedule, clock: &ManualClock<'_>) -> Vec<(u64, u128)> {
    let mut calls = Vec::new();
    schedule.run(&mut &*clock, |number, due| {
        calls.push((clock.now.get(), due.as_millis()));
        let delay = usize::try_from(number)
            .ok()
            .and_then(|place| clock.delays.get(place));
        clock.now.set(clock.now.get() + delay.copied().unwrap_or(0));
        true
    });
    calls
}

#[test]
fn calls_are_evenly_spread_over_the_time() {
    let schedule = Schedule {
        rate: 4,
        seconds: 2,
    };
    let calls = announced(schedule, &ManualClock::default());
    let even: Vec<_> = (0..8)
        .map(|call| (call * 250, u128::from(call) * 250))
        .collect();
    assert_eq!(calls, even);
}

#[test]
fn a_held_up_call_is_made_late_and_counted_from_when_it_was_due() {
    let schedule = Schedule {
        rate: 10,
        seconds: 1,
    };
    let clock = ManualClock {
        delays: &[0, 350],
        ..ManualClock::default()
    };
    let calls = announced(schedule, &clock);
    assert_eq!(calls.len(), 10);
    assert_eq!(
        calls.get(..6),
        Some(
            &[
                (0, 0),
                (100, 100),
                (450, 200),
                (450, 300),
                (450, 400),
                (500, 500)
            ][..]
        )
    );
}

#[test]
fn the_schedule_ends_when_announce_returns_false() {
    let schedule = Schedule {
        rate: 10,
        seconds: 1,
    };
    let mut made = 0;
    schedule.run(&mut &ManualClock::default(), |number, _| {
        made += 1;
        number < 3
    });
    assert_eq!(made, 4);
}
