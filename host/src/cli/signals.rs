//! Signals that stop the server: the first asks, the second insists.

use std::io;

#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGINT and SIGTERM, caught from its making on. Needs a tokio runtime around it.
#[derive(Debug)]
pub struct Signals {
    #[cfg(unix)]
    interrupt: Signal,
    #[cfg(unix)]
    terminate: Signal,
}

// === impl Signals ===

#[cfg(unix)]
impl Signals {
    /// Catches both from now on.
    pub fn catch() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Waits for the next one; the exit code that a shell expects of a process that it ends: 130 or 143.
    pub async fn next(&mut self) -> u8 {
        tokio::select! {
            _ = self.interrupt.recv() => 128 + 2,
            _ = self.terminate.recv() => 128 + 15,
        }
    }
}

#[cfg(not(unix))]
impl Signals {
    /// Catches Ctrl-C, where there are no signals.
    pub fn catch() -> io::Result<Self> {
        Ok(Self {})
    }

    /// Waits for the next Ctrl-C; the exit code that goes with it.
    pub async fn next(&mut self) -> u8 {
        if tokio::signal::ctrl_c().await.is_err() {
            // Nothing can be caught: then nothing ever comes.
            std::future::pending::<()>().await;
        }
        128 + 2
    }
}
