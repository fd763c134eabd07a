//! Injected failures of writes and syncs, for tests.
//!
//! Outside of tests and of builds with the feature `testing` they cannot be set, and the checks do nothing.

use std::io;
#[cfg(any(test, feature = "testing"))]
use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

/// The writes and syncs that have to fail. Clones share it.
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
        reason = "the signature that tests need"
    )]
    pub(super) fn write(&self) -> io::Result<()> {
        Ok(())
    }

    #[cfg(not(any(test, feature = "testing")))]
    #[expect(
        clippy::unused_self,
        clippy::unnecessary_wraps,
        reason = "the signature that tests need"
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

    fn check(&self, operation: &str) -> io::Result<()> {
        if self.pass.fetch_sub(1, Ordering::SeqCst) > 0 {
            return Ok(());
        }
        if self.fail.fetch_sub(1, Ordering::SeqCst) > 0 {
            return Err(io::Error::other(format!(
                "injected: this {operation} fails"
            )));
        }
        Ok(())
    }
}
