//! Signals that stop the server: the first begins a drain, the second ends the process.

use std::io;
use std::time::{Duration, Instant};

#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Signals within this time count as one: `timeout` and some supervisors signal the process and then its group.
const DEBOUNCE: Duration = Duration::from_millis(200);

/// A stream of SIGINTs and SIGTERMs. While it exists, they do not end the process.
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
    /// Waits for the next signal and returns its exit code, as shells have it: 130 for SIGINT or 143 for SIGTERM.
    pub async fn next(&mut self) -> u8 {
        loop {
            let code = self.recv().await;
            let now = Instant::now();
            let repeated = self.last.is_some_and(|last| now - last < DEBOUNCE);
            if !repeated {
                self.last = Some(now);
                return code;
            }
        }
    }
}

#[cfg(unix)]
impl Signals {
    /// Begins to catch both signals. Call it inside a tokio runtime.
    pub fn catch() -> io::Result<Self> {
        Ok(Self {
            last: None,
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn recv(&mut self) -> u8 {
        tokio::select! {
            _ = self.interrupt.recv() => 128 + 2,
            _ = self.terminate.recv() => 128 + 15,
        }
    }
}

#[cfg(not(unix))]
impl Signals {
    /// Begins to catch Ctrl-C, on systems without signals.
    pub fn catch() -> io::Result<Self> {
        Ok(Self { last: None })
    }

    async fn recv(&mut self) -> u8 {
        if tokio::signal::ctrl_c().await.is_err() {
            // Ctrl-C cannot be caught, so no signal will come.
            std::future::pending::<()>().await;
        }
        128 + 2
    }
}
