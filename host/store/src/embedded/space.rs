//! Watches the disk's free space, so that writes are refused before it is full.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::Error;

/// Asks the system for the free bytes.
pub type Probe = Box<dyn Fn() -> io::Result<u64> + Send + Sync>;

/// What is known about free space.
pub(super) struct Space {
    probe: Mutex<Probe>,
    min_free: AtomicU64,
    pub(super) free: AtomicU64,
    since_probe: AtomicU64,
    /// Objects are refused.
    low: AtomicBool,
    /// Commits are refused as well.
    very_low: AtomicBool,
    pub(super) refused: AtomicU64,
}

// === impl Space ===

impl Space {
    pub(super) fn new(probe: Probe, min_free: u64) -> Self {
        let space = Self {
            probe: Mutex::new(probe),
            min_free: AtomicU64::new(min_free),
            free: AtomicU64::new(u64::MAX),
            since_probe: AtomicU64::new(0),
            low: AtomicBool::new(false),
            very_low: AtomicBool::new(false),
            refused: AtomicU64::new(0),
        };
        space.look();
        space
    }

    /// Looks again. Where the system does not tell, nothing is refused.
    pub(super) fn look(&self) {
        let free = (self.probe.lock())().unwrap_or(u64::MAX);
        self.free.store(free, Ordering::Relaxed);
        self.since_probe.store(0, Ordering::Relaxed);
        let min_free = self.min_free();
        self.low.store(free < min_free, Ordering::Relaxed);
        self.very_low.store(free < min_free / 2, Ordering::Relaxed);
    }

    /// Keeps another number of bytes free from here on.
    pub(super) fn set_min_free(&self, bytes: u64) {
        if self.min_free.swap(bytes, Ordering::Relaxed) != bytes {
            self.look();
        }
    }

    fn min_free(&self) -> u64 {
        self.min_free.load(Ordering::Relaxed)
    }

    /// Counts what has been written since the last look, and looks again before that could have filled the disk.
    pub(super) fn wrote(&self, bytes: u64) {
        let before = self.since_probe.fetch_add(bytes, Ordering::Relaxed);
        if before + bytes >= self.min_free() / 8 {
            self.look();
        }
    }

    /// Refuses objects below the least free space. Commits may use half of it: they are small, and upkeep that gives space back
    /// has to record what it did.
    pub(super) fn check(&self, objects: bool) -> Result<(), Error> {
        let full = if objects { &self.low } else { &self.very_low };
        if !full.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.refuse();
        Err(Error::QuotaExceeded(format!(
            "the disk has {} bytes free, and `kv.min_free` keeps {} free",
            self.free.load(Ordering::Relaxed),
            self.min_free()
        )))
    }

    /// Counts a write that was refused for want of space.
    pub(super) fn refuse(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }
}
