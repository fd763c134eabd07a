//! Signals that stop the server: the first asks, the second insists.

use std::io;
use std::time::{Duration, Instant};

#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Signals this close together are one: `timeout` and some supervisors signal the process, and then its group as well.
const ONE_REQUEST: Duration = Duration::from_millis(200);

/// SIGINT and SIGTERM, caught from its making on. Needs a tokio runtime around it.
#[derive(Debug)]
pub struct Signals {
    last: Option<Instant>,
    #[cfg(unix)]
    interrupt: Signal,
    #[cfg(unix)]
    terminate: Signal,
}

// === impl Signals ===

impl Signals {
    /// Waits for the next request to stop; the exit code that a shell expects of a process that it ends: 130 or 143.
    pub async fn next(&mut self) -> u8 {
        loop {
            let code = self.caught().await;
            let now = Instant::now();
            let repeated = self.last.is_some_and(|last| now - last < ONE_REQUEST);
            if !repeated {
                self.last = Some(now);
                return code;
            }
        }
    }
}

#[cfg(unix)]
impl Signals {
    /// Catches both from now on.
    pub fn catch() -> io::Result<Self> {
        Ok(Self {
            last: None,
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn caught(&mut self) -> u8 {
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
        Ok(Self { last: None })
    }

    async fn caught(&mut self) -> u8 {
        if tokio::signal::ctrl_c().await.is_err() {
            // Nothing can be caught: then nothing ever comes.
            std::future::pending::<()>().await;
        }
        128 + 2
    }
}
