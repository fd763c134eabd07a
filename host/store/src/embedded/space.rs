//! Watches the free space of the disk, so that writes are refused before it is full.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::{Claim, Error};

/// Returns the free bytes of the disk.
pub type Probe = Box<dyn Fn() -> io::Result<u64> + Send + Sync>;

/// Space below which even a commit of upkeep is refused: the store itself needs some to sync and to flush.
const LAST_RESERVE: u64 = 1 << 20;

/// The use of space by a write. Each may use more of the space that is kept free than the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// Objects of a client: none of it.
    Objects,
    /// Commits of a client, which are small: half of it.
    Commit,
    /// Objects of upkeep: all but a sixteenth. The index has to be written before retention can drop a bucket.
    UpkeepObjects,
    /// Commits of upkeep: all but the last reserve. They open an instance, and record that something was dropped.
    UpkeepCommit,
}

/// The free space of the disk, and whether writes are refused.
pub(super) struct Space {
    probe: Mutex<Probe>,
    min_free: AtomicU64,
    pub(super) free: AtomicU64,
    since_probe: AtomicU64,
    /// True if objects of clients are refused.
    low: AtomicBool,
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
        self.low.store(free < self.min_free(), Ordering::Relaxed);
    }

    /// Changes the number of bytes to keep free.
    pub(super) fn set_min_free(&self, bytes: u64) {
        if self.min_free.swap(bytes, Ordering::Relaxed) != bytes {
            self.refresh();
        }
    }

    /// The number of bytes to keep free.
    pub(super) fn min_free(&self) -> u64 {
        self.min_free.load(Ordering::Relaxed)
    }

    /// Counts bytes written since the last probe, and probes again before they could have filled the disk.
    pub(super) fn count_written(&self, bytes: u64) {
        let before = self.since_probe.fetch_add(bytes, Ordering::Relaxed);
        if before + bytes >= self.min_free() / 8 || self.low.load(Ordering::Relaxed) {
            self.refresh();
        }
    }

    /// Returns `false` while objects are refused.
    pub(super) fn has_room(&self) -> bool {
        self.free.load(Ordering::Relaxed) >= self.min_free()
    }

    /// Returns an error if too little space is free for this use.
    pub(super) fn check(&self, used_for: Use) -> Result<(), Error> {
        let min_free = self.min_free();
        let needed = match used_for {
            Use::Objects => min_free,
            Use::Commit => min_free / 2,
            Use::UpkeepObjects => min_free / 16,
            Use::UpkeepCommit => LAST_RESERVE.min(min_free / 16),
        };
        if self.free.load(Ordering::Relaxed) >= needed {
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

// === impl Use ===

impl Use {
    pub(super) fn objects(by: &Claim) -> Self {
        if by.is_upkeep {
            Self::UpkeepObjects
        } else {
            Self::Objects
        }
    }

    pub(super) fn commit(by: &Claim) -> Self {
        if by.is_upkeep {
            Self::UpkeepCommit
        } else {
            Self::Commit
        }
    }
}
