use std::cell::Cell;

use super::*;

/// A clock that moves when it is waited for, or by hand.
#[derive(Default)]
struct ByHand<'a> {
    now: Cell<u64>,
    /// Milliseconds that the announcing of each call takes, by call.
    delays: &'a [u64],
}

impl Clock for &ByHand<'_> {
    fn elapsed(&self) -> Duration {
        Duration::from_millis(self.now.get())
    }

    fn wait(&mut self, time: Duration) {
        let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.now.set(self.now.get() + millis);
    }
}

/// For each call, when it was announced and when it was due, in milliseconds.
fn announced(schedule: Schedule, clock: &ByHand<'_>) -> Vec<(u64, u128)> {
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
    let calls = announced(schedule, &ByHand::default());
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
    let clock = ByHand {
        delays: &[0, 350],
        ..ByHand::default()
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
fn nothing_is_announced_to_one_who_has_gone() {
    let schedule = Schedule {
        rate: 10,
        seconds: 1,
    };
    let mut made = 0;
    schedule.run(&mut &ByHand::default(), |number, _| {
        made += 1;
        number < 3
    });
    assert_eq!(made, 4);
}
