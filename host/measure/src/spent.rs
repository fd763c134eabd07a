//! The clocks: what a piece of work takes of the process's processor time, and of real time.

use std::ops::AddAssign;
use std::time::{Duration, Instant};

use cpu_time::ProcessTime;

/// What a piece of work has taken.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Spent {
    pub(crate) cpu: Duration,
    pub(crate) wall: Duration,
}

/// Does the work, and tells what it took.
pub(crate) async fn spent<T>(work: impl Future<Output = T>) -> (T, Spent) {
    let (cpu, wall) = (ProcessTime::now(), Instant::now());
    let done = work.await;
    let spent = Spent {
        cpu: cpu.elapsed(),
        wall: wall.elapsed(),
    };
    (done, spent)
}

// === impl Spent ===

impl AddAssign for Spent {
    fn add_assign(&mut self, other: Self) {
        self.cpu += other.cpu;
        self.wall += other.wall;
    }
}
