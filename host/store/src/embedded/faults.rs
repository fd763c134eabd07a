//! Failures of the disk, made on demand: tests learn what happens when a write or a sync fails.
//!
//! Outside of tests (and of builds with the feature `testing`) there is nothing to set and nothing to check.

use std::io;
#[cfg(any(test, feature = "testing"))]
use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

/// What the disk is told to refuse. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    #[cfg(any(test, feature = "testing"))]
    writes: Arc<Countdown>,
    #[cfg(any(test, feature = "testing"))]
    syncs: Arc<Countdown>,
}

#[cfg(any(test, feature = "testing"))]
#[derive(Debug, Default)]
struct Countdown {
    pass: AtomicI64,
    fail: AtomicI64,
}

impl Faults {
    /// After `pass` more writes, `fail` of them fail.
    #[cfg(any(test, feature = "testing"))]
    pub fn fail_writes(&self, pass: u32, fail: u32) {
        self.writes.set(pass, fail);
    }

    /// After `pass` more syncs, `fail` of them fail.
    #[cfg(any(test, feature = "testing"))]
    pub fn fail_syncs(&self, pass: u32, fail: u32) {
        self.syncs.set(pass, fail);
    }

    #[cfg(any(test, feature = "testing"))]
    pub(super) fn write(&self) -> io::Result<()> {
        self.writes.check("write")
    }

    #[cfg(any(test, feature = "testing"))]
    pub(super) fn sync(&self) -> io::Result<()> {
        self.syncs.check("sync")
    }

    #[cfg(not(any(test, feature = "testing")))]
    #[expect(
        clippy::unused_self,
        clippy::unnecessary_wraps,
        reason = "the shape that tests need"
    )]
    pub(super) fn write(&self) -> io::Result<()> {
        Ok(())
    }

    #[cfg(not(any(test, feature = "testing")))]
    #[expect(
        clippy::unused_self,
        clippy::unnecessary_wraps,
        reason = "the shape that tests need"
    )]
    pub(super) fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(any(test, feature = "testing"))]
impl Countdown {
    fn set(&self, pass: u32, fail: u32) {
        self.pass.store(pass.into(), Ordering::SeqCst);
        self.fail.store(fail.into(), Ordering::SeqCst);
    }

    fn check(&self, what: &str) -> io::Result<()> {
        if self.pass.fetch_sub(1, Ordering::SeqCst) > 0 {
            return Ok(());
        }
        if self.fail.fetch_sub(1, Ordering::SeqCst) > 0 {
            return Err(io::Error::other(format!("injected: this {what} fails")));
        }
        Ok(())
    }
}
