//! Watches the free space of the disk, so that writes are refused before it is full.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::Error;

/// Returns the free bytes of the disk.
pub type Probe = Box<dyn Fn() -> io::Result<u64> + Send + Sync>;

/// The free space of the disk, and whether writes are refused.
pub(super) struct Space {
    probe: Mutex<Probe>,
    min_free: AtomicU64,
    pub(super) free: AtomicU64,
    since_probe: AtomicU64,
    /// True if objects are refused.
    low: AtomicBool,
    /// True if commits are refused too.
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
        space.refresh();
        space
    }

    /// Probes the free space. If the probe fails, nothing is refused.
    pub(super) fn refresh(&self) {
        let free = (self.probe.lock())().unwrap_or(u64::MAX);
        self.free.store(free, Ordering::Relaxed);
        self.since_probe.store(0, Ordering::Relaxed);
        let min_free = self.min_free();
        self.low.store(free < min_free, Ordering::Relaxed);
        self.very_low.store(free < min_free / 2, Ordering::Relaxed);
    }

    /// Changes the number of bytes to keep free.
    pub(super) fn set_min_free(&self, bytes: u64) {
        if self.min_free.swap(bytes, Ordering::Relaxed) != bytes {
            self.refresh();
        }
    }

    fn min_free(&self) -> u64 {
        self.min_free.load(Ordering::Relaxed)
    }

    /// Counts bytes written since the last probe, and probes again before they could have filled the disk.
    pub(super) fn count_written(&self, bytes: u64) {
        let before = self.since_probe.fetch_add(bytes, Ordering::Relaxed);
        if before + bytes >= self.min_free() / 8 {
            self.refresh();
        }
    }

    /// Returns an error if too little space is free. Commits may use half of the space that is kept free: they are small, and upkeep that
    /// frees space has to commit records of it.
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

    /// Counts a write that was refused for lack of space.
    pub(super) fn refuse(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }
}
